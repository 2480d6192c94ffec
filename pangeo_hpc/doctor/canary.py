"""The canary: a small job that looks around on its node and writes down what it sees.

Run as `python -m pangeo_hpc.doctor.canary FOLDER`. It reads FOLDER/ask.json, says hello and waits
for an answer, so that both clocks are compared, and writes FOLDER/report.json. Nothing of what it
reads or writes is secret, and the folder is its user's own.
"""

import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pangeo_hpc import allocation, files
from pangeo_hpc._version import __version__
from pangeo_hpc.doctor import imports
from pangeo_hpc.doctor.look import holds, interfaces, try_directory
from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.machine import this_machine
from pangeo_hpc.run import Command, Runner, run

ASK, HELLO, ANSWER, REPORT = "ask.json", "hello.json", "answer.json", "report.json"


def main(folder: Path) -> None:
    """Look around and write the report, whole or not at all."""
    ask = files.read_json(folder / ASK)
    files.write_json(folder / REPORT, report(folder, ask))


def report(folder: Path, ask: Mapping[str, Any], *, runner: Runner = run) -> dict[str, Any]:
    """Return what is seen from here."""
    return {
        "format": 1,
        "version": __version__,
        "host": socket.gethostname(),
        "ahead": compare_clocks(folder, patience=float(ask["patience"])),
        "interfaces": interfaces(),
        "places": {name: _place(Path(path), ask) for name, path in ask["places"].items()},
        "usable": asdict(this_machine()),
        "granted": _granted(),
        "environments": {
            name: try_environment(script, seconds=float(ask["seconds"]), runner=runner)
            for name, script in ask["environments"].items()
        },
    }


def compare_clocks(folder: Path, *, patience: float) -> tuple[float, float] | None:
    """Return how many seconds this clock is ahead of the login host's: at least, and at most.

    The login host writes its time down between our hello and the moment we see its answer. None
    if there is no answer.
    """
    sent = time.time()
    files.write_json(folder / HELLO, {"time": sent})
    deadline = time.monotonic() + patience
    while not seen(folder, ANSWER):
        if time.monotonic() > deadline:
            return None
        time.sleep(0.1)
    received = time.time()
    theirs = float(files.read_json(folder / ANSWER)["time"])
    return sent - theirs, received - theirs


def seen(folder: Path, name: str) -> bool:
    """Tell whether a file is there; a listing is fresh on network filesystems, a look-up not."""
    return any(entry.name == name for entry in folder.iterdir())


def try_environment(script: str, *, seconds: float, runner: Runner = run) -> dict[str, Any]:
    """Return what an environment can import, as a job script would start it; else its words."""
    command = Command(("/bin/bash", "-l", "-s"), input=script, timeout=seconds)
    try:
        result = runner(command)
    except PangeoHpcError as error:
        return {"words": error.text}
    found = None if result.returncode else imports.parse(result.stdout)
    return found or {"words": result.words}


def _place(path: Path, ask: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a directory is here, and whether it holds what the login host left there."""
    state, words = try_directory(path)
    return {"state": str(state), "words": words, "same": holds(path, ask["mark"])}


def _granted() -> dict[str, int | None]:
    """Return what the scheduler told the job that it has."""
    here = allocation.current()
    return {"cores": here.cores if here else None, "memory": here.memory if here else None}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
