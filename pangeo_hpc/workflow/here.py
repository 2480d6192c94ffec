"""Run a script as an attempt of its run, in the job or on the machine where we are.

The script is a child of its own, and its end is written down before ours: signals go on to it, its
exit code becomes ours, and it is ended if we are killed.
"""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType

from pangeo_hpc import allocation, envs, files, jobs, processes
from pangeo_hpc.errors import NotAllowed, UsageError
from pangeo_hpc.site import Person, Site
from pangeo_hpc.workflow import launch, runs
from pangeo_hpc.workflow.provenance import record as provenance

_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@dataclass(frozen=True)
class Ended:
    """How a script ended: its exit code, or the signal that ended it."""

    code: int

    @property
    def signal(self) -> int | None:
        """Return the signal, None if the script ended by itself."""
        return -self.code if self.code < 0 else None

    @property
    def status(self) -> int:
        """Return the exit status a shell would show."""
        return 128 - self.code if self.code < 0 else self.code


def run_here(site: Site, person: Person, script: launch.Script, *, force: bool = False) -> Ended:
    """Run a script to its end in this job, or on this machine outside any job."""
    path = launch.check(script)
    environment = envs.resolve(site, script.environment, person)
    if not os.access(environment.python, os.X_OK):
        text = f"environment {environment.name}: {environment.python} cannot be run"
        raise UsageError(text, hint="check the prefix of this environment in the site YAML")
    folder = runs.open_run(
        site, person, script.run_name, script=path, arguments=script.arguments, force=force
    )
    number, place = folder.new_attempt()
    provenance.note_submission(
        folder.path, place, path, jobs.Ask(), environment=script.environment, directory=Path.cwd()
    )
    variables = launch.variables(site, person, folder, number, force=force) | script.variables
    process = subprocess.Popen(
        _command(environment, launch.command(script, environment)),
        env={**os.environ, **environment.variables, **variables},
        # this program has no threads
        preexec_fn=partial(processes.end_with, os.getpid()),  # noqa: PLW1509
    )
    remember(site, folder, place, process.pid)
    with _forwarding(process):
        code = process.wait()
    # the script's own code counts more than our note of it
    with suppress(NotAllowed):
        note_end(place, Ended(code).status)
    return Ended(code)


def _command(environment: envs.Environment, command: Sequence[str]) -> list[str]:
    """Return the command, begun by the shell where its environment needs modules or a check.

    The shell becomes the command, so that the process stays the one we know.
    """
    if environment.name == envs.CURRENT:
        return list(command)
    lines = "\n".join(environment.setup)
    return ["/bin/bash", "-l", "-c", f'{lines}\nexec "$@"', "bash", *command]


def remember(site: Site, folder: runs.RunFolder, place: Path, pid: int | None = None) -> None:
    """Note an attempt that nobody submitted: its process, by default ours, and the job it is in."""
    inside = allocation.current()
    identity = processes.identify(pid)
    key = _key_of(site, inside.scheduler, inside.job_id) if inside else None
    request = {
        "scheduler": key,
        "node_type": None,
        "nodes": len(inside.nodes) if inside else 1,
        "cores": inside.cores if inside else os.cpu_count(),
        "process": asdict(identity) if identity else None,
    }
    jobs.Job(
        name=folder.name,
        folder=place,
        id=inside.job_id if inside and key else None,
        state="taken" if key else "here",
        request=request,
        submitted=datetime.now(UTC).isoformat(timespec="seconds"),
    ).write()


def note_end(place: Path, status: int) -> None:
    """Write down the exit status of an attempt, as a job's script does for itself."""
    files.write_atomic(place / "exit", f"{status}\n")


def _key_of(site: Site, kind: str, job_id: str) -> str | None:
    """Return the site's key for the scheduler of a job; None if it has none such.

    Of several of one kind it is the one whose server stands in the job's id, else the default.
    """
    keys = [key for key, entry in site.schedulers.items() if entry.type == kind]
    server = job_id.partition(".")[2]
    told = [k for k in keys if server and (site.schedulers[k].server or "").startswith(server)]
    likely = [key for key in keys if key == site.scheduler]
    return next(iter(told + likely + keys), None)


@contextmanager
def _forwarding(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Hand signals on to the script while it runs."""

    def forward(number: int, _frame: FrameType | None) -> None:
        process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    # Ctrl-C reaches the script from the terminal: twice, it would not get to clean up
    before[signal.SIGINT] = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
