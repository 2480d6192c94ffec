"""The one question for the jobs of all clusters, with a clock of this test."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from pangeo_hpc.dask import gate
from pangeo_hpc.dask.desk import Desk, parts_of
from pangeo_hpc.dask.ends import Ends, Next
from pangeo_hpc.dask.follower import FAST, SLOW, Follower, key_of
from pangeo_hpc.dask.ledger import Ledger
from pangeo_hpc.dask.table import JobsTable, WorkerJobStatus
from pangeo_hpc.errors import SchedulerUnreachable
from pangeo_hpc.jobs import Job
from pangeo_hpc.run import Command, Conversation, Result, run
from pangeo_hpc.schedulers.base import JobState, JobStatus, SchedulerOptions

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


@dataclass
class Queue:
    """A batch system that knows some states, and notes what it was asked."""

    kind = "slurm"
    options = SchedulerOptions()
    states: dict[str, JobState] = field(default_factory=dict)
    asked: list[set[str]] = field(default_factory=list)
    silent: bool = False

    def status(self, ids: Collection[str]) -> Conversation[dict[str, JobStatus]]:
        self.asked.append(set(ids))
        if self.silent:
            raise SchedulerUnreachable("no answer")
        known = {i: self.states[i] for i in ids if i in self.states}
        return {i: JobStatus(id=i, state=state) for i, state in known.items()}
        yield

    def history(self, ids: Collection[str]) -> Conversation[dict[str, JobStatus]]:
        return {}
        yield


@dataclass
class Counter:
    """What the follower needs of a desk."""

    scheduler: Queue
    ledger: Ledger
    runner: Any = None


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def desk(queue: Queue, clock: Clock, folder: Path, **units: str) -> Desk:
    ledger = Ledger(clock=clock)
    made = {unit: Job(name="dask", folder=folder / unit, id=i) for unit, i in units.items()}
    ledger.add(made, clock())
    return cast(Desk, Counter(queue, ledger))


def quiet(clock: Clock) -> Follower:
    """Return a follower whose thread this test is."""
    follower = Follower(clock=clock)
    follower.add = follower._desks.append  # type: ignore[method-assign]
    return follower


def step(follower: Follower, desks: list[Desk]) -> float:
    """Ask if it is time to, and return the seconds until the next question."""
    key = key_of(desks[0])
    if follower._pause(key, desks) <= 0:
        follower._ask(key, desks)
    return follower._pause(key, desks)


def test_one_question_for_all(clock: Clock, tmp_path: Path) -> None:
    """Desks of one batch system share a question; it is asked less often when nothing begins."""
    queue = Queue({"1": JobState.PENDING, "2": JobState.PENDING})
    desks = [desk(queue, clock, tmp_path, a="1"), desk(queue, clock, tmp_path, b="2")]
    follower = quiet(clock)
    for each in desks:
        follower.add(each)
    assert step(follower, desks) == FAST
    assert queue.asked == [{"1", "2"}]
    clock.now += 61
    assert step(follower, desks) == SLOW
    queue.states["1"] = JobState.RUNNING
    clock.now += SLOW
    assert step(follower, desks) == FAST
    desks[0].ledger.present.add("a")
    clock.now += FAST
    assert step(follower, desks) == SLOW - FAST
    queue.states |= {"1": JobState.COMPLETED, "2": JobState.CANCELLED}
    clock.now += SLOW
    step(follower, desks)
    assert len(queue.asked) == 4
    clock.now += 1000
    step(follower, desks)
    assert len(queue.asked) == 4, "nothing is left to ask about"


def test_reading_the_table_often(clock: Clock, tmp_path: Path) -> None:
    """However often a person looks, there is one question in an interval."""
    queue = Queue({"1": JobState.RUNNING})
    one, follower = desk(queue, clock, tmp_path, a="1"), quiet(clock)
    for _ in range(50):
        follower.refresh(one)
    assert len(queue.asked) == 1
    clock.now += 1
    one.ledger.add({"b": Job(name="dask", folder=tmp_path, id="2")}, clock())
    follower.refresh(one)
    assert len(queue.asked) == 2


def test_reading_the_table_when_workers_came(clock: Clock, tmp_path: Path) -> None:
    """Workers of a job that was said to wait are news: where the job runs is asked at once."""
    queue = Queue({"1": JobState.PENDING})
    one, follower = desk(queue, clock, tmp_path, a="1"), quiet(clock)
    follower.refresh(one)
    queue.states["1"] = JobState.RUNNING
    clock.now += 0.5
    one.ledger.came("a")
    clock.now += 0.5
    for _ in range(50):
        follower.refresh(one)
    one.ledger.came("a")
    clock.now += 0.5
    follower.refresh(one)
    assert len(queue.asked) == 2, "one that is known to run is no news"


def test_reading_the_table_while_nobody_answers(clock: Clock, tmp_path: Path) -> None:
    """A batch system that hangs does not make each look at the table hang as long."""
    queue = Queue({}, silent=True)
    one, follower = desk(queue, clock, tmp_path, a="1"), quiet(clock)
    real = queue.status

    def slow(ids: Collection[str]) -> Conversation[dict[str, JobStatus]]:
        clock.now += 30
        return real(ids)

    queue.status = slow  # type: ignore[method-assign]
    for _ in range(50):
        follower.refresh(one)
        clock.now += 1
    assert len(queue.asked) == 1


def test_no_answer_is_no_news(clock: Clock, tmp_path: Path) -> None:
    """A batch system that does not answer changes nothing that is known."""
    queue = Queue({"1": JobState.RUNNING})
    one, follower = desk(queue, clock, tmp_path, a="1"), quiet(clock)
    step(follower, [one])
    queue.silent = True
    for _ in range(20):
        clock.now += SLOW
        step(follower, [one])
    assert one.ledger.states()["a"].state is JobState.RUNNING


def test_a_job_that_nobody_knows(clock: Clock, tmp_path: Path) -> None:
    """Lost is believed when the history had its time, and at once where it was to leave."""
    queue = Queue({})
    one = desk(queue, clock, tmp_path, a="1")
    step(quiet(clock), [one])
    assert not one.ledger.has_ended("a")
    clock.now += 21
    step(quiet(clock), [one])
    assert one.ledger.states()["a"].state is JobState.LOST
    other = Ledger(jobs={"a": Job(name="dask", folder=tmp_path, id="1")})
    other.told({"1": JobStatus(id="1", state=JobState.LOST)}, leaving=True)
    assert other.states()["a"].state is JobState.LOST
    other = Ledger(jobs={"a": Job(name="dask", folder=tmp_path, id="1")}, cancelled={"1"})
    other.told({"1": JobStatus(id="1", state=JobState.LOST)})
    assert other.states()["a"].state is JobState.CANCELLED


def test_how_long_the_queue_is() -> None:
    """The wait of the last starts, in the middle."""
    ledger = Ledger()
    assert ledger.queue_wait() is None
    for number, wait in enumerate([500, 10, 30, 20]):
        submitted = NOW + timedelta(minutes=number * 10)
        ledger.jobs[str(number)] = Job(name="dask", folder=Path("/nowhere"), id=str(number))
        ledger.told(
            {
                str(number): JobStatus(
                    id=str(number),
                    state=JobState.RUNNING,
                    submitted=submitted,
                    started=submitted + timedelta(seconds=wait),
                )
            }
        )
    assert ledger.queue_wait() == 25


def test_runs_of_numbers() -> None:
    """An array has consecutive numbers, and no more than it may."""
    units = [f"dask-x-{number}" for number in (9, 10, 11, 2, 3, 12)]
    assert [[u.rpartition("-")[2] for u in part] for part in parts_of(units, 3)] == [
        ["2", "3"],
        ["9", "10", "11"],
        ["12"],
    ]


def test_few_programs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all threads of the process, four have a program of the batch system."""
    import threading

    inside, most = [], []
    barrier = threading.Barrier(gate.AT_ONCE)

    def slow(command: Command) -> Result:
        inside.append(command)
        most.append(len(inside))
        barrier.wait(timeout=20)
        inside.pop()
        return Result(command.argv, 0)

    assert run is gate.run
    monkeypatch.setattr(gate, "run", slow)
    threads = [
        threading.Thread(target=gate.gently, args=(Command(("squeue",)),)) for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert max(most) == gate.AT_ONCE
    assert len(most) == 12


def ended(state: JobState, *, code: int | None = None, lived: float = 1) -> JobStatus:
    return JobStatus(
        id="7",
        state=state,
        exit_code=code,
        nodes=("n1",),
        started=NOW,
        ended=NOW + timedelta(seconds=lived),
    )


@pytest.mark.parametrize(
    ("status", "log", "came", "follows", "advice"),
    [
        (ended(JobState.COMPLETED, code=0, lived=30), "", True, Next.REPLACE, "output"),
        (ended(JobState.TIMEOUT), "", True, Next.REPLACE, "walltime"),
        (ended(JobState.CANCELLED), "", False, Next.REPLACE, "somebody cancelled it"),
        (ended(JobState.OUT_OF_MEMORY, lived=9999), "", True, Next.NOT_AGAIN, "memory=..."),
        (ended(JobState.FAILED, code=1), "No module named 'dask'", False, Next.STOP, "Python"),
        (ended(JobState.FAILED, code=127), "", False, Next.STOP, "Python"),
        (ended(JobState.FAILED, code=1), "ImportError: a task's own", True, Next.REPLACE, "output"),
    ],
)
def test_what_follows(
    tmp_path: Path, status: JobStatus, log: str, came: bool, follows: Next, advice: str
) -> None:
    """Another job, none in its place, or no more at all; with the next step for the person."""
    job = Job(name="dask-abcd", folder=tmp_path, id="7")
    job.output.write_text(log)
    found, error = Ends().judge(job, status, came=came)
    assert found is follows
    assert "worker job 7 (dask-abcd) ended on n1: " in error.text
    assert error.hint
    assert advice in error.hint


def test_the_third_equal_failure(tmp_path: Path) -> None:
    """Three equal young ends stop it; others, old ones and a success in between do not."""
    ends, job = Ends(), Job(name="dask-abcd", folder=tmp_path, id="7")

    def judge(status: JobStatus, *, came: bool = True) -> Next:
        return ends.judge(job, status, came=came)[0]

    failed = ended(JobState.FAILED, code=1)
    assert [judge(failed), judge(failed)] == [Next.REPLACE] * 2
    assert judge(ended(JobState.FAILED, code=2)) is Next.REPLACE
    assert judge(ended(JobState.FAILED, code=1, lived=70)) is Next.REPLACE
    assert judge(failed) is Next.STOP
    ends.works()
    assert judge(failed) is Next.REPLACE
    # ends well, but never had a worker
    empty = ended(JobState.COMPLETED, code=0)
    assert [judge(empty, came=False) for _ in range(3)][-1] is Next.STOP


def test_the_table(tmp_path: Path) -> None:
    """A list of states that shows itself as a table, as text and in a notebook."""
    status = JobStatus(
        id="12_3",
        state=JobState.FAILED,
        reason="<b>bad</b>",
        nodes=("n1",),
        exit_code=7,
        submitted=NOW,
        ended=NOW + timedelta(minutes=61),
        memory_used=3 << 30,
    )
    table = JobsTable([WorkerJobStatus.of(status, "dask-x-3", tmp_path)])
    assert table[0].state is JobState.FAILED
    assert (table[0].node, table[0].memory_peak) == ("n1", 3 << 30)
    assert table[0].age == timedelta(minutes=61)
    head, row = repr(table).splitlines()
    assert head.split("  ")[0] == "job"
    assert row.split() == [
        "12_3",
        "dask-x-3",
        "failed",
        "<b>bad</b>",
        "n1",
        "1",
        "h",
        "01",
        "min",
        "7",
        "3",
        "GiB",
    ]
    assert "<td>&lt;b&gt;bad&lt;/b&gt;</td>" in table._repr_html_()
    assert repr(JobsTable()).startswith("job")
