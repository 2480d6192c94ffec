"""One look for all: what is believed of an answer, and how often the queue is asked."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

import pytest

from pangeo_hpc.errors import SchedulerUnreachable
from pangeo_hpc.hub.poller import HISTORY_DELAY, REST, SHORTEST, Poller
from pangeo_hpc.schedulers.base import JobState, JobStatus
from tests.unit.hub.conftest import Forever

DOWN = SchedulerUnreachable("slurmctld does not answer")


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Asked:
    """A queue or a history: what it knows now, and what it was asked."""

    def __init__(self, clock: Clock, takes: float = 0.0) -> None:
        self.clock, self.takes = clock, takes
        self.known: dict[str, JobState | None] = {}
        self.failure: Exception | None = None
        self.asked: list[list[str]] = []
        self.during: Callable[[], None] | None = None

    async def __call__(self, ids: Collection[str]) -> Mapping[str, JobStatus | None]:
        self.asked.append(sorted(ids))
        self.clock.now += self.takes
        if self.during is not None:
            self.during()
        if self.failure is not None:
            raise self.failure
        return {i: told(i, s) for i, s in self.known.items() if i in ids}


def told(job_id: str, state: JobState | None, **more: Any) -> JobStatus | None:
    return None if state is None else JobStatus(id=job_id, state=state, **more)


class Bench:
    """A poller that is made to look by hand: its own task is not started."""

    def __init__(self, interval: float = 15.0, takes: float = 0.0) -> None:
        self.clock = Clock()
        self.queue = Asked(self.clock, takes)
        self.history = Asked(self.clock)
        self.costs: list[tuple[float, bool]] = []
        self.poller = Poller(
            self.queue,
            self.history,
            interval=interval,
            clock=self.clock,
            told=lambda seconds, failed: self.costs.append((seconds, failed)),
        )
        self.poller._task = Forever()  # type: ignore[assignment]

    def look(self) -> float:
        return asyncio.run(self.poller.look())

    def state(self, job_id: str) -> JobState | None:
        news = self.poller.news(job_id)
        return news.status.state if news else None


def test_all_jobs_in_one_question():
    """A hundred jobs cost one call of the queue, and none of the history while they are there."""
    bench = Bench()
    for number in range(100):
        bench.poller.watch(str(number))
        bench.queue.known[str(number)] = JobState.RUNNING
    bench.look()
    assert [len(ids) for ids in bench.queue.asked] == [100]
    assert bench.history.asked == []
    assert bench.costs == [(0.0, False)]
    assert (bench.poller.figures.questions, bench.poller.figures.failures) == (1, 0)


def test_a_failed_question_is_no_news():
    """The last state stays, and the time it was heard; the failure is counted."""
    bench = Bench()
    bench.poller.watch("1")
    bench.queue.known["1"] = JobState.RUNNING
    bench.look()
    before = bench.poller.news("1")
    bench.queue.failure = DOWN
    bench.clock.now += 3600
    bench.look()
    assert bench.poller.news("1") == before
    assert bench.poller.figures.failures == 1
    assert bench.poller.figures.last_failure == DOWN.text
    assert bench.history.asked == []


def test_a_fault_of_ours_is_no_news_either(caplog):
    """An exception that nobody expected is logged and counted, and the next look goes on."""
    bench = Bench()
    bench.poller.watch("1")
    bench.queue.failure = KeyError("JobArrayID")
    with caplog.at_level(logging.ERROR):
        bench.look()
    assert "a look at the queue failed" in caplog.text
    assert "KeyError" in bench.poller.figures.last_failure
    bench.queue.failure = None
    bench.queue.known["1"] = JobState.PENDING
    bench.look()
    assert bench.state("1") is JobState.PENDING


def test_gone_only_when_the_history_confirms_it():
    """A job that the queue lacks is what the history says: running still, or ended how."""
    bench = Bench()
    for job_id in ("1", "2"):
        bench.poller.watch(job_id)
        bench.queue.known[job_id] = JobState.RUNNING
    bench.look()
    bench.queue.known.clear()
    bench.history.known = {"1": JobState.OUT_OF_MEMORY, "2": JobState.RUNNING}
    bench.look()
    assert (bench.state("1"), bench.state("2")) == (JobState.OUT_OF_MEMORY, JobState.RUNNING)
    bench.look()
    assert bench.queue.asked[-1] == ["2"], "an end is final"


def test_a_job_nobody_knows_is_lost_after_a_while():
    """The history is some seconds late: until then nothing is said, and one sight is enough."""
    bench = Bench()
    bench.poller.watch("1")
    bench.queue.known["1"] = JobState.RUNNING
    bench.look()
    bench.queue.known.clear()
    bench.look()
    bench.clock.now += HISTORY_DELAY - 1
    bench.look()
    assert bench.state("1") is JobState.RUNNING
    bench.queue.known["1"] = JobState.RUNNING
    bench.look()
    bench.queue.known.clear()
    bench.clock.now += 2
    bench.look()
    assert bench.state("1") is JobState.RUNNING, "it was seen in between: the time begins anew"
    bench.clock.now += HISTORY_DELAY
    bench.look()
    assert bench.state("1") is JobState.LOST


def test_a_history_that_fails_holds_nobody_up():
    """An end that the queue tells stands, others' news too; a missing job stays what it was."""
    bench = Bench()
    for job_id in ("1", "2", "3"):
        bench.poller.watch(job_id)
        bench.queue.known[job_id] = JobState.RUNNING
    bench.look()
    bench.queue.known = {"1": JobState.SUSPENDED, "2": JobState.FAILED}
    bench.history.failure = DOWN
    bench.look()
    bench.clock.now += 10 * HISTORY_DELAY
    bench.look()
    states = [bench.state(job_id) for job_id in ("1", "2", "3")]
    assert states == [JobState.SUSPENDED, JobState.FAILED, JobState.RUNNING]


