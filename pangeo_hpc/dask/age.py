"""A cluster's signs of life, and the end of its keys, told before it comes and when it is there."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import SchedulerPlugin

from pangeo_hpc.dask import sweep
from pangeo_hpc.errors import ClusterTooOld

if TYPE_CHECKING:
    from pangeo_hpc.dask.cluster import WorkerCluster

_SOON = timedelta(days=1)


class Age(SchedulerPlugin):
    """Lets a cluster live as long as its keys: nothing can connect once they are too old."""

    name = "pangeo-hpc-age"

    def __init__(self, cluster: "WorkerCluster") -> None:
        self.cluster = cluster
        self._looks: asyncio.Task[None] | None = None

    async def start(self, scheduler: Any) -> None:  # noqa: ARG002 - Dask tells it
        """Look from now on, as long as the scheduler is there."""
        self._looks = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Look no more."""
        if self._looks is not None:
            self._looks.cancel()

    async def _follow(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(sweep.EVERY)

    def look(self, now: datetime | None = None) -> None:
        """Give a sign of life; warn a day before the keys are too old, and give up then."""
        moment, keys = now or datetime.now(UTC), self.cluster.keys
        sweep.sign(self.cluster.folder)
        try:
            keys.check(moment)
        except ClusterTooOld as error:
            self.cluster.warn(str(error))
            self.cluster.give_up(error)
            return
        if moment >= keys.until - _SOON:
            end = f"{keys.until:%Y-%m-%d %H:%M} UTC"
            self.cluster.warn(f"nothing can connect to this cluster after {end}; start a new one")
