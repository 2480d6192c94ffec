"""Others in the place of worker jobs that ended, while that can help."""

import asyncio
import math
import time
from contextlib import suppress
from functools import partial
from typing import Any

from distributed.core import Status

from pangeo_hpc.dask.cluster import WorkerCluster
from pangeo_hpc.dask.desk import Desk
from pangeo_hpc.dask.ends import Ends, Next, went_well
from pangeo_hpc.dask.follower import follower
from pangeo_hpc.errors import PangeoHpcError, SchedulerError, WorkerJobFailed

# Seconds between looks at what the follower has found, which ask nobody.
_LOOK = 0.5
# Seconds until a submission that could not be made is tried again.
_AGAIN = 60.0
# Seconds that a job may go on without workers that it had: a nanny starts them again.
_ABSENT = 60.0


class StandIns(WorkerCluster):
    """A cluster of jobs: keeps as many as were asked for, or says why it does not.

    A job that ended in a way that would only be repeated has no other in its place: memory that
    is too little, an environment that does not work, the third equal failure.
    """

    desk: Desk
    look = _LOOK
    _following: "asyncio.Task[None] | None" = None

    async def _start(self) -> None:
        await super()._start()
        self._ends = Ends()
        self._wanted = 0
        self._failures: dict[str, WorkerJobFailed] = {}
        self._absent: dict[str, float] = {}
        self._last_failure = self._not_before = -math.inf
        follower.add(self.desk)
        self._following = asyncio.create_task(self._follow())
        self._following.add_done_callback(self._followed)

    async def _stop_following(self) -> None:
        follower.remove(self.desk)
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following

    def came(self, unit: str) -> None:
        """Note that a unit has workers; one that was submitted after a failure ends the count."""
        ledger = self.desk.ledger
        ledger.came(unit)
        self._absent.pop(unit, None)
        if ledger.submitted(unit) > self._last_failure:
            self._ends.works()

    def left(self, unit: str) -> None:
        """Note that a unit has no workers any more: its job may have ended."""
        self.desk.ledger.present.discard(unit)
        self._absent[unit] = time.monotonic()
        follower.wake()

    def _respecify(self, n: int) -> None:
        super()._respecify(n)
        # at once: what is being ended meanwhile is not to be replaced
        self._wanted = len(self.worker_spec)

    async def _follow(self) -> None:
        """See to units that have ended, as long as the cluster lives."""
        while self.status == Status.running:
            await asyncio.sleep(_LOOK)
            try:
                await self._take_stock()
            except (PangeoHpcError, OSError) as error:
                self._not_before = time.monotonic() + _AGAIN
                if not getattr(error, "retry", True) and isinstance(error, SchedulerError):
                    self.give_up(error)

    def _followed(self, task: "asyncio.Task[None]") -> None:
        """Let nobody wait for a cluster that sees to its jobs no more."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            text = f"this cluster cannot follow its jobs any more: {error!r}"
            self.give_up(WorkerJobFailed(text, hint="start a new cluster, and report this"))

    async def _take_stock(self) -> None:
        """Drop units that have ended, and start others in their place where that can help."""
        await self._end_absent()
        for name in [name for name in self.worker_spec if self._has_ended(name)]:
            self._bury(name)
        self._look_for_hopeless()
        if self.gave_up is not None or self._adaptive_is_on():
            return
        missing = self._wanted - len(self.worker_spec)
        if missing > 0 and time.monotonic() >= self._not_before:
            if self.desk.unclear:
                self._adopt(await self.desk.aside(self.desk.find))
            wanted = self._wanted
            super()._respecify(wanted * self.workers_per_unit)
            try:
                await self._correct_state()
            except BaseException:
                self._wanted = wanted  # to be tried again
                raise

    def _bury(self, name: str) -> None:
        """Drop a unit that has ended, and decide what follows."""
        unit = self.workers.pop(name)
        del self.worker_spec[name]
        unit.gone()
        ledger = self.desk.ledger
        state = ledger.state(name)
        if state is None:
            return
        self._absent.pop(name, None)
        follows, error = self._ends.judge(ledger.jobs[name], state, came=name in ledger.arrived)
        self._last_failure = time.monotonic()
        if follows is Next.REPLACE:
            if not went_well(state):
                self.warn(f"worker jobs ended ({state.state}); others take their place")
            return
        self._failures[name] = error
        self._wanted = max(0, self._wanted - 1)
        if follows is Next.STOP or not self.workers:
            self.give_up(error)
        else:
            self.warn(f"no other job in its place: {error.text.splitlines()[0]}")

    async def _end_absent(self) -> None:
        """Cancel jobs that go on although their workers were lost long ago."""
        late = time.monotonic() - _ABSENT
        gone = [n for n, since in self._absent.items() if since < late and n in self.worker_spec]
        for name in gone:
            self._absent.pop(name)
        ids = [self.workers[name].job_id for name in gone if name in self.workers]
        if ids:
            await self.desk.aside(partial(self.desk.cancel, ids))

    def _has_ended(self, name: str) -> bool:
        return name in self.workers and self.desk.ledger.has_ended(name)

    def _adaptive_is_on(self) -> bool:
        return getattr(self, "_adaptive", None) is not None

    async def _problem(self, wanted: int) -> PangeoHpcError | None:
        """Return why so many workers will never be there, or None while they may come."""
        if max(self._wanted, len(self.workers)) * self.workers_per_unit >= wanted and (
            self.gave_up is None
        ):
            return None
        if len(self.workers) * self.workers_per_unit >= wanted:
            return None
        return self.gave_up or next(reversed(self._failures.values()), None)

    async def _forget_ended(self) -> None:
        """Drop units that have ended before the others are counted."""
        for name in [name for name in self.worker_spec if self._has_ended(name)]:
            self._bury(name)
        if self.desk.unclear:
            with suppress(SchedulerError):
                self._adopt(await self.desk.aside(self.desk.find))

    def _adopt(self, units: Any) -> None:
        raise NotImplementedError
