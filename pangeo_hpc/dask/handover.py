"""Hand on what workers that leave have: tasks that have not begun, and results."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from distributed.active_memory_manager import ActiveMemoryManagerExtension, RetireWorker
from distributed.metrics import monotonic
from distributed.scheduler import Scheduler, TaskState, WorkerState

from pangeo_hpc.dask.keeper import Keeper, portions, worth_keeping

# A worker tells twice a second, or less often, which tasks it runs.
_TOLD = 3.0

logger = logging.getLogger("distributed.pangeo_hpc.drain")


@dataclass(eq=False)
class Leave:
    """The leave of one unit's workers: tasks are given up at `cut`, and `last` is the end.

    It is `urgent` after SIGTERM: the end may come at any moment.
    """

    unit: str
    begun: float
    cut: float
    last: float
    urgent: bool = False
    told: bool = False  # that not all results are kept
    policies: dict[str, RetireWorker] = field(default_factory=dict)

    @property
    def alone(self) -> float:
        """Return until when results wait for another worker to come."""
        return self.begun if self.urgent else (self.begun + self.cut) / 2


class Handover:
    """Moves tasks and results from workers that leave to others, or to this process.

    `leaving` are these workers, by address.
    """

    def __init__(self, keeper: Keeper, warn: Callable[[str], None]) -> None:
        self.keeper, self.warn = keeper, warn
        self.leaving: dict[str, Leave] = {}
        self.scheduler: Scheduler = None  # type: ignore[assignment]
        self._own_amm: ActiveMemoryManagerExtension | None = None

    def hand_back_tasks(self, ws: WorkerState, leave: Leave) -> bool:
        """Move the tasks that have not begun to other workers; tell whether none is left."""
        running = {other for other in self.scheduler.running if other is not ws}
        stealing = self.scheduler.extensions.get("stealing")
        for ts in list(ws.processing):
            if stealing is None or ts in ws.executing or ts in ws.long_running:
                continue
            valid = self.scheduler.valid_workers(ts)
            takers = running if valid is None else valid & running
            if takers:
                taker = min(takers, key=lambda other: other.occupancy / other.nthreads)
                stealing.move_task_request(ts, ws, taker)
        if not ws.processing:
            return True
        # what has not begun will go to the successor, when this worker has gone
        idle = not ws.executing and not ws.long_running
        return idle and not running and monotonic() - leave.begun > _TOLD

    def only_here(self, ws: WorkerState) -> list[TaskState]:
        """Return the results that are nowhere but in workers that leave."""
        return [
            ts
            for ts in ws.has_what
            if not ts.actor and all(other.address in self.leaving for other in ts.who_has or ())
        ]

    def hand_on_results(self, ws: WorkerState, leave: Leave) -> bool:
        """See that results are copied to other workers; tell whether all are safe."""
        if not self.only_here(ws):
            return True
        if self.scheduler.running:
            policy, amm = leave.policies.get(ws.address), self.amm()
            if ws.actors:  # they cannot be moved, and Dask moves nothing beside them
                return False
            if policy is None or policy not in amm.policies:
                policy = leave.policies[ws.address] = RetireWorker(ws.address)
                amm.add_policy(policy)
                amm.run_once()
        return False

    def amm(self) -> ActiveMemoryManagerExtension:
        """Return what copies results between workers, which a person may have switched off."""
        theirs: ActiveMemoryManagerExtension | None = self.scheduler.extensions.get("amm")
        if theirs is not None and theirs.running:
            return theirs
        if self._own_amm is None:
            self._own_amm = ActiveMemoryManagerExtension(
                self.scheduler, policies=set(), register=False, start=True, interval=2.0
            )
        return self._own_amm

    async def keep_if_alone(self, ws: WorkerState, leave: Leave) -> None:
        """Hold results in this process when there is no worker to take them."""
        only_here = [] if self.scheduler.running else self.only_here(ws)
        chosen = worth_keeping(only_here, self.keeper.room)
        if len(chosen) < len(only_here) and not leave.told:
            leave.told = True
            lost = len(only_here) - len(chosen)
            self.warn(
                f"{lost} results of {leave.unit} are computed again: its job ends, no other "
                f"worker is there, and they are more than this process holds for others"
            )
        for part in portions(chosen):
            if self.scheduler.running or ws.address not in self.scheduler.workers:
                return
            limit = max(leave.last - monotonic(), 1.0)
            try:
                await asyncio.wait_for(self.keeper.keep(self.scheduler, ws, part), limit)
            except TimeoutError:
                return
