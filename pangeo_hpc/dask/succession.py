"""Who follows a unit whose workers leave before their job ends."""

import logging
import re
from typing import TYPE_CHECKING

from distributed.core import Status

from pangeo_hpc.errors import PangeoHpcError

if TYPE_CHECKING:
    from pangeo_hpc.dask.jobs_cluster import JobsCluster

logger = logging.getLogger("distributed.pangeo_hpc.drain")


class Succession:
    """Keeps the number of units that is wanted while some of them leave.

    A unit that begins to leave counts no longer, and its successor is submitted at once: it has
    the time of draining to come through the queue. Where the site's `max_jobs` leaves no place
    for both, the successor waits until the old job has ended. Adaptive clusters ask for units
    themselves.
    """

    def __init__(self, cluster: "JobsCluster") -> None:
        self.cluster = cluster
        self.owed = 0

    def unit_of(self, worker: str) -> tuple[str, int]:
        """Return the unit of a worker, and its number."""
        cluster = self.cluster
        unit = worker if cluster.workers_per_unit == 1 else worker.rpartition("-")[0]
        digits = re.search(r"(\d+)$", unit)
        return unit, int(digits[1]) if digits else 0

    async def begin(self, unit: str) -> None:
        """Note that a unit begins to leave, and submit its successor."""
        cluster = self.cluster
        if unit not in cluster.worker_spec or cluster.status != Status.running:
            return
        await self._add()
        cluster.retiring.add(unit)
        cluster.worker_spec.pop(unit, None)
        await self._submit()

    async def end(self, unit: str) -> None:
        """Note that the workers of a unit have left: its job ends by itself."""
        cluster = self.cluster
        if unit not in cluster.retiring:
            return
        job = cluster.workers.pop(unit, None)
        if job is not None:
            job.status = Status.closed
        cluster.retiring.discard(unit)
        if self.owed and cluster.status == Status.running:
            self.owed -= 1
            await self._add()
            await self._submit()

    async def _add(self) -> None:
        cluster = self.cluster
        if cluster.gave_up is not None or getattr(cluster, "_adaptive", None) is not None:
            return
        if cluster.desk.limit is not None and len(cluster.workers) >= cluster.desk.limit:
            self.owed += 1
            return
        cluster.worker_spec.update(cluster.new_worker_spec())

    async def _submit(self) -> None:
        try:
            await self.cluster._correct_state()  # noqa: SLF001
        except PangeoHpcError as error:
            # the queue may have room for it when the old job has ended
            self.owed += 1
            logger.warning("a successor was not submitted: %s", error)
