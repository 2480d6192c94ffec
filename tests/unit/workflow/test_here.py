"""`run` outside any job: the script is a child whose end is ours."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

SCRIPT = """\
import os, signal, sys, time
from pathlib import Path
done = Path(sys.argv[1])
signal.signal(signal.SIGUSR1, lambda *_: done.write_text("warned"))
Path(sys.argv[1] + ".pid").write_text(str(os.getpid()))
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", int, Path]]:
    """Start a script that goes on for ever; give the command, the script's pid, and its note."""
    (tmp_path / "wait.py").write_text(SCRIPT)
    note = tmp_path / "note"
    words = ["--site", "local", "run", "wait.py", "--name", "waits", "--", str(note)]
    process = subprocess.Popen(
        [sys.executable, "-m", "pangeo_hpc", *words],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])},
        stderr=subprocess.PIPE,
        text=True,
    )
    told = Path(f"{note}.pid")
    wait_until(lambda: told.exists() and told.read_text() != "")
    yield process, int(told.read_text()), note
    process.kill()
    process.communicate()


def wait_until(true: "object", seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def exit_file(tmp_path: Path) -> Path:
    return tmp_path / ".local/state/pangeo-hpc/runs/local/waits/attempts/0001/exit"


def test_signals_go_on(started: tuple["subprocess.Popen[str]", int, Path], tmp_path: Path) -> None:
    """A warning reaches the script; ended by a signal, the status is the one a shell gives."""
    process, _, note = started
    process.send_signal(signal.SIGUSR1)
    wait_until(note.exists)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 128 + signal.SIGTERM
    assert exit_file(tmp_path).read_text() == "143\n"
    assert process.stderr is not None
    assert "ended by SIGTERM" in process.stderr.read()


def test_the_script_never_outlives_us(
    started: tuple["subprocess.Popen[str]", int, Path], tmp_path: Path
) -> None:
    """kill -9 of the command ends the script too, and the run is not taken as done."""
    process, pid, _ = started
    process.kill()
    process.wait(timeout=20)
    wait_until(
        lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    )
    assert not exit_file(tmp_path).exists()
    shown = subprocess.run(
        [sys.executable, "-m", "pangeo_hpc", "--site", "local", "--json", "runs", "list"],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"lost"' in shown.stdout


def test_run_gets_its_environment_as_a_job_does(tmp_path: Path) -> None:
    """In a prefix the shell lines come first, and the script stays the process we know."""
    (tmp_path / "site.yaml").write_text(
        "name: here\nscheduler: local\nnode_types:\n"
        '  one: {cores: 1, memory: 1 GiB, walltime: "01:00:00"}\n'
        f"environments:\n  mine: {{prefix: {sys.prefix}, modules: [netcdf/4.9]}}\n"
    )
    (tmp_path / ".bash_profile").write_text('module() { export LOADED="$2"; }\n')
    (tmp_path / "tell.py").write_text(
        "import json, os, time\n"
        "print(os.environ['LOADED'], os.environ['PYTHONNOUSERSITE'], os.environ['PATH'])\n"
        "path = os.environ['PANGEO_HPC_RUN'] + '/attempts/0001/job.json'\n"
        "while not os.path.exists(path): time.sleep(0.01)\n"
        "kept = json.load(open(path))\n"
        "print(kept['request']['process']['pid'] == os.getpid())\n"
        "raise SystemExit(7)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pangeo_hpc", "--site", "site.yaml", "run", "tell.py"],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith(f"netcdf/4.9 1 {sys.prefix}/bin:")
    assert second == "True"
