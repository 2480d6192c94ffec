"""How long a server has left, and when its user is warned. Pure."""

from dataclasses import dataclass
from datetime import timedelta

# What is left when the user is told; the first of them leaves time to plan, the last one to save.
WARNINGS = (timedelta(minutes=15), timedelta(minutes=5))


@dataclass(frozen=True, kw_only=True)
class Span:
    """When a job began and when its walltime is over, in seconds since 1970; None = not known."""

    begun: float | None = None
    ends: float | None = None

    def left(self, now: float) -> timedelta | None:
        """Return the time left, never less than none at all."""
        return None if self.ends is None else timedelta(seconds=max(0.0, self.ends - now))

    @property
    def walltime(self) -> float | None:
        """Return the whole walltime in seconds."""
        if self.ends is None or self.begun is None:
            return None
        return self.ends - self.begun


def due(left: timedelta | None, told: timedelta | None) -> timedelta | None:
    """Return the warning to give now, None if there is none.

    `told` is the last one that was given. A job that is short from the start gets the tightest
    warning that fits, not one after the other.
    """
    if left is None:
        return None
    reached = min((each for each in WARNINGS if left <= each), default=None)
    if reached is None or (told is not None and told <= reached):
        return None
    return reached


def still_told(left: timedelta | None, told: timedelta | None) -> timedelta | None:
    """Return what remains told: a walltime that was extended is warned of again."""
    if left is None or told is None or left > told:
        return None
    return told


def wait(left: timedelta | None, interval: float) -> float:
    """Return the seconds until the next look, so that no warning is late."""
    if left is None:
        return interval
    ahead = [(left - each).total_seconds() for each in WARNINGS if left > each]
    return max(0.1, min([interval, *ahead]))
