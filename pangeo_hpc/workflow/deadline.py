"""Stop while there is time: before each unit, compare what it takes with the walltime left."""

from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from pangeo_hpc.units import format_duration

# What ending takes after the last unit: workers are sent home, the ledger and the report written.
MARGIN = timedelta(seconds=20)
CAUTION = 1.5
_REMEMBERED = 8


class Deadline:
    """The end of the walltime, and how long the last units took. `ends` is None outside a job."""

    def __init__(
        self,
        ends: datetime | None,
        *,
        margin: timedelta = MARGIN,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.ends = ends
        self._margin = margin
        self._clock = clock

    def left(self) -> timedelta | None:
        """Return the walltime left, None if nobody tells when it ends."""
        return self.ends - self._clock() if self.ends else None

    def too_late(self, pace: "Pace") -> str | None:
        """Return why no further unit fits, None if one does."""
        left = self.left()
        if left is None or left >= self._margin + CAUTION * pace.slowest:
            return None
        rest = format_duration(max(left, timedelta(0)))
        takes = f" and a unit takes up to {format_duration(pace.slowest)}" if pace.slowest else ""
        return f"{rest} of walltime left{takes}"


class Pace:
    """How long the latest units of one output took, those of earlier attempts included."""

    def __init__(self, seconds: Iterable[float] = ()) -> None:
        self._last = deque(seconds, maxlen=_REMEMBERED)

    def add(self, seconds: float) -> None:
        """Note one more unit."""
        self._last.append(seconds)

    @property
    def slowest(self) -> timedelta:
        """Return the longest of the remembered times."""
        return timedelta(seconds=max(self._last, default=0.0))
