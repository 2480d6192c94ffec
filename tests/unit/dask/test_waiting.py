"""What a person reads who waits for workers."""

import io
from types import SimpleNamespace
from typing import Any

import pytest

from pangeo_hpc.dask.place import in_kernel
from pangeo_hpc.dask.waiting import Progress, describe
from pangeo_hpc.schedulers.base import JobState, JobStatus


def job(state: JobState, reason: str = "") -> JobStatus:
    return JobStatus(id="1", state=state, reason=reason)


PENDING, RUNNING = JobState.PENDING, JobState.RUNNING


@pytest.mark.parametrize(
    ("here", "jobs", "line"),
    [
        (1, [], "1 of 4 workers is here"),
        (0, [job(RUNNING)], "0 of 4 workers are here; 1 job is starting"),
        (
            2,
            [job(PENDING, "Priority"), job(PENDING, "Priority")],
            (
                "2 of 4 workers are here; 2 jobs wait in the queue: "
                "Other jobs of this queue come first."
            ),
        ),
        (
            0,
            [job(PENDING, "BeginTime"), job(RUNNING), job(RUNNING)],
            (
                "0 of 4 workers are here; 1 job waits in the queue: "
                "The time at which the job may start has not come yet. 2 jobs are starting"
            ),
        ),
        (0, [job(PENDING)], "0 of 4 workers are here; 1 job waits in the queue"),
    ],
)
def test_describe(here: int, jobs: list[JobStatus], line: str) -> None:
    """How many are here, and why the others are not, in plain words."""
    assert describe("slurm", here, 4, jobs) == line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_short_waits_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is said in the first seconds, and nothing twice."""
    clock = Clock()
    with Progress(notebook=False, clock=clock) as progress:
        progress.show("0 of 2")
        clock.now = 3.0
        progress.show("0 of 2")
        progress.show("0 of 2")
        progress.show("1 of 2")
    assert capsys.readouterr().err == "pangeo-hpc: 0 of 2\npangeo-hpc: 1 of 2\n"


def test_on_a_terminal() -> None:
    """The line changes in place."""
    clock, terminal = Clock(), Terminal()
    with Progress(notebook=False, stream=terminal, clock=clock) as progress:
        clock.now = 3.0
        progress.show("a long line")
        progress.show("short")
    assert terminal.getvalue() == "\ra long line\rshort      \n"


def test_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """One output of the cell changes."""
    shown: list[Any] = []

    class Handle:
        def update(self, data: Any, **more: Any) -> None:
            shown.append(("update", data["text/plain"], more))

    def display(data: Any, **more: Any) -> Handle:
        shown.append(("display", data["text/plain"], more))
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    clock = Clock()
    with Progress(notebook=True, clock=clock) as progress:
        clock.now = 3.0
        progress.show("0 of 2")
        progress.show("1 of 2")
    assert [(kind, text) for kind, text, _ in shown] == [
        ("display", "0 of 2"),
        ("update", "1 of 2"),
    ]


def test_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said to somebody who wants silence."""
    monkeypatch.setenv("PANGEO_HPC_QUIET", "1")
    clock, terminal = Clock(), Terminal()
    with Progress(notebook=False, stream=terminal, clock=clock) as progress:
        clock.now = 3.0
        progress.show("0 of 2")
    assert terminal.getvalue() == ""


def test_where_a_notebook_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a kernel, and not where its modules are merely imported."""
    import ipykernel  # noqa: F401

    assert not in_kernel()
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(kernel="a kernel"))
    assert in_kernel()
