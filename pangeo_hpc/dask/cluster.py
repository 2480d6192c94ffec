"""What all our Dask clusters have in common, wherever their workers run."""

import asyncio
import atexit
import math
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from distributed.core import Status
from distributed.exceptions import WorkerStartTimeoutError
from distributed.utils import silence_logging_cmgr

from pangeo_hpc.dask.adapting import CLOSING, Adapts
from pangeo_hpc.dask.costs import Costs
from pangeo_hpc.dask.face import Face
from pangeo_hpc.dask.hopeless import HopelessTasks
from pangeo_hpc.dask.link import Reachable
from pangeo_hpc.dask.place import announce
from pangeo_hpc.dask.plugins import plugins
from pangeo_hpc.dask.security import Keys
from pangeo_hpc.dask.unit_cluster import UnitCluster
from pangeo_hpc.dask.waiting import Progress
from pangeo_hpc.errors import PangeoHpcError, UsageError, WorkerJobFailed
from pangeo_hpc.schedulers.base import JobStatus

# Seconds that a busy worker gets to end.
_DISMISS = 3.0

_open: "weakref.WeakSet[WorkerCluster]" = weakref.WeakSet()


class WorkerCluster(Adapts, Costs, Face, Reachable, UnitCluster):  # type: ignore[misc]
    """A Dask cluster of *units*: batch jobs or programs, each with the same number of workers.

    `scale` returns when every unit was started, or raises why one was not.
    """

    folder: Path
    keys: Keys
    # seconds between looks at the units while somebody waits for workers
    look: float = 0.5
    # why nothing more is started
    gave_up: PangeoHpcError | None = None

    scheduler: Any

    async def _start(self) -> None:
        await super()._start()
        self._said: set[str] = set()
        for plugin in plugins(self):
            await self.scheduler.register_scheduler_plugin(plugin, idempotent=True)
        _open.add(self)

    def came(self, unit: str) -> None:
        """Hear that a worker of a unit is here."""

    def left(self, unit: str) -> None:
        """Hear that the last worker of a unit has gone."""

    def give_up(self, error: PangeoHpcError) -> None:
        """Start nothing more, and let everything that needs more workers end with this error.

        That is `scale`, `wait_for_workers` and each future that no worker is left or on its way
        for. May be called from any thread; the first error counts.
        """
        if self.gave_up is None:
            self.gave_up = error
            self._look_for_hopeless()

    def _look_for_hopeless(self) -> None:
        if self.gave_up is None:
            return
        for plugin in list(self.scheduler.plugins.values()):
            if isinstance(plugin, HopelessTasks):
                plugin.look()

    def on_their_way(self) -> bool:
        """Tell whether a unit that has been started may still bring workers, or has some."""
        return bool(self.workers)

    def warn(self, text: str) -> None:
        """Tell the person one line, once for each text."""
        if text not in self._said:
            self._said.add(text)
            announce(text)

    def states(self) -> dict[str, JobStatus]:
        """Return the last known state of each unit by its name, without asking anybody."""
        return {}

    def queue_wait(self) -> float | None:
        """Return how many seconds units of late had to wait in the queue, None if not known."""
        return None

    @property
    def jobs(self) -> Sequence[JobStatus]:
        """Return the batch jobs of the workers; there are none where workers are programs."""
        return []

    def scale(self, n: int = 0) -> None:  # type: ignore[override]
        """Make it `n` workers, in whole units. Raise what keeps a unit from being started."""
        if self.called_from_running_loop:  # Dask itself, which corrects the state afterwards
            self._respecify(n)
            return
        self.sync(self._end_adapting)
        self.sync(self._forget_ended)
        self.check_scale(n)
        if self.gave_up is not None and n > len(self.workers) * self.workers_per_unit:
            raise self.gave_up
        self._respecify(n)
        self.sync(self._correct_state)

    def check_scale(self, n: int) -> None:
        """Raise UsageError for a number of workers that cannot be."""
        if n > len(self.worker_spec) * self.workers_per_unit:
            self.keys.check()
        if n < 0:
            raise UsageError(f"{n} is not a number of workers", hint="give 0 or more")

    def wait_for_workers(self, n_workers: int, timeout: float | None = None) -> Any:
        """Wait until so many workers are there.

        Raise WorkerJobFailed as soon as too many units have ended to get there, and Dask's
        TimeoutError after `timeout` seconds.
        """
        if self.called_from_running_loop:
            return super().wait_for_workers(n_workers, timeout)
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        with Progress() as progress:
            while True:
                left = max(deadline - time.monotonic(), 0.001)
                try:
                    return super().wait_for_workers(n_workers, min(left, self.look))
                except WorkerStartTimeoutError as error:
                    problem = self.sync(self._problem, n_workers)
                    if problem is not None:
                        raise problem from None
                    if timeout is not None and time.monotonic() >= deadline:
                        have = error.available_workers
                        raise WorkerStartTimeoutError(have, n_workers, timeout) from None
                    progress.show(self.waiting_for(n_workers))

    async def _problem(self, wanted: int) -> PangeoHpcError | None:
        """Return why so many workers will never be there, or None while they may come."""
        problems = await self._ended_units()
        alive = len(self.workers) - len(problems)
        if alive * self.workers_per_unit >= wanted:
            return None
        return self.gave_up or next(iter(problems.values()), None)

    async def _ended_units(self) -> dict[str, WorkerJobFailed]:
        """Return the units that ended by themselves, by name, and what to say of each."""
        return {}

    async def _forget_ended(self) -> None:
        """Drop units that have ended, so that new ones take their place."""
        for name in await self._ended_units():
            self.worker_spec.pop(name, None)
        await self._correct_state()

    async def _correct_state_internal(self) -> None:
        try:
            await super()._correct_state_internal()
        finally:
            self._look_for_hopeless()

    async def _close(self) -> None:
        if self.status in (Status.closing, Status.closed):
            await super()._close()
            return
        # what it says about workers that leave and data that are lost is what closing means
        with silence_logging_cmgr("critical"):
            try:
                await self._end_adapting(CLOSING)
                await self._before_close()
            finally:
                try:
                    await super()._close()
                finally:
                    self.keys.remove()
                    _open.discard(self)
        await self._after_close()
        self._say_costs()

    async def _before_close(self) -> None:
        """End what must be ended even if the rest of closing fails."""
        await self._dismiss()

    async def _dismiss(self) -> None:
        """Let all workers end by themselves: those that are idle at once, busy ones soon.

        Ended from outside they leave spilled data behind: a batch system kills what is left of a
        job when the job's shell has ended, and srun its step.
        """
        message = {"op": "terminate", "timeout": _DISMISS, "reason": "cluster-close"}
        if self.scheduler is None or not self.scheduler.workers:
            return
        tell = self.scheduler.broadcast(msg=message, nanny=True, on_error="ignore")
        with suppress(OSError, TimeoutError):
            await asyncio.wait_for(tell, 3 * _DISMISS)

    async def _after_close(self) -> None:
        """Make sure that nothing is left."""


@atexit.register
def _close_all() -> None:
    for cluster in list(_open):
        if cluster.status == Status.running:
            cluster.close()