def test_of_some_jobs_nobody_can_say_anything():
    """None for a job is no news: neither of its state nor of its end."""
    bench = Bench()
    for job_id in ("1", "2"):
        bench.poller.watch(job_id)
        bench.queue.known[job_id] = JobState.RUNNING
    bench.look()
    bench.queue.known = {"1": None}
    bench.history.known = {"2": None}
    bench.look()
    bench.clock.now += 10 * HISTORY_DELAY
    bench.look()
    assert (bench.state("1"), bench.state("2")) == (JobState.RUNNING, JobState.RUNNING)


def test_the_history_knows_more_of_an_end():
    """The exit code comes from the history, though the queue told the end first."""
    bench = Bench()
    bench.poller.watch("1")
    bench.queue.known["1"] = JobState.FAILED

    async def history(ids: Collection[str]) -> Mapping[str, JobStatus]:
        return {i: JobStatus(id=i, state=JobState.FAILED, exit_code=3) for i in ids}

    bench.poller._history = history
    bench.look()
    news = bench.poller.news("1")
    assert news is not None and news.status.exit_code == 3


def test_a_job_forgotten_and_followed_anew_while_an_answer_is_under_way(caplog):
    """The old answer says nothing of the new watch, and the forgotten one leaves nothing."""
    caplog.set_level(logging.INFO)
    bench = Bench()
    bench.poller.watch("1")
    bench.poller.watch("2")
    bench.queue.known = {"1": JobState.FAILED, "2": JobState.RUNNING}

    def anew() -> None:
        bench.poller.forget("1")
        bench.poller.watch("1", starting=True)
        bench.poller.forget("2")

    bench.queue.during = anew
    bench.history.known["1"] = JobState.FAILED
    bench.look()
    assert bench.state("1") is None
    assert set(bench.poller.watched()) == {"1"}
    assert caplog.text == "", "nothing is said of a job that nobody follows"


def test_many_jobs_end_at_once():
    """Five hundred ends are one question to the history, and are asked about never again."""
    bench = Bench()
    ids = [str(number) for number in range(500)]
    for job_id in ids:
        bench.poller.watch(job_id)
    bench.history.known = dict.fromkeys(ids, JobState.CANCELLED)
    bench.look()
    assert [len(asked) for asked in bench.history.asked] == [500]
    assert bench.look() == 0.0
    assert len(bench.queue.asked) == 1
    for job_id in ids:
        bench.poller.forget(job_id)
    assert bench.poller.watched() == {}


def test_running_servers_are_looked_at_once_per_interval():
    """Without anybody starting the pause is the interval, from the first look on."""
    bench = Bench(interval=15)
    bench.poller.watch("1")
    bench.queue.known["1"] = JobState.RUNNING
    assert bench.poller.pauses(bench.look()) == (SHORTEST, 15.0)
    assert bench.poller.pauses(bench.look()) == (SHORTEST, 15.0)


