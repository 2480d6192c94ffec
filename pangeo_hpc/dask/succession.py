"""Who follows a unit whose workers leave before their job ends."""

import re
from typing import TYPE_CHECKING

from distributed.core import Status

if TYPE_CHECKING:
    from pangeo_hpc.dask.jobs_cluster import JobsCluster


class Succession:
    """Tells a cluster of units that leave, so that it starts others in their place.

    A unit that begins to leave counts no longer, and its successor is submitted at once: it has
    the time of draining to come through the queue. Where the site's `max_jobs` leaves no place
    for both, the successor waits until the old job has ended.
    """

    def __init__(self, cluster: "JobsCluster") -> None:
        self.cluster = cluster

    def unit_of(self, worker: str) -> tuple[str, int]:
        """Return the unit of a worker, and its number."""
        unit = self.cluster.unit_of(worker)
        digits = re.search(r"(\d+)$", unit)
        return unit, int(digits[1]) if digits else 0

    def begin(self, unit: str) -> None:
        """Note that a unit begins to leave; the cluster sees that one is missing."""
        cluster = self.cluster
        limit = cluster.desk.limit
        is_full = limit is not None and len(cluster.workers) >= limit
        if unit in cluster.worker_spec and cluster.status == Status.running and not is_full:
            cluster.retiring.add(unit)
            del cluster.worker_spec[unit]

    def end(self, unit: str) -> None:
        """Note that the workers of a unit have left: its job ends by itself."""
        cluster = self.cluster
        if unit in cluster.retiring:
            cluster.retiring.discard(unit)
            job = cluster.workers.pop(unit, None)
            if job is not None:
                job.gone()
