"""When a worker stops taking tasks, and when it ends, counted back from the end of its job.

Decisions only, all in seconds: `drain_plugin` carries them out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

# At least so much, and at most so much, of the walltime is for handing over.
_SHARE, _LEAST, _MOST = 0.05, 18.0, 900.0
# Seconds for programs to end, unless the walltime is shorter than any that is sensible.
_END = 4.0

# Units are spread over the time by this step: any number of them lies evenly in it.
_GOLDEN = 0.6180339887498949

# A task that ran this share of a worker's life without an end does not fit into one.
_WHOLE = 0.5
# A worker with this share of its life before it counts as fresh.
_FRESH = 0.8
# However short they were, so many tries are enough.
_MOST_TRIES = 4

# Tasks may take longer than they did so far.
_LONGER = 1.1


@dataclass(frozen=True)
class Margins:
    """How long before a job's end its workers begin to leave.

    At `drain` before the end, or up to `spread` earlier, a worker takes no new tasks; at `reserve`
    running tasks are given up, so that there is time to hand on results; `last` is for the end
    itself.
    """

    drain: float
    spread: float
    reserve: float
    last: float


def margins(walltime: float) -> Margins:
    """Return the margins for a walltime: 18 seconds of a minute, a quarter of an hour of 12 h."""
    drain = min(max(_SHARE * walltime, _LEAST), _MOST, walltime / 3)
    end = max(drain / 8, min(_END, drain / 4))
    return Margins(drain=drain, spread=drain / 2, reserve=drain / 2, last=end)


def stagger(number: int, spread: float) -> float:
    """Return how much earlier the unit of this number drains, so that not all go at once."""
    return (number * _GOLDEN) % 1 * spread


@dataclass(frozen=True)
class Life:
    """The life of one worker, on the clock of the scheduler's process.

    It began to work at `born`; its job ends at `ends`. `number` is that of its unit.
    """

    born: float
    ends: float
    number: int
    margins: Margins

    @property
    def cut(self) -> float:
        """Return when tasks that still run are given up."""
        return self.ends - self.margins.reserve

    @property
    def last(self) -> float:
        """Return when it ends whatever it holds."""
        return self.ends - self.margins.last

    @property
    def useful(self) -> float:
        """Return how long a task could run on it at most."""
        return max(self.cut - self.born, 0.0)

    def drains(self, longest: float = 0.0) -> float:
        """Return when it takes no more tasks.

        `longest` is how long a task takes of which there are some to do: none that cannot end in
        time is begun, but half of the life is for tasks in any case.
        """
        need = min(longest * _LONGER, self.useful / 2)
        early = max(self.margins.drain, self.margins.reserve + need)
        return self.ends - early - stagger(self.number, self.margins.spread)

    def is_room(self, seconds: float, now: float) -> bool:
        """Tell whether a task that ran so long without an end may be tried here.

        It should get twice the time, or nearly a whole life.
        """
        left = self.cut - now
        return left >= 2 * seconds or left >= _FRESH * self.useful


def never_fits(runs: Sequence[float], life: float) -> bool:
    """Tell whether a task is to be given up, from how long it ran in each worker that had to go.

    The second try counts once it had a good part of a worker's life.
    """
    if len(runs) < 2:
        return False
    return max(runs) >= _WHOLE * life or len(runs) >= _MOST_TRIES
