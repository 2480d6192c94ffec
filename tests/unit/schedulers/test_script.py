"""The job script, run by the shell it is written for."""

import os
import signal
import subprocess
import time
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from pangeo_hpc.schedulers.base import JobRequest
from pangeo_hpc.schedulers.script import render

WAITS = """\
import pathlib, signal, sys, time
if sys.argv[2] == "listens":
    signal.signal(signal.SIGUSR1, lambda *_: sys.exit(75))
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).write_text("up")
time.sleep(60)
"""


def script(tmp_path: Path, *command: str, setup: tuple[str, ...] = ()) -> Path:
    request = JobRequest(
        name="x-abcd",
        command=command,
        cores=1,
        walltime=timedelta(hours=1),
        setup=setup,
        exit_file=tmp_path / "exit",
    )
    path = tmp_path / "job.sh"
    path.write_text(render((), request).replace("#!/bin/bash -l", "#!/bin/bash"))
    path.chmod(0o700)
    return path


@pytest.mark.parametrize("code", [0, 3, 75])
def test_the_status_is_kept(tmp_path: Path, code: int) -> None:
    """The script ends as its command, and the file says the same."""
    path = script(tmp_path, "bash", "-c", f"exit {code}")
    assert subprocess.run([str(path)], check=False).returncode == code
    assert (tmp_path / "exit").read_text() == f"{code}\n"


def test_a_failing_setup_ends_the_job(tmp_path: Path) -> None:
    """The command is not run without what it needs."""
    path = script(tmp_path, "touch", str(tmp_path / "ran"), setup=("false",))
    assert subprocess.run([str(path)], check=False).returncode == 1
    assert (tmp_path / "exit").read_text() == "1\n"
    assert not (tmp_path / "ran").exists()


def started(tmp_path: Path, how: str) -> "subprocess.Popen[bytes]":
    (tmp_path / "waits.py").write_text(WAITS)
    up = tmp_path / "up"
    path = script(tmp_path, "python3", str(tmp_path / "waits.py"), str(up), how)
    process = subprocess.Popen([str(path)], start_new_session=True)
    deadline = time.monotonic() + 20
    while not up.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def test_a_job_that_is_ended_never_notes_success(tmp_path: Path) -> None:
    """SIGTERM to every process of the job, as schedulers send it: the file tells of the signal."""
    process = started(tmp_path, "waits")
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(timeout=20) == 143
    assert (tmp_path / "exit").read_text() == "143\n"


def test_a_warning_to_the_shell_is_handed_on(tmp_path: Path) -> None:
    """`--signal=B:USR1` reaches only the shell; its child hears of it and may stop in time."""
    process = started(tmp_path, "listens")
    process.send_signal(signal.SIGUSR1)
    assert process.wait(timeout=20) == 75
    assert (tmp_path / "exit").read_text() == "75\n"


def test_the_end_is_handed_on(tmp_path: Path) -> None:
    """SIGTERM reaches only the shell where Slurm tracks processes by cgroup."""
    process = started(tmp_path, "waits")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 143
    assert (tmp_path / "exit").read_text() == "143\n"


def test_the_shell_waits_for_its_child(tmp_path: Path) -> None:
    """SIGTERM does not let the shell note an end that is not there yet."""
    process = started(tmp_path, "deaf")
    (child,) = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    child.kill()
    assert process.wait(timeout=20) == 137
    assert (tmp_path / "exit").read_text() == "137\n"
