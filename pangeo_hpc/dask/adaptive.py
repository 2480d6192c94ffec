"""Adaptive scaling in whole units that knows of the queue.

Dask's own (distributed 2026.8.0) thinks in workers: with several in a job it cancels the job that
it has just asked for, and jobs whose other workers compute.
"""

import asyncio
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from itertools import chain, islice
from typing import TYPE_CHECKING

from dask.utils import parse_timedelta
from distributed.core import Status
from distributed.scheduler import Scheduler, WorkerState

from pangeo_hpc.dask.demand import Bounds, Look, Step, decide
from pangeo_hpc.dask.drain_plugin import Drain
from pangeo_hpc.errors import PangeoHpcError

if TYPE_CHECKING:
    from pangeo_hpc.dask.cluster import WorkerCluster

# Seconds between two looks, and the most after an answer that never came.
INTERVAL = 1.0
_LONGEST_PAUSE = 60.0
# Seconds that a unit without work is held, and the most where the queue's wait is long.
GRACE = 30.0
_LONGEST_HOLD = 1800.0


class Adaptive:
    """Keeps the number of a cluster's units at what its work wants, until it is stopped.

    `error` is why it ended by itself, and `gave_up` tells whether the cluster gave up because of
    it. Dask's JupyterLab extension reads `minimum`, `maximum` and `periodic_callback`.
    """

    def __init__(
        self,
        cluster: "WorkerCluster",
        bounds: Bounds,
        *,
        target_duration: str | float | None = None,
        grace: str | float = GRACE,
        interval: str | float = INTERVAL,
    ) -> None:
        self.cluster, self.bounds = cluster, bounds
        self.target_duration = target_duration
        self.grace = float(parse_timedelta(grace, default="s"))
        self.interval = float(parse_timedelta(interval, default="s"))
        self.error: PangeoHpcError | None = None
        self.gave_up = False
        self._spare: dict[str, float] = {}
        self._stopped, self._bell = False, asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def minimum(self) -> int:
        """Return the fewest workers."""
        return self.bounds.minimum * self.cluster.workers_per_unit

    @property
    def maximum(self) -> float:
        """Return the most workers."""
        most = self.bounds.maximum
        return float("inf") if most is None else most * self.cluster.workers_per_unit

    @property
    def periodic_callback(self) -> "Adaptive | None":
        """Return something as long as this goes on."""
        return None if self._stopped else self

    def no_more(self) -> None:
        """Ask for no more units than there are now: one has ended as another would."""
        self.bounds = self.bounds.at_most(len(self.cluster.worker_spec))

    async def begin(self) -> None:
        """Take the first step, and raise what is wrong with it; go on from then by itself."""
        try:
            await self.step()
        except BaseException:
            self._stopped = True
            raise
        self._task = asyncio.create_task(self._go_on())

    def stop(self) -> None:
        """Take no more steps. One that is under way comes to its end: see `ended`."""
        self._stopped = True
        if self.cluster.loop is not None:
            self.cluster.loop.add_callback(self._bell.set)

    async def ended(self, patience: float | None = None) -> None:
        """Stop, and wait until the step that is under way has come to its end."""
        self._stopped = True
        self._bell.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=patience)
            self._task.cancel()

    async def _go_on(self) -> None:
        pause = self.interval
        while not self._stopped:
            await self._sleep(pause)
            if self._stopped or self.cluster.status != Status.running:
                return
            try:
                await self.step()
                pause = self.interval
            except PangeoHpcError as error:
                if not getattr(error, "retry", False):
                    self._end(error)
                    return
                self.cluster.warn(f"adaptive scaling tries again: {error.text}")
                pause = min(max(2 * pause, 2 * self.interval), _LONGEST_PAUSE)
            except Exception as error:
                # nobody awaits this task
                self._end(PangeoHpcError(f"adaptive scaling failed: {error!r}"))
                raise

    async def _sleep(self, seconds: float) -> None:
        """Sleep so long, or until this is stopped."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._bell.wait(), seconds)

    def _end(self, error: PangeoHpcError) -> None:
        """End for good, and tell: the person, and all that waits for workers."""
        self.error, self._stopped = error, True
        if self.cluster.status == Status.running:
            self.cluster.warn(f"adaptive scaling has ended: {error}")
            if self.cluster.gave_up is None:
                self.gave_up = True
                self.cluster.give_up(error)

    async def step(self) -> Step:
        """Look once and do what is to be done: one submission, or the end of some units."""
        cluster = self.cluster
        if cluster.gave_up is not None:
            raise cluster.gave_up
        await cluster.forget_ended()
        wait = cluster.queue_wait()
        step = decide(
            self.look(),
            self.bounds,
            (cluster.workers_per_unit, cluster.threads_per_worker),
            now=time.monotonic(),
            hold=max(self.grace, min(wait or 0.0, _LONGEST_HOLD)),
            wait=wait,
            spare=self._spare,
        )
        self._spare = dict(step.spare)
        if self._stopped:
            return step
        start = int(min(step.start, self._places()))
        if start > 0:
            await cluster.start_units(start)
        if step.end:
            await self._let_go(step.end)
        return step

    def _places(self) -> float:
        """Return how many units more the site allows; those that leave count until they end."""
        most = self.cluster.most_units
        return float("inf") if most is None else most - len(self.cluster.workers)

    @property
    def _scheduler(self) -> Scheduler:
        found: Scheduler | None = self.cluster.scheduler
        if found is None:
            raise RuntimeError("the cluster has no scheduler")
        return found

    def look(self) -> Look:
        """Return what there is to do, and who does it."""
        scheduler = self._scheduler
        workers, units = scheduler.workers.values(), self._units()
        waiting = tuple(unit for unit, its in units.items() if not its)
        # those that leave by themselves, because their job ends soon, take no work any more
        here = [unit for unit, its in units.items() if any(map(_stays, its))]
        idle = self._idle_units(units)
        leaving = sum(not _stays(worker) for worker in workers)
        wanted = scheduler.adaptive_target(self.target_duration)  # type: ignore[arg-type]
        return Look(
            workers=wanted - leaving if wanted <= len(workers) else wanted,
            tasks=_ready(scheduler) + sum(len(worker.processing) for worker in workers),
            seconds=scheduler.total_occupancy + _seconds(scheduler),
            waiting=waiting,
            idle=tuple(unit for unit in here if unit in idle),
            busy=tuple(unit for unit in here if unit not in idle),
        )

    def _units(self) -> dict[str, list[WorkerState]]:
        """Return the workers that are there of each unit."""
        by_name = {ws.name: ws for ws in self._scheduler.workers.values()}
        return {
            unit: [by_name[name] for name in self.cluster.names_of(unit) if name in by_name]
            for unit in self.cluster.worker_spec
        }

    def _idle_units(self, units: dict[str, list[WorkerState]]) -> set[str]:
        """Return the units that can go: those that stay have memory enough for all results."""
        scheduler = self._scheduler
        unit_of = {ws.address: unit for unit, its in units.items() for ws in its}
        closable = set(scheduler.workers_to_close(key=lambda ws: unit_of.get(ws.address, "")))
        return {
            unit
            for unit, its in units.items()
            if its and all(ws.address in closable and _idle(ws) for ws in its)
        }

    async def _let_go(self, names: Collection[str]) -> None:
        """End units, each as a whole, once all that they hold is elsewhere too.

        A unit that got work or results meanwhile, or whose results find no place, stays; but not
        one whose job ends soon: its workers have begun to leave by themselves.
        """
        cluster, scheduler = self.cluster, self._scheduler
        units = self._units()
        leaving = [worker.address for name in names for worker in units[name]]
        if leaving:
            await scheduler.retire_workers(leaving, close_workers=False, remove=False)
        free = []
        for name in names:
            if all(_idle(ws) and _replicated(ws, leaving) for ws in units[name]):
                free.append(name)
                continue
            for worker in units[name]:
                if not _drains(scheduler, worker):
                    _give_back(scheduler, worker)
        await cluster.end_units(free)


def _ready(scheduler: Scheduler) -> int:
    """Return how many tasks wait for a worker and for nothing else."""
    return len(scheduler.queued) + len(scheduler.unrunnable)


def _seconds(scheduler: Scheduler) -> float:
    """Return how long these tasks will take in one thread, judged by the first of them."""
    some = list(islice(chain(scheduler.queued, scheduler.unrunnable), 100))
    seconds = sum(scheduler._get_prefix_duration(task.prefix) for task in some)  # noqa: SLF001
    return float(seconds * max(1.0, _ready(scheduler) / 100))


def _stays(worker: WorkerState) -> bool:
    # it is `init` when it joins, until its plugins are set up
    return worker.status in (Status.init, Status.running, Status.paused)


def _idle(worker: WorkerState) -> bool:
    return not worker.processing and not worker.long_running and not worker.actors


def _replicated(worker: WorkerState, leaving: Iterable[str]) -> bool:
    """Tell whether all that a worker holds is on a worker, too, that stays."""
    away = set(leaving)
    return all(any(ws.address not in away for ws in t.who_has or ()) for t in worker.has_what)


def _drains(scheduler: Scheduler, worker: WorkerState) -> bool:
    drain = scheduler.plugins.get(Drain.name)
    return isinstance(drain, Drain) and worker.address in drain.leaving


def _give_back(scheduler: Scheduler, worker: WorkerState) -> None:
    """Let a worker take tasks again that was about to be retired."""
    if worker.address in scheduler.workers and worker.status == Status.closing_gracefully:
        message = {"op": "worker-status-change", "status": "running", "stimulus_id": "stays"}
        scheduler.stream_comms[worker.address].send(message)
