"""Tell a cluster whose workers have come, and whose have gone."""

from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import SchedulerPlugin

if TYPE_CHECKING:
    from distributed.scheduler import Scheduler

    from pangeo_hpc.dask.cluster import WorkerCluster


class Arrivals(SchedulerPlugin):
    """Hears of every worker that comes or goes, however short its stay."""

    name = "pangeo-hpc-arrivals"

    def __init__(self, cluster: "WorkerCluster") -> None:
        self._cluster = cluster
        self._names: dict[str, str] = {}

    def add_worker(self, scheduler: "Scheduler", worker: str) -> None:
        """Note a worker."""
        name = str(scheduler.workers[worker].name)
        self._names[worker] = name
        self._cluster.came(self._cluster.unit_of(name))

    def remove_worker(self, scheduler: "Scheduler", worker: str, **more: Any) -> None:  # noqa: ARG002
        """Note that a worker has gone, and whether it was the last of its unit."""
        unit = self._cluster.unit_of(self._names.pop(worker, ""))
        if all(self._cluster.unit_of(name) != unit for name in self._names.values()):
            self._cluster.left(unit)
