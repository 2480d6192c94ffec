"""Look at each worker that connects: can it work for this client, and does it spill to a disk?"""

import asyncio
from typing import TYPE_CHECKING, Any

from distributed.core import Status
from distributed.diagnostics.plugin import SchedulerPlugin

from pangeo_hpc.dask import disk
from pangeo_hpc.dask.same import Imported, Packages, compare, here, mismatch

if TYPE_CHECKING:
    from distributed.scheduler import Scheduler

    from pangeo_hpc.dask.cluster import WorkerCluster

# The key of what our workers tell when they connect.
TOLD = "pangeo_hpc"


def tell() -> dict[str, Any]:
    """Return what a worker tells of itself."""
    return {"packages": here().dump(), "spill": disk.told()}


class SameEnvironment(SchedulerPlugin):  # type: ignore[misc]
    """Refuses workers whose packages are not those of this process, which is the client's too.

    It is asked before a worker gets its first task, and again when the client computes something
    after it has imported more.
    """

    name = "pangeo-hpc-same-environment"

    def __init__(self, cluster: "WorkerCluster", imported: Imported | None = None) -> None:
        self._cluster = cluster
        self._imported = imported or Imported()
        self._tasks: set[asyncio.Task[None]] = set()

    def add_worker(self, scheduler: "Scheduler", worker: str) -> None:
        """Look at a worker that connects."""
        told = scheduler.workers[worker].extra.get(TOLD) or {}
        words = disk.warning(told.get("spill", {}).get("kind", ""))
        if words:
            self._cluster.warn(words)
        self._check(scheduler, worker)

    def update_graph(self, scheduler: "Scheduler", **more: Any) -> None:  # noqa: ARG002
        """Look at all workers again if the client has imported more since."""
        if self._imported.stale:
            for worker in list(scheduler.workers):
                self._check(scheduler, worker)

    def _check(self, scheduler: "Scheduler", worker: str) -> None:
        state = scheduler.workers[worker]
        told = state.extra.get(TOLD)
        if not told:
            return  # not one of ours
        there = Packages(**told["packages"])
        client = self._imported.packages()
        differences = compare(client, there)
        if differences:
            # no task for it, from this moment on
            scheduler.handle_worker_status_change(Status.paused, state, "pangeo-hpc-mismatch")
            self._cluster.give_up(mismatch(differences, client, there))
            task = asyncio.ensure_future(self._cluster.drop_worker(state.name))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
