"""What the workers of a cluster did with their time, kept by its scheduler."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from distributed.core import Status
from distributed.diagnostics.plugin import SchedulerPlugin

from pangeo_hpc.dask import keeper

if TYPE_CHECKING:
    from distributed.scheduler import Scheduler

    from pangeo_hpc.dask.cluster import WorkerCluster


@dataclass
class Account:
    """One unit's time: since when it had workers and until when, and its threads' seconds.

    `busy` seconds made results that somebody could use, `lost` ones made nothing: the task failed
    or was broken off, or its result was lost and had to be made again.
    """

    began: float
    ended: float | None = None
    busy: float = 0.0
    lost: float = 0.0


@dataclass
class _Worker:
    unit: str
    threads: int
    # when its last tasks ended: a thread cannot have begun another one before
    stops: deque[float] = field(default_factory=deque)


class Accounts(SchedulerPlugin):
    """Counts the seconds that tasks compute, by the unit that did it."""

    name = "pangeo-hpc-accounts"

    def __init__(self, cluster: "WorkerCluster", clock: Callable[[], float] = time.time) -> None:
        self.units: dict[str, Account] = {}
        self._cluster, self._clock = cluster, clock
        self._workers: dict[str, _Worker] = {}
        self._begun: dict[Any, float] = {}
        self._made: dict[Any, tuple[str, float]] = {}
        # what happened last for one reason, which may turn out to be the loss of a worker
        self._why = ""
        self._broken_off: list[float] = []
        self._dropped: list[tuple[str, float]] = []

    def add_worker(self, scheduler: "Scheduler", worker: str) -> None:
        """Open an account for the unit of a worker."""
        state = scheduler.workers[worker]
        if state.name == keeper.NAME:
            return
        unit = self._cluster.unit_of(str(state.name))
        self._workers[worker] = _Worker(unit, state.nthreads, deque(maxlen=state.nthreads))
        self.units.setdefault(unit, Account(self._clock())).ended = None

    def remove_worker(
        self,
        scheduler: "Scheduler",  # noqa: ARG002
        worker: str,
        *,
        stimulus_id: str = "",
        **more: Any,  # noqa: ARG002
    ) -> None:
        """Count what was broken off with a worker, and close the account after the last one."""
        gone = self._workers.pop(worker, None)
        if gone is None:
            return
        account, moment = self.units[gone.unit], self._clock()
        if self._why == stimulus_id and self._cluster.status == Status.running:
            account.lost += unfinished(self._broken_off, gone.threads, gone.stops, moment)
            for unit, seconds in self._dropped:
                self.units[unit].busy -= seconds
                self.units[unit].lost += seconds
        self._because("")
        if all(other.unit != gone.unit for other in self._workers.values()):
            account.ended = moment

    def transition(  # type: ignore[override]
        self, key: Any, start: Any, finish: Any, *, stimulus_id: str = "", **more: Any
    ) -> None:
        """Follow a task: when a worker got it, how long that computed, and what became of it."""
        if stimulus_id != self._why:
            self._because(stimulus_id)
        if finish == "processing":
            self._begun[key] = self._clock()
        elif start == "processing":
            self._stopped(key, finish, more)
        elif start == "memory" and key in self._made:
            self._dropped.append(self._made.pop(key))

    def _because(self, why: str) -> None:
        self._why, self._broken_off, self._dropped = why, [], []

    def _stopped(self, key: Any, finish: Any, told: Mapping[str, Any]) -> None:
        begun = self._begun.pop(key, None)
        worker = self._workers.get(told.get("worker", ""))
        if "startstops" not in told or worker is None:
            if begun is not None:
                self._broken_off.append(begun)
            return
        worker.stops.append(self._clock())
        seconds, account = computed(told["startstops"] or ()), self.units[worker.unit]
        if finish == "memory":
            account.busy += seconds
            self._made[key] = (worker.unit, seconds)
        else:
            account.lost += seconds


def computed(startstops: Iterable[Mapping[str, Any]]) -> float:
    """Return the seconds that a task computed; moving its inputs is not part of them."""
    return sum(
        max(0.0, float(part["stop"]) - float(part["start"]))
        for part in startstops
        if part.get("action") == "compute"
    )


def unfinished(begun: Iterable[float], threads: int, stops: Iterable[float], now: float) -> float:
    """Return the thread seconds of tasks that a worker did not finish.

    `begun` is when each task was given to the worker, which computes as many as it has threads;
    `stops` is when its last tasks ended, after which the threads were free.
    """
    running = sorted(begun)[:threads]
    free = [*[float("-inf")] * threads, *sorted(stops)][-threads:] if threads else []
    return sum(max(0.0, now - max(pair)) for pair in zip(running, free, strict=False))
