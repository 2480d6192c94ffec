"""A job is followed by its own files and the scheduler's word; a failure has its last words."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pangeo_hpc.demo import follow
from pangeo_hpc.demo.timeline import Timeline, table
from pangeo_hpc.errors import JobFailed, StoppedInTime
from pangeo_hpc.jobs import Job
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.workflow.runs import RunFolder

BEGAN = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def status(state: JobState, **facts: object) -> JobStatus:
    return JobStatus(id="7", state=state, **facts)  # type: ignore[arg-type]


class World:
    """A run folder in which things happen between the questions to the scheduler."""

    def __init__(self, path: Path) -> None:
        self.folder = RunFolder(path)
        self.job = Job(name="demo-abcd", folder=path / "attempts" / "0002", id="7")
        self.job.folder.mkdir(parents=True)
        self.said: list[str] = []
        self.bars: list[tuple[int, int]] = []

    def marks(self, attempt: int = 2, dask: float = 10.0) -> None:
        told = {"attempt": str(attempt), "script": at(5).isoformat(), "dask": at(dask).isoformat()}
        (self.folder.path / follow.MARKS).write_text(json.dumps(told))

    def progress(self, done: int, total: int, seconds: float) -> None:
        updated = at(seconds).isoformat(timespec="seconds")
        told = {"format": 1, "done": done, "total": total, "unit": "x", "updated": updated}
        (self.folder.path / "progress.json").write_text(json.dumps(told))

    def follow(self, life: Iterator[JobStatus]) -> JobStatus:
        follower = follow.Follower(
            self.folder,
            self.job,
            lambda: next(life),
            say=self.said.append,
            bar=lambda text, done, total: self.bars.append((done, total)),
        )
        return follower.to_the_end()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(follow, "LOOK", 0.001)
    monkeypatch.setattr(follow, "ASK", 0.002)
    return World(tmp_path)


def test_each_stage_is_told_once(world: World) -> None:
    """Waiting with its reason, running with its nodes, workers, units, end: in their order."""

    def life() -> Iterator[JobStatus]:
        yield status(JobState.PENDING, reason="Resources")
        yield status(JobState.PENDING, reason="Resources")
        yield status(JobState.RUNNING, nodes=("n1", "n2"))
        world.marks()
        yield status(JobState.RUNNING, nodes=("n1", "n2"))
        world.progress(1, 4, 12)
        yield status(JobState.RUNNING, nodes=("n1", "n2"))
        world.progress(4, 4, 15)
        yield status(JobState.RUNNING, nodes=("n1", "n2"))
        yield status(JobState.COMPLETED)

    assert world.follow(life()).state is JobState.COMPLETED
    assert world.said == [
        "job 7 waits in the queue (Resources)",
        "job 7 is running on n1, n2",
        "the job has its Dask workers and computes",
        "the first units are on scratch: 1 of 4",
        "all 4 units are on scratch; the job ends",
    ]
    assert world.bars == [(1, 4)]


@pytest.mark.parametrize("leave", ["marks", "progress"])
def test_what_an_earlier_job_left_is_not_shown(world: World, leave: str) -> None:
    """Marks of another attempt, and progress from before this one's, are not taken for news."""
    world.progress(4, 4, 1)
    if leave == "marks":
        world.marks(attempt=1, dask=0.5)
    else:
        world.marks(attempt=2, dask=10)

    def life() -> Iterator[JobStatus]:
        for _ in range(5):
            yield status(JobState.RUNNING)
        yield status(JobState.COMPLETED)

    world.follow(life())
    assert not [line for line in world.said if "scratch" in line]


def test_the_timeline_of_an_ended_job(world: World) -> None:
    """Every stage gets its seconds from whoever knows: scheduler, script or run."""
    world.marks()
    report = {"seconds": 20.0, "outputs": [{"seconds_to_first_unit": 8.5}]}
    (world.folder.path / "outputs.json").write_text(json.dumps(report))
    timeline = Timeline(BEGAN)
    timeline.reach("submitted", at(1))
    ended = status(JobState.COMPLETED, started=at(3), ended=at(27))
    follow.moments(world.folder, world.job, ended, timeline)
    assert timeline.seconds() == {
        "submitted": 1.0, "started": 2.0, "script": 2.0, "dask": 5.0, "first_unit": 3.5,
        "last_unit": 11.5, "ended": 2.0,
    }  # fmt: skip
    assert timeline.since("submitted", "first_unit") == 12.5
    assert table({"started": 2.0}) == [("wait in the queue", "2.0 s")]


def test_clocks_that_differ_give_no_negative_times() -> None:
    """A node whose clock is behind makes a stage of no time, not of less."""
    timeline = Timeline(BEGAN)
    timeline.reach("submitted", at(2))
    timeline.reach("started", at(-3))
    timeline.reach("script", at(4))
    assert timeline.seconds() == {"submitted": 2.0, "started": 0.0, "script": 2.0}
    assert timeline.since("submitted", "first_unit") is None


FAILURES: list[tuple[JobStatus, str]] = [
    (status(JobState.FAILED, exit_code=3), "job 7 ended: failed, exit code 3; its last words"),
    (status(JobState.OUT_OF_MEMORY), "job 7 ended: out of memory; its last words"),
    (status(JobState.CANCELLED, reason="cancelled"), "job 7 ended: cancelled; its last words"),
    (status(JobState.NODE_FAIL, reason="n2"), "job 7 ended: node fail (n2); its last words"),
]


@pytest.mark.parametrize(("ended", "words"), FAILURES, ids=lambda value: str(value)[:40])
def test_a_failure_comes_with_the_last_words(world: World, ended: JobStatus, words: str) -> None:
    """What a failed job printed last is in the error, and how to see all of it."""
    world.job.output.write_text("".join(f"line {number}\n" for number in range(40)))
    with pytest.raises(JobFailed) as caught:
        follow.refuse_failure(ended, world.folder, world.job.output)
    assert caught.value.text.startswith(words)
    assert caught.value.text.endswith("\n  line 38\n  line 39")
    assert "line 24" not in caught.value.text
    assert caught.value.hint == f"all it printed: pangeo-hpc runs logs {world.folder.name}"


def test_a_job_that_stopped_in_time_is_no_failure(world: World) -> None:
    """Exit code 75 asks for the same command again."""
    with pytest.raises(StoppedInTime, match="run the same command again"):
        follow.refuse_failure(status(JobState.FAILED, exit_code=75), world.folder, world.job.output)
    follow.refuse_failure(status(JobState.COMPLETED), world.folder, world.job.output)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_bytes(b"")])
def test_a_job_that_said_nothing(world: World, make: Callable[[Path], object]) -> None:
    """No output is told as such."""
    make(world.job.output)
    with pytest.raises(JobFailed, match="its last words: nothing"):
        follow.refuse_failure(status(JobState.FAILED), world.folder, world.job.output)
