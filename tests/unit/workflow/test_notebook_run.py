"""Notebooks that really run, in a kernel of this Python."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pangeo_hpc.workflow.notebooks.execute import _code_of
from tests.unit.workflow.conftest import ROOT
from tests.unit.workflow.test_notebooks import write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

Begin = Callable[..., "subprocess.Popen[str]"]


def notebook_of(tmp_path: Path, name: str, attempt: int = 1) -> Path:
    home = tmp_path / ".local/state/pangeo-hpc/runs/local"
    return home / name / f"attempts/{attempt:04}/{name}.ipynb"


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Start `pangeo-hpc run` of a notebook at home in tmp_path."""
    started: list[subprocess.Popen[str]] = []

    def start(path: Path, *words: str) -> "subprocess.Popen[str]":
        made = subprocess.Popen(
            [sys.executable, "-m", "pangeo_hpc", "--site", "local", "run", str(path), *words],
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(made)
        return made

    yield start
    for each in started:
        each.kill()
        each.communicate()


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=180)
    return process.returncode, out, err


def until(true: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_parameters_output_and_end(tmp_path: Path, begin: Begin) -> None:
    """Parameters arrive typed, output is in log and notebook, and the folder is the notebook's."""
    folder = tmp_path / "a {folder}"
    folder.mkdir()
    (folder / "beside.py").write_text("here = True\n")
    path = write(
        folder / "good.ipynb",
        "year = 1\nmodel = 'none'",
        "import beside, sys\nprint(year + 1, model)\nprint('odd', file=sys.stderr)",
        "import os\nif not (pid := os.fork()):\n    print('a child')\n    sys.stdout.flush()\n"
        "    os._exit(0)\nos.waitpid(pid, 0)",
        "import sys; sys.exit()",
    )
    code, out, err = finish(begin(path, "--", "year=1990", "model=007"))
    assert code == 0, err
    assert "1991 007\n" in out
    assert "odd\n" in err
    assert "a child\n" in out
    done: dict[str, Any] = json.loads(notebook_of(tmp_path, "good").read_text())
    assert done["metadata"]["papermill"]["parameters"] == {"year": 1990, "model": "007"}
    assert done["metadata"]["papermill"]["input_path"].endswith("source.ipynb")
    assert "outputs" in done["cells"][0]
    assert path.read_text().count("1991") == 0


def test_an_error_in_a_cell(tmp_path: Path, begin: Begin, capsys: Any) -> None:
    """Exit 1; the cell and the error are the reason in `runs show`, the traceback is in the log."""
    path = write(tmp_path / "bad.ipynb", "x = 1", "x.missing", "print('never')")
    code, _, err = finish(begin(path))
    assert code == 1
    assert "AttributeError: 'int' object has no attribute 'missing'" in err
    assert "\x1b[" not in err
    shown = subprocess.run(
        [sys.executable, "-m", "pangeo_hpc", "--site", "local", "runs", "show", "bad", "--json"],
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    (attempt,) = json.loads(shown.stdout)["attempts"]
    assert attempt["reason"].startswith("cell 2, In [2]: AttributeError: ")
    assert attempt["notebook"] == str(notebook_of(tmp_path, "bad"))


RUN = """\
from pathlib import Path
import time
from pangeo_hpc import workflow
with workflow.start('another name', cluster=False) as run:
    Path('told').write_text(f'{run.name} {run._attempt.code}')
    while not Path('go').exists():
        time.sleep(0.02)
        if run._attempt.signals.asked:
            from pangeo_hpc.errors import StoppedInTime
            raise StoppedInTime('stopped in time', hint='run it again')
"""


def test_a_warning_reaches_the_run_and_it_goes_on(tmp_path: Path, begin: Begin) -> None:
    """SIGUSR1 to the command reaches the run in the kernel: 75; the next attempt is another one."""
    from pangeo_hpc.workflow.notebooks.notebook import digest

    path = write(tmp_path / "stops.ipynb", RUN)
    process, told = begin(path), tmp_path / "told"
    until(lambda: told.exists() and told.read_text())
    assert told.read_text() == f"stops {digest(path)}"
    growing = json.loads(notebook_of(tmp_path, "stops").read_text())
    assert growing["cells"][0]["metadata"]["papermill"]["status"] == "running"
    process.send_signal(signal.SIGUSR1)
    code, _, err = finish(process)
    assert code == 75, err
    assert "cell 1, In [1]: StoppedInTime: stopped in time" in err
    (tmp_path / "go").touch()
    assert finish(begin(path))[0] == 0
    assert notebook_of(tmp_path, "stops", 2).exists()


WAITS = """\
import os, time
from pathlib import Path
Path('pid').write_text(str(os.getpid()) + '\\n')
time.sleep(600)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_ended_by_a_signal(tmp_path: Path, begin: Begin, number: int, code: int) -> None:
    """The kernel is ended too, and the notebook so far stays readable."""
    process, told = begin(write(tmp_path / "waits.ipynb", WAITS)), tmp_path / "pid"
    until(lambda: told.exists() and "\n" in told.read_text())
    # as a terminal does it: the command ignores it, its child gets it
    (child,) = psutil.Process(process.pid).children()
    target = child.pid if number == signal.SIGINT else process.pid
    os.kill(target, number)
    ended, _, err = finish(process)
    assert ended == code, err
    assert gone(int(told.read_text()))
    assert json.loads(notebook_of(tmp_path, "waits").read_text())["cells"]


def test_a_killed_command_leaves_no_kernel(tmp_path: Path, begin: Begin) -> None:
    """kill -9 of the command ends the program and the kernel; the kernel's files are private."""
    process, told = begin(write(tmp_path / "waits.ipynb", WAITS)), tmp_path / "pid"
    until(lambda: told.exists() and "\n" in told.read_text())
    kernel = psutil.Process(int(told.read_text()))
    connection = Path(kernel.cmdline()[kernel.cmdline().index("-f") + 1])
    assert connection.parent.stat().st_mode & 0o077 == 0
    assert connection.stat().st_mode & 0o077 == 0
    assert len(json.loads(connection.read_text())["key"]) > 30
    assert [c for c in kernel.net_connections("inet") if c.status == psutil.CONN_LISTEN] == []
    process.kill()
    process.wait(timeout=20)
    until(lambda: gone(kernel.pid))


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_dead_kernel_is_told(tmp_path: Path, begin: Begin) -> None:
    """A kernel that is killed, as by lack of memory, is told by its signal."""
    path = write(tmp_path / "dies.ipynb", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    code, _, err = finish(begin(path))
    assert code == 137
    assert "the kernel was ended by SIGKILL (out of memory?)" in err


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("StoppedInTime", "x", 75),
        ("RunBusy", "x", 4),
        ("NotAllowed", "x", 5),
        ("SystemExit", "3", 3),
        ("SystemExit", "some words", 1),
        ("KeyboardInterrupt", "", 130),
        ("ValueError", "75", 1),
        ("Exit", "75", 1),
    ],
)
def test_codes_of_errors(name: str, value: str, code: int) -> None:
    """Errors of ours that leave a cell end the run with their own code, as in a script."""
    assert _code_of(name, value) == code