def test_starting_servers_are_looked_at_more_often_and_less_and_less():
    """The pauses begin at one second and grow to the interval; a change of state begins anew.

    What changes without meaning, such as an estimated start, does not.
    """
    bench = Bench(interval=15)
    bench.poller.watch("1", starting=True)
    bench.queue.known["1"] = JobState.PENDING
    bench.look()
    pauses = [bench.poller.pauses(0.0)[1]]
    for number in range(4):

        async def queue(ids: Collection[str], n: int = number) -> Mapping[str, JobStatus]:
            return {
                i: JobStatus(id=i, state=JobState.PENDING, reason=f"Resources {n}") for i in ids
            }

        bench.poller._queue = queue
        bench.look()
        pauses.append(bench.poller.pauses(0.0)[1])
    assert pauses == [1.0, 2.5, 6.25, 15.0, 15.0]
    bench.poller._queue = bench.queue
    bench.queue.known["1"] = JobState.RUNNING
    bench.look()
    assert bench.poller.pauses(0.0)[1] == 1.0
    bench.poller.watch("1", starting=False)
    assert bench.poller.pauses(0.0)[1] == 15.0


def test_a_slow_scheduler_is_left_alone():
    """The pause is at least five times what an answer took, for whoever is in a hurry, too."""
    bench = Bench(interval=15, takes=6.0)
    bench.poller.watch("1", starting=True)
    shortest, pause = bench.poller.pauses(bench.look())
    assert (shortest, pause) == (REST * 6.0, REST * 6.0)


@pytest.fixture
def quick(monkeypatch):
    """Let the queue rest for a moment instead of a second."""
    monkeypatch.setattr("pangeo_hpc.hub.poller.SHORTEST", 0.1)


async def eventually(fits: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not fits():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


class Counting:
    """A queue in real time, in which everything runs."""

    def __init__(self) -> None:
        self.looks = 0
        self.failures = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, ids: Collection[str]) -> Mapping[str, JobStatus]:
        self.looks += 1
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise RuntimeError("never expected")
        return {i: JobStatus(id=i, state=JobState.RUNNING) for i in ids}


def running(body: Callable[[Poller, Counting], Any], interval: float = 0.02) -> Callable[[], None]:
    async def run() -> None:
        queue = Counting()
        poller = Poller(queue, queue, interval=interval)
        try:
            await body(poller, queue)
        finally:
            await poller.stop()

    return lambda: asyncio.run(run())


def test_the_task_lives_as_long_as_somebody_follows(quick):
    """It starts with the first watch, ends after the last forget, and starts again."""

    async def body(poller: Poller, queue: Counting) -> None:
        for _ in range(2):
            poller.watch("1")
            assert await poller.next_answer(within=10)
            task = poller._task
            assert task is not None
            poller.forget("1")
            await eventually(task.done)
            assert task.exception() is None

    running(body, interval=60)()


def test_an_exception_does_not_end_the_task(quick):
    """After two failures nobody expected the third look brings the news."""

    async def body(poller: Poller, queue: Counting) -> None:
        queue.failures = 2
        poller.watch("1")
        await eventually(lambda: poller.news("1") is not None)
        assert queue.looks >= 3
        assert poller.figures.failures == 2

    running(body)()


def test_a_dead_task_is_started_again_by_the_next_watch(quick):
    """Even if something ended the task, following a job that is followed already revives it."""

    async def body(poller: Poller, queue: Counting) -> None:
        poller.watch("1")
        await poller.next_answer(within=10)
        assert poller._task is not None
        poller._task.cancel()
        await eventually(poller._task.done)
        looks = queue.looks
        poller.watch("1")
        await eventually(lambda: queue.looks > looks)

    running(body, interval=60)()


def test_a_hurry_during_a_look_is_not_forgotten(quick):
    """Who asks while an answer is under way gets another one soon, not after the interval."""

    async def body(poller: Poller, queue: Counting) -> None:
        queue.gate.clear()
        poller.watch("1")
        await eventually(lambda: queue.looks == 1)
        poller.watch("2")
        queue.gate.set()
        await eventually(lambda: poller.news("2") is not None)
        assert queue.looks == 2

    running(body, interval=3600)()


def test_a_hundred_hurries_are_one_look(quick):
    """Many servers that start at once share one look, and the queue keeps its second of rest."""

    async def body(poller: Poller, queue: Counting) -> None:
        poller.watch("0")
        await poller.next_answer(within=10)
        for number in range(100):
            poller.watch(str(number), starting=True)
            poller.look_soon()
            await asyncio.sleep(0)
        began = asyncio.get_running_loop().time()
        await poller.next_answer(within=10)
        assert queue.looks == 2
        assert asyncio.get_running_loop().time() - began > 0.05

    running(body, interval=3600)()


@pytest.mark.parametrize("within", [0.01, 0.0])
def test_waiting_ends_without_an_answer(within, quick):
    """Who waits for a queue that is silent is told so in time."""

    async def body(poller: Poller, queue: Counting) -> None:
        queue.gate.clear()
        poller.watch("1")
        assert await poller.next_answer(within=within) is False

    running(body)()
