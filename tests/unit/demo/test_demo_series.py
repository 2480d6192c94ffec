"""A model's files become months on its cells, or a reason why not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pangeo_hpc.demo import data, series
from tests.unit.demo.cmip6 import write_file


def read(root: Path) -> series.Series:
    (files,) = data.catalogue(root).models
    return series.read(files)


def test_many_files_with_different_epochs_are_one_series(tmp_path: Path) -> None:
    """Files count days from different years, and still join month after month."""
    for first, last in ((1960, 1969), (1950, 1959), (1970, 1971)):
        write_file(tmp_path, "A", first, last, epoch=first)
    found = read(tmp_path)
    assert found.years == (1950, 1971)
    assert found.files == 3
    assert (np.diff(found.months) == 1).all()
    assert found.values.shape == (22 * 12, 6)
    assert found.latitudes.tolist() == [85.0] * 3 + [88.0] * 3


def test_values_are_those_of_the_level(tmp_path: Path) -> None:
    """The numbers are the file's own, bit for bit, at 925 hPa."""
    values = np.random.default_rng(1).normal(255, 4, (12, 2, 3)).astype(np.float32)
    write_file(tmp_path, "A", 1950, 1950, level=92500.00000001, values=values)
    assert (read(tmp_path).values == values.reshape(12, 6)).all()


def test_undeclared_fill_values_and_broken_air_are_missing(tmp_path: Path) -> None:
    """netCDF's default fill value, and air of 15 K, count as missing without any attribute."""
    values = np.full((24, 2, 3), 255.0)
    values[3, 0, 0] = 9.969209968386869e36
    values[5, 1, 2] = 15.7
    write_file(tmp_path, "A", 1950, 1951, values=values)
    found = read(tmp_path).values
    assert np.argwhere(np.isnan(found)).tolist() == [[3, 0], [5, 5]]


BAD: dict[str, tuple[str, Callable[[Path], object]]] = {
    "units": ("is in 'degC', not K", lambda root: write_file(root, "A", 1950, 1951, units="degC")),
    "level": ("no level at 925 hPa", lambda root: write_file(root, "A", 1950, 1951, level=85000)),
    "grid": (
        "is on another grid than ta_Amon_A_historical_r1i1p1f1_gn_195001-195112.nc",
        lambda root: (
            write_file(root, "A", 1950, 1951),
            write_file(root, "A", 1952, 1953, latitudes=(84.0, 88.0)),
        ),
    ),
    "calendar": (
        "has calendar 360_day, not noleap",
        lambda root: (
            write_file(root, "A", 1950, 1951),
            write_file(root, "A", 1952, 1953, calendar="360_day"),
        ),
    ),
    "overlap": (
        "both hold 1951-01",
        lambda root: (write_file(root, "A", 1950, 1951), write_file(root, "A", 1951, 1953)),
    ),
    "broken": (
        "cannot be read",
        lambda root: write_file(root, "A", 1950, 1951).write_bytes(b"no netCDF"),
    ),
    "empty years": (
        "no year has all its months at 925 hPa",
        lambda root: write_file(root, "A", 1950, 1951, values=np.full((24, 2, 3), 1e20)),
    ),
}


@pytest.mark.parametrize(("words", "make"), BAD.values(), ids=BAD)
def test_bad_files_are_refused_with_the_reason(
    words: str, make: Callable[[Path], object], tmp_path: Path
) -> None:
    """What cannot be merged says why, and names the file where there is one."""
    make(tmp_path)
    with pytest.raises(series.CannotMerge, match=r"925 hPa|ta_Amon_A") as caught:
        read(tmp_path)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("calendar", "year", "days"),
    [("noleap", 2000, 28), ("360_day", 2001, 30), ("standard", 2000, 29), ("julian", 1900, 29),
     ("proleptic_gregorian", 1900, 28), ("gregorian", 1900, 28)],
)  # fmt: skip
def test_february_in_every_calendar(calendar: str, year: int, days: int) -> None:
    """Months have the length of their own calendar."""
    assert series.month_lengths(calendar, [year * 12 + 1]) == [days]
