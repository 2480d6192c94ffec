"""A step lives no longer than the script that started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pangeo_hpc.dask.guard import guarded

# Starts a guarded program as the cluster does, and waits.
PARENT = """
import subprocess, sys, time
from pangeo_hpc.dask.guard import guarded
subprocess.Popen(guarded(["sh", "-c", {step!r}]), start_new_session=True)
time.sleep(60)
"""


@pytest.mark.parametrize("step", ["exec sleep 60", "trap '' TERM; sleep 60; sleep 60"])
def test_killed(tmp_path: Path, step: str) -> None:
    """After kill -9 of the script its step ends, by force if it must, with all it started."""
    marked = f": {tmp_path}; echo $$ > {tmp_path}/pid; {step}"
    parent = subprocess.Popen([sys.executable, "-c", PARENT.format(step=marked)])
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text()):
        time.sleep(0.05)
    child = psutil.Process(int(pid.read_text()))
    group = [child, *child.children(recursive=True), child.parent()]
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs([p for p in group if p is not None], timeout=20)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize(("step", "code"), [("exit 7", 7), ("kill -9 $$", 137)])
def test_exit_code(step: str, code: int) -> None:
    """It ends with its step, as that ends."""
    assert subprocess.run(guarded(["sh", "-c", step]), start_new_session=True).returncode == code


def test_told_to_end() -> None:
    """Told to end, it tells its step, and waits for it."""
    step = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    process = subprocess.Popen(
        guarded(["sh", "-c", step]), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGTERM)
    assert process.communicate(timeout=20)[0] == "bye\n"
    assert process.returncode == 3
