"""Lets workers leave before their jobs end: no new tasks, results handed on, then the end.

Part of the scheduler, which runs in the cluster object's own process and knows where every result
is. Workers say when they register how long their job has left (`drain_worker`); `drain` decides.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from distributed.core import Status
from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.metrics import monotonic
from distributed.scheduler import Scheduler, WorkerState

from pangeo_hpc.dask.drain import Life, margins
from pangeo_hpc.dask.drain_worker import ASK, LEFT
from pangeo_hpc.dask.handover import Handover, Leave
from pangeo_hpc.dask.keeper import Keeper
from pangeo_hpc.dask.misfit import Misfits
from pangeo_hpc.dask.succession import Succession

if TYPE_CHECKING:
    from pangeo_hpc.dask.cluster import WorkerCluster
    from pangeo_hpc.dask.jobs_cluster import JobsCluster

# Seconds between two looks.
_LOOK = 1.0
# Seconds that running tasks get after a batch system's SIGTERM, and seconds until the end. Slurm
# kills 30 s after it (KillWait), PBS 10 s; results are handed on from the first moment.
_TERM_CUT, _TERM_LAST = 20.0, 26.0
# The states of tasks that are still to be done, or being done.
_TO_DO = ("waiting", "processing", "queued", "no-worker")
# Seconds a worker gets to close.
_CLOSE = 2.0

logger = logging.getLogger("distributed.pangeo_hpc.drain")


def drains(cluster: "WorkerCluster") -> list[SchedulerPlugin]:
    """Return what drains the workers of a cluster: nothing where they are not in jobs of ours."""
    if not hasattr(cluster, "walltime"):
        return []
    jobs = cast("JobsCluster", cluster)
    host = urlsplit(jobs.scheduler_address).hostname or ""
    keeper = Keeper(jobs.folder, jobs.keys.security(), host)
    return [Drain(jobs.walltime.total_seconds(), Succession(jobs), jobs.warn, keeper)]


class Drain(SchedulerPlugin):
    """Drains each worker before its job ends, or when its batch system says that it must go.

    `walltime` is that of a worker job, in seconds; `succession` is told of units that leave, so
    that others take their places.
    """

    name = "pangeo-hpc-drain"

    def __init__(
        self, walltime: float, succession: Succession, warn: Callable[[str], None], keeper: Keeper
    ) -> None:
        self.margins = margins(walltime)
        self.succession, self.handover = succession, Handover(keeper, warn)
        self.leaving = self.handover.leaving
        self.lives: dict[str, Life] = {}
        self.misfits = Misfits(walltime)
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, scheduler: Scheduler) -> None:
        """Begin to look at the workers."""
        self.scheduler = self.handover.scheduler = scheduler
        scheduler.handlers[ASK] = self.asked
        self._do(self._look())

    async def before_close(self) -> None:
        """Stop looking; nothing is kept any more."""
        for task in self._tasks:
            task.cancel()
        await self.handover.keeper.close()

    def _do(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.get_running_loop().create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        """Note how long a new worker has."""
        ws = scheduler.workers[worker]
        left = ws.extra.get(LEFT)
        if left is None:
            return
        now, (_, number) = monotonic(), self.succession.unit_of(str(ws.name))
        self.lives[worker] = Life(now, now + left, number, self.margins)
        self.misfits.place(scheduler, self.lives, now)

    def remove_worker(self, scheduler: Scheduler, worker: str, **_: Any) -> None:  # noqa: ARG002
        """Forget a worker."""
        self.lives.pop(worker, None)
        leave = self.leaving.pop(worker, None)
        if leave is not None and leave not in self.leaving.values():
            self.succession.end(leave.unit)

    async def asked(self, nanny: str) -> str:
        """Drain the worker of a nanny that was sent SIGTERM. Answer whether that will be done."""
        found = [ws for ws in self.scheduler.workers.values() if ws.nanny == nanny]
        if not found or self.scheduler.status != Status.running:
            return "unknown"
        now, ws = monotonic(), found[0]
        leave = self.leaving.get(ws.address)
        if leave is None:
            leave = self._begin(ws, now, now + _TERM_CUT, now + _TERM_LAST)
        leave.cut, leave.last = min(leave.cut, now + _TERM_CUT), min(leave.last, now + _TERM_LAST)
        leave.urgent = True
        return "draining"

    async def _look(self) -> None:
        while True:
            now = monotonic()
            try:
                longest = max(self._longest(), self.misfits.longest)
                for address, life in list(self.lives.items()):
                    if address not in self.leaving and now >= life.drains(longest):
                        ws = self.scheduler.workers[address]
                        leave = self._begin(ws, now, life.cut, life.last)
                        self.succession.begin(leave.unit)
                self.misfits.place(self.scheduler, self.lives, now)
                await self.handover.keeper.hand_back(self.scheduler, self.handover.amm)
            except Exception:
                logger.exception("cannot look after the end of workers")
            await asyncio.sleep(_LOOK)

    def _longest(self) -> float:
        """Return how long the longest of the tasks takes that are there to be done."""
        durations = [
            prefix.duration_average
            for prefix in self.scheduler.task_prefixes.values()
            if any(number and state in _TO_DO for state, number in prefix.states.items())
        ]
        return max(durations, default=0.0)

    def _begin(self, first: WorkerState, now: float, cut: float, last: float) -> Leave:
        """Let all workers of a unit leave, which end with one job."""
        unit, _ = self.succession.unit_of(str(first.name))
        leave = Leave(unit, now, cut, last)
        for ws in list(self.scheduler.workers.values()):
            if ws.address in self.leaving or self.succession.unit_of(str(ws.name))[0] != unit:
                continue
            logger.info("%s at %s begins to drain", ws.name, ws.address)
            self.leaving[ws.address] = leave
            self._close_door(ws)
            self._do(self._drain(ws, leave))
        return leave

    def _close_door(self, ws: WorkerState) -> None:
        """Give a worker no more tasks: those that it runs go on, and its results can be fetched."""
        stimulus = f"pangeo-hpc-drain-{monotonic()}"
        self.scheduler.handle_worker_status_change(Status.closing_gracefully, ws, stimulus)
        status = Status.closing_gracefully.name
        message = {"op": "worker-status-change", "status": status, "stimulus_id": stimulus}
        self.scheduler.stream_comms[ws.address].send(message)

    async def _drain(self, ws: WorkerState, leave: Leave) -> None:
        """See one worker through to its end."""
        pause = 0.1
        while ws.address in self.scheduler.workers:
            try:
                is_empty = await self._empty(ws, leave)
            except Exception:
                logger.exception("cannot hand on what %s has", ws.name)
                is_empty = False
            if is_empty or monotonic() >= leave.last:
                await self._end(ws, leave)
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.3, 0.5)

    async def _empty(self, ws: WorkerState, leave: Leave) -> bool:
        """Hand on what a worker has; tell whether it may go."""
        now = monotonic()
        is_idle = self.handover.hand_back_tasks(ws, leave) or now >= leave.cut
        if now >= leave.alone:
            await self.handover.keep_if_alone(ws, leave)
        return self.handover.hand_on_results(ws, leave) and is_idle

    async def _end(self, ws: WorkerState, leave: Leave) -> None:
        """End a worker and its nanny; tasks that it still runs begin again elsewhere."""
        if not leave.urgent:
            self.misfits.note(self.scheduler, ws, self.lives.get(ws.address))
        logger.info("%s at %s has drained", ws.name, ws.address)
        message = {"timeout": _CLOSE, "reason": "pangeo-hpc-drained"}
        end = None
        if ws.nanny:
            end = asyncio.ensure_future(self.scheduler.rpc(ws.nanny).terminate(**message))
        stimulus = f"pangeo-hpc-drained-{monotonic()}"
        await self.scheduler.remove_worker(
            ws.address, stimulus_id=stimulus, expected=True, close=ws.nanny is None
        )
        if end is not None:
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(end, 5 * _CLOSE)


async def _logged(work: Coroutine[Any, Any, object]) -> None:
    """Do something in the background, where nobody hears of an error."""
    try:
        await work
    except Exception:
        logger.exception("a worker's leave went wrong")
