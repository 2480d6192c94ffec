"""How many units the work in a scheduler wants, and which of those that are there may go.

Everything is counted in whole units, batch jobs or programs, and decided from one look; nothing is
started or ended here.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pangeo_hpc.errors import UsageError


@dataclass(frozen=True)
class Bounds:
    """The fewest and the most units, None for any number."""

    minimum: int
    maximum: int | None = None

    def clamp(self, units: int) -> int:
        """Return the number of units within the bounds that is nearest to `units`."""
        most = units if self.maximum is None else min(units, self.maximum)
        return max(most, self.minimum)

    def at_most(self, units: int) -> "Bounds":
        """Return the same with no more than so many units."""
        most = units if self.maximum is None else min(self.maximum, units)
        return Bounds(min(self.minimum, most), most)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is seen of a cluster at one moment.

    `workers` is how many workers the scheduler would like, or threads while it has no worker to
    know their size from; `tasks` are the tasks that could run now or do run, and `seconds` the time
    these would take in one thread. Units are `waiting` while no worker of theirs has come, `idle`
    when their workers do nothing and hold nothing that would be lost, and else `busy`.
    """

    workers: int
    tasks: int
    seconds: float
    waiting: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    busy: tuple[str, ...] = ()

    @property
    def units(self) -> int:
        """Return how many units there are, also those that wait."""
        return len(self.waiting) + len(self.idle) + len(self.busy)


@dataclass(frozen=True)
class Step:
    """How many units to start, and which to end; `spare` are those not needed, since when."""

    start: int = 0
    end: tuple[str, ...] = ()
    spare: Mapping[str, float] = field(default_factory=dict)


def decide(
    look: Look,
    bounds: Bounds,
    unit: tuple[int, int],
    *,
    now: float,
    hold: float,
    wait: float | None = None,
    spare: Mapping[str, float] | None = None,
) -> Step:
    """Return the next step.

    `unit` is the number of workers of a unit and of threads of each worker. A unit is ended once
    it was not needed for `hold` seconds without a break; `wait` is how long units had to wait in
    the queue of late. `spare` is what the last step said.
    """
    workers, threads = unit
    arrived = len(look.idle) + len(look.busy)
    wanted = math.ceil(look.workers / (workers if arrived else threads * workers))
    if arrived and wait and look.seconds / (arrived * workers * threads) <= wait:
        # done before anything that is asked for now could begin
        wanted = min(wanted, look.units)
    wanted = bounds.clamp(wanted)
    if wanted > look.units:
        return Step(start=wanted - look.units)
    # a unit with a task for each of its threads has work, whatever the scheduler would like
    useful = math.ceil(look.tasks / (threads * workers))
    keep = bounds.clamp(max(wanted, min(useful, look.units)))
    surplus = _surplus(look, look.units - keep)
    since = {name: (spare or {}).get(name, now) for name in surplus}
    end = tuple(name for name in surplus if now - since[name] >= hold)
    return Step(end=end, spare=since)


def _surplus(look: Look, number: int) -> Sequence[str]:
    """Return so many units that can go: the newest that wait, then those that are idle."""
    return [*reversed(look.waiting), *look.idle][: max(0, number)]


def bounds_of(
    minimum: float | None,
    maximum: float | None,
    minimum_jobs: int | None,
    maximum_jobs: int | None,
    workers_per_unit: int,
) -> Bounds:
    """Return the bounds that somebody gives as numbers of workers or of jobs.

    The least is rounded up to whole jobs, the most down, but to no less than one job. Raise
    UsageError for numbers that cannot be.
    """
    fewest = (minimum or 0) if minimum_jobs is None else minimum_jobs * workers_per_unit
    most = math.inf if maximum is None else maximum
    if maximum_jobs is not None:
        most = maximum_jobs * workers_per_unit
    if fewest < 0 or most < fewest or math.isinf(fewest):
        text = f"from {fewest:g} to {most:g} is no range of workers"
        raise UsageError(text, hint="give a minimum of 0 or more, and a maximum not below it")
    least = math.ceil(fewest / workers_per_unit)
    if math.isinf(most):
        return Bounds(least)
    return Bounds(least, max(int(most) // workers_per_unit, least, 1 if most else 0))
