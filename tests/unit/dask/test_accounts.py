"""Where the workers' time went, as the scheduler's own events tell it."""

from types import SimpleNamespace
from typing import Any

import pytest
from distributed.core import Status

from pangeo_hpc.dask.accounts import Account, Accounts, computed, unfinished


class Story:
    """Tells an account what a scheduler would tell it, at times that a test chooses."""

    def __init__(self) -> None:
        self.now = 0.0
        self.cluster: Any = SimpleNamespace(
            unit_of=lambda name: name.split("-")[0], status=Status.running
        )
        self.accounts = Accounts(self.cluster, clock=lambda: self.now)
        self.scheduler: Any = SimpleNamespace(workers={})

    def come(self, name: str, threads: int = 1) -> None:
        self.scheduler.workers[name] = SimpleNamespace(name=name, nthreads=threads)
        self.accounts.add_worker(self.scheduler, name)

    def begin(self, *keys: str) -> None:
        for key in keys:
            self.accounts.transition(key, "waiting", "processing", stimulus_id="begin")

    def end(self, key: str, worker: str, seconds: float, finish: str = "memory") -> None:
        parts = [
            {"action": "transfer", "start": 0.0, "stop": 5.0},
            {"action": "compute", "start": 5.0, "stop": 5.0 + seconds},
        ]
        self.accounts.transition(
            key, "processing", finish, stimulus_id="end", worker=worker, startstops=parts
        )

    def lose(
        self, worker: str, *, processing: tuple[str, ...] = (), held: tuple[str, ...] = ()
    ) -> None:
        for key in processing:
            self.accounts.transition(key, "processing", "released", stimulus_id="lost")
        for key in held:
            self.accounts.transition(key, "memory", "released", stimulus_id="lost")
        self.accounts.remove_worker(self.scheduler, worker, stimulus_id="lost")

    def of(self, unit: str) -> Account:
        return self.accounts.units[unit]


@pytest.fixture
def story() -> Story:
    return Story()


def test_busy(story: Story) -> None:
    """Only what is computed counts, and for the unit that did it."""
    story.come("a-0")
    story.come("b-0")
    story.begin("x", "y")
    story.end("x", "a-0", 3.0)
    story.end("y", "b-0", 4.0)
    assert (story.of("a").busy, story.of("b").busy) == (3.0, 4.0)
    assert story.of("a").lost == 0.0


def test_failures_are_lost(story: Story) -> None:
    """A task that failed made nothing."""
    story.come("a-0")
    story.begin("x")
    story.end("x", "a-0", 3.0, "erred")
    assert (story.of("a").busy, story.of("a").lost) == (0.0, 3.0)


def test_lost_with_a_worker(story: Story) -> None:
    """What a worker held alone, and what it had begun, is lost with it."""
    story.come("a-0")
    story.begin("x", "y", "z")
    story.now = 10.0
    story.end("x", "a-0", 10.0)
    story.now = 14.0
    story.lose("a-0", processing=("y", "z"), held=("x",))
    assert story.of("a") == Account(began=0.0, ended=14.0, busy=0.0, lost=14.0)


def test_results_that_were_used_are_not_lost(story: Story) -> None:
    """A result that nobody wants any more was worth its time, also when it is made again later."""
    story.come("a-0")
    story.begin("x")
    story.end("x", "a-0", 3.0)
    story.accounts.transition("x", "memory", "released", stimulus_id="client-releases-keys")
    story.begin("x")
    story.end("x", "a-0", 3.0)
    assert (story.of("a").busy, story.of("a").lost) == (6.0, 0.0)


def test_closing_loses_nothing(story: Story) -> None:
    """Results that are still there when the cluster closes were not made in vain."""
    story.come("a-0")
    story.begin("x")
    story.end("x", "a-0", 3.0)
    story.cluster.status = Status.closing
    story.lose("a-0", held=("x",))
    assert (story.of("a").busy, story.of("a").lost) == (3.0, 0.0)


def test_a_unit_ends_with_its_last_worker(story: Story) -> None:
    """And begins with its first; a worker that was started again goes on."""
    story.come("a-0")
    story.now = 1.0
    story.come("a-1")
    story.now = 2.0
    story.lose("a-0")
    assert story.of("a") == Account(began=0.0)
    story.now = 3.0
    story.lose("a-1")
    assert story.of("a").ended == 3.0
    story.come("a-0")
    assert story.of("a") == Account(began=0.0)


def test_unfinished() -> None:
    """A worker computes as many tasks as it has threads, each once a thread is free."""
    assert unfinished([0.0, 0.0, 0.0], 1, [], 10.0) == 10.0
    assert unfinished([0.0, 0.0, 0.0], 2, [], 10.0) == 20.0
    assert unfinished([0.0, 2.0], 2, [6.0], 10.0) == 10.0 + 4.0
    assert unfinished([8.0], 2, [1.0, 6.0], 10.0) == 2.0
    assert unfinished([], 4, [1.0], 10.0) == 0.0
    assert unfinished([1.0], 0, [], 10.0) == 0.0


def test_computed() -> None:
    """Unknown parts and clocks that run backwards count nothing."""
    assert computed([{"action": "compute", "start": 5, "stop": 4}, {"action": "disk-read"}]) == 0
