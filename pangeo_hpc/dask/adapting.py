"""The part of every cluster that scales it with its work: `cluster.adapt`."""

from collections.abc import Iterable
from typing import Any

from pangeo_hpc.dask.adaptive import Adaptive
from pangeo_hpc.dask.demand import Bounds, bounds_of
from pangeo_hpc.dask.part import Base
from pangeo_hpc.errors import PangeoHpcError

# Seconds for a step that is under way when the cluster closes.
CLOSING = 10.0


class Adapts(Base):
    """Scales a cluster with its work, in whole units; `scale` ends that."""

    workers_per_unit: int = 1
    threads_per_worker: int = 1
    gave_up: PangeoHpcError | None
    _adaptive: Adaptive | None

    def adapt(
        self,
        minimum: float | None = 0,
        maximum: float | None = None,
        *,
        minimum_jobs: int | None = None,
        maximum_jobs: int | None = None,
        **options: Any,
    ) -> Adaptive:
        """Keep the number of workers at what the work wants, from now on until `scale`.

        `minimum` and `maximum` count workers, `minimum_jobs` and `maximum_jobs` units: batch jobs,
        or programs. Without a most, the node type's max_jobs is it. A job is asked for with all
        the others that are missing, and given back as a whole once it was not needed for `grace`
        seconds (30), or for as long as jobs wait in the queue, if that is longer. The other
        options are Dask's `target_duration` and `interval`. Raise UsageError for a range that
        cannot be, and what keeps the first jobs from being submitted; what goes wrong later ends
        the adapting, is told, and is raised by all that waits for workers.
        """
        bounds = bounds_of(minimum, maximum, minimum_jobs, maximum_jobs, self.workers_per_unit)
        adaptive = Adaptive(self, self._allowed(bounds), **options)
        self.sync(self._begin_adapting, adaptive)
        return adaptive

    @property
    def most_units(self) -> int | None:
        """Return how many units the site allows at once, None for any number."""
        return None

    def _allowed(self, bounds: Bounds) -> Bounds:
        """Return bounds within what the site allows. Raise UsageError for a least above it."""
        most = self.most_units
        self.check_scale(bounds.minimum * self.workers_per_unit)
        if most is None or (bounds.maximum is not None and bounds.maximum <= most):
            return bounds
        if bounds.maximum is not None:
            workers = most * self.workers_per_unit
            self.warn(f"adapts to {workers} workers at most: max_jobs of the node type is {most}")
        return Bounds(bounds.minimum, most)

    async def _begin_adapting(self, adaptive: Adaptive) -> None:
        await self._end_adapting()
        self._adaptive = adaptive
        self._wanted = 0  # nothing is started in the place of what ends but for the work there is
        try:
            await adaptive.begin()
        except BaseException:
            self._adaptive = None
            raise

    async def _end_adapting(self, patience: float | None = None) -> None:
        """End adapting, if it goes on; what it gave up for may be tried again."""
        adaptive = self._adaptive
        if adaptive is not None:
            await adaptive.ended(patience)
            self._adaptive = None
            if adaptive.gave_up:
                self.gave_up = None

    def names_of(self, unit: str) -> set[str]:
        """Return the names of the workers of a unit."""
        return set(self._names(unit))

    async def start_units(self, number: int) -> None:
        """Start so many units more, with one submission. Raise what keeps one from starting."""
        for _ in range(number):
            self.worker_spec.update(self.new_worker_spec())
        await self._correct_state()

    async def end_units(self, units: Iterable[str]) -> None:
        """End units."""
        for unit in units:
            self.worker_spec.pop(unit, None)
        await self._correct_state()

    async def forget_ended(self) -> None:
        """Drop units that are known to have ended by themselves."""
        await self._forget_ended()
