"""The plugins that the scheduler of every cluster gets; each of them has a module of its own."""

from typing import TYPE_CHECKING

from distributed.diagnostics.plugin import SchedulerPlugin

from pangeo_hpc.dask.age import Age
from pangeo_hpc.dask.arrivals import Arrivals
from pangeo_hpc.dask.drain_plugin import drains
from pangeo_hpc.dask.hopeless import HopelessTasks
from pangeo_hpc.dask.same_check import SameEnvironment

if TYPE_CHECKING:
    from pangeo_hpc.dask.cluster import WorkerCluster


def plugins(cluster: "WorkerCluster") -> list[SchedulerPlugin]:
    """Return the plugins of a cluster's scheduler, which runs in this process."""
    return [
        cluster.accounts,
        Arrivals(cluster),
        HopelessTasks(cluster),
        Age(cluster),
        *drains(cluster),
        SameEnvironment(cluster),
    ]
