"""Generated months in the shape of the sample data, for machines that do not have them.

As many models, on the same kinds of calendars, years and grids: each with a seasonal cycle, a
warming that is strongest at the end, and weather of its own. The same numbers on every machine.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from pangeo_hpc.demo.series import MONTHS, Series

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ORIGIN = "generated data"


class _Shape(NamedTuple):
    """How many models have one calendar, one span of years and one grid."""

    models: int
    calendar: str
    first_year: int
    last_year: int
    latitudes: tuple[float, ...]
    longitudes: tuple[float, ...]


_COARSE = (85.1, 87.9), (0.0, 2.8)
_WIDE = (86.7, 88.6), (0.0, 1.9)
_MEDIUM = (88.1, 90.0), (0.0, 2.5)
_FINE = (88.0, 89.1), (0.0, 1.1)
_POLAR = (88.1, 89.1, 90.0), (0.0, 1.25)
_SHIFTED = (88.5, 89.5), (0.6, 1.9)
_FINEST = (88.1, 88.8, 89.5), (0.0, 0.7, 1.4)

_SHAPES = (
    _Shape(1, "360_day", 1850, 2014, *_SHIFTED),
    _Shape(2, "standard", 1850, 2014, *_WIDE),
    _Shape(2, "noleap", 1850, 2014, *_COARSE),
    _Shape(3, "noleap", 1850, 2014, *_MEDIUM),
    _Shape(4, "noleap", 1850, 2014, *_POLAR),
    _Shape(3, "noleap", 1901, 2014, *_SHIFTED),
    _Shape(1, "noleap", 1930, 2014, *_FINE),
    _Shape(1, "noleap", 1940, 2014, *_FINE),
    _Shape(1, "julian", 1950, 2014, *_WIDE),
    _Shape(1, "standard", 1950, 2014, *_FINE),
    _Shape(8, "proleptic_gregorian", 1950, 2014, *_FINEST),
    _Shape(10, "noleap", 1950, 2014, *_SHIFTED),
    _Shape(4, "noleap", 1950, 2014, *_POLAR),
    _Shape(1, "noleap", 1950, 2016, *_MEDIUM),
)


def count() -> int:
    """Return how many models there are."""
    return sum(shape.models for shape in _SHAPES)


def generate() -> Iterator[Series]:
    """Yield the months of each model."""
    number = 0
    for shape in _SHAPES:
        for _ in range(shape.models):
            number += 1
            yield _model(number, shape)


def _model(number: int, shape: _Shape) -> Series:
    import numpy as np

    months = np.arange(shape.first_year * MONTHS, (shape.last_year + 1) * MONTHS)
    grid = np.meshgrid(shape.latitudes, shape.longitudes, indexing="ij")
    latitudes, longitudes = (axis.ravel() for axis in grid)
    values = _temperature(number, months, latitudes)
    return Series(f"generated-{number:02}", shape.calendar, months, values, latitudes, longitudes)


def _temperature(
    number: int, months: "npt.NDArray[np.int64]", latitudes: "npt.NDArray[np.float64]"
) -> "npt.NDArray[np.float32]":
    """Return (month, cell) in K: what the model is like, the season, the warming, the weather."""
    import numpy as np

    random = np.random.default_rng([1961, 1990, number])
    mean, season, warming = random.normal([257.5, 14.0, 2.6], [1.4, 1.2, 0.6])
    years = months / MONTHS
    cycle = -season * np.cos(2 * np.pi * (months % MONTHS - 0.5) / MONTHS)
    trend = warming * np.clip((years - 1900) / 115, 0, None) ** 2
    slow = _weather(random, months.size, memory=0.97, spread=0.5)
    fast = random.normal(0.0, 1.8, months.size)
    over_time = mean + cycle + trend + slow + fast
    over_cells = -0.35 * (latitudes - 88.0)
    each = random.normal(0.0, 0.2, (months.size, latitudes.size))
    return np.asarray(over_time[:, None] + over_cells + each, dtype=np.float32)


def _weather(
    random: "np.random.Generator", size: int, *, memory: float, spread: float
) -> "npt.NDArray[np.float64]":
    """Return noise in which each month remembers the one before."""
    import numpy as np

    shocks = random.normal(0.0, spread * (1 - memory**2) ** 0.5, size)
    noise = np.empty(size)
    last = 0.0
    for index, shock in enumerate(shocks):
        last = memory * last + shock
        noise[index] = last
    return noise
