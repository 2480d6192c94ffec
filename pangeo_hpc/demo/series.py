"""The months of one model: read from its files, or refused with the reason.

CMIP6 files differ more than their names tell: calendars, epochs, files per model, grids. And some
hold fill values they do not declare, or averages over fill values; only air that can be is taken.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pangeo_hpc.demo.data import VARIABLE, Files

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt
    import xarray as xr

# At 1000 hPa many months are below the ground and missing in some models; at 925 hPa none is.
LEVEL = 92500.0
# In K: colder and warmer than any air of the troposphere. What is outside counts as missing.
COLDEST, WARMEST = 150.0, 350.0
MONTHS = 12


class CannotMerge(Exception):
    """One model does not fit into the ensemble; the text is the reason."""


@dataclass(frozen=True)
class Series:
    """Monthly means of one model on its own grid cells.

    `months` counts from January of year 0, in order. `values` is (month, cell) in K, NaN where
    nothing is known. `latitudes` and `longitudes` are those of the cells, in degrees.
    """

    model: str
    calendar: str
    months: "npt.NDArray[np.int64]"
    values: "npt.NDArray[np.float32]"
    latitudes: "npt.NDArray[np.float64]"
    longitudes: "npt.NDArray[np.float64]"
    member: str = ""
    grid: str = ""
    version: str = ""
    files: int = 0

    @property
    def years(self) -> tuple[int, int]:
        """Return the first and the last year."""
        return int(self.months[0]) // MONTHS, int(self.months[-1]) // MONTHS


def span(first: object, last: object) -> str:
    """Return a range, for people."""
    return f"{first}\N{EN DASH}{last}"


def month_lengths(calendar: str, months: "Iterable[int]") -> list[int]:
    """Return the days of months, counted from January of year 0, in a calendar of CF."""
    import cftime

    return [
        cftime.datetime(month // MONTHS, month % MONTHS + 1, 1, calendar=calendar).daysinmonth
        for month in months
    ]


def read(files: Files) -> Series:
    """Return a model's months from all its files. Raise CannotMerge with the reason."""
    import numpy as np

    pieces = sorted((_read_file(path) for path in files.paths), key=lambda p: int(p.months[0]))
    first = pieces[0]
    for piece in pieces:
        if piece.calendar != first.calendar:
            raise CannotMerge(f"{piece.name} has calendar {piece.calendar}, not {first.calendar}")
        if not _same_cells(piece, first):
            raise CannotMerge(f"{piece.name} is on another grid than {first.name}")
    for before, after in pairwise(pieces):
        if after.months[0] <= before.months[-1]:
            month = _named(int(after.months[0]))
            raise CannotMerge(f"{before.name} and {after.name} both hold {month}")
    months = np.concatenate([piece.months for piece in pieces])
    values = np.concatenate([piece.values for piece in pieces])
    _refuse_without_years(months, values)
    return Series(
        files.model,
        first.calendar,
        months,
        values,
        first.latitudes,
        first.longitudes,
        files.member,
        files.grid,
        files.version,
        len(files.paths),
    )


@dataclass(frozen=True)
class _Piece:
    """What one file holds of the chosen level."""

    name: str
    calendar: str
    months: "npt.NDArray[np.int64]"
    values: "npt.NDArray[np.float32]"
    latitudes: "npt.NDArray[np.float64]"
    longitudes: "npt.NDArray[np.float64]"


def _read_file(path: "Path") -> _Piece:
    import xarray as xr

    decoder = xr.coders.CFDatetimeCoder(use_cftime=True)
    try:
        with xr.open_dataset(path, engine="netcdf4", decode_times=decoder) as ds:
            return _piece(ds, path.name)
    except (OSError, ValueError) as error:
        words = str(error).splitlines()[0]
        raise CannotMerge(f"{path.name} cannot be read: {words}") from error


def _piece(ds: "xr.Dataset", name: str) -> _Piece:
    """Return what an open file holds of the chosen level."""
    import numpy as np

    if VARIABLE not in ds or not {"time", "plev", "lat", "lon"} <= set(ds[VARIABLE].dims):
        raise CannotMerge(f"{name} has no {VARIABLE} on time, pressure, latitude and longitude")
    if ds[VARIABLE].attrs.get("units") != "K":
        raise CannotMerge(f"{name} is in {ds[VARIABLE].attrs.get('units')!r}, not K")
    levels = np.flatnonzero(np.isclose(ds["plev"].values, LEVEL, rtol=1e-6))
    if not levels.size:
        raise CannotMerge(f"{name} has no level at {LEVEL / 100:.0f} hPa")
    months = np.array([date.year * MONTHS + date.month - 1 for date in ds["time"].values])
    if not months.size or (np.diff(months) < 1).any():
        raise CannotMerge(f"{name} holds a month twice, or its months are not in order")
    level = ds[VARIABLE].isel(plev=int(levels[0])).transpose("time", "lat", "lon")
    values = level.values.reshape(months.size, -1)
    possible = (values > COLDEST) & (values < WARMEST)
    latitudes, longitudes = np.meshgrid(ds["lat"].values, ds["lon"].values, indexing="ij")
    return _Piece(
        name,
        ds["time"].dt.calendar,
        months,
        np.where(possible, values, np.float32(np.nan)).astype(np.float32),
        latitudes.ravel().astype(np.float64),
        longitudes.ravel().astype(np.float64),
    )


def _same_cells(one: _Piece, other: _Piece) -> bool:
    import numpy as np

    def close(a: Any, b: Any) -> bool:
        return a.shape == b.shape and bool(np.allclose(a, b, rtol=0.0, atol=1e-4))

    return close(one.latitudes, other.latitudes) and close(one.longitudes, other.longitudes)


def _refuse_without_years(months: Any, values: Any) -> None:
    """Raise CannotMerge if no year has all its months in all cells."""
    import numpy as np

    whole = months[np.isfinite(values).all(axis=1)]
    _, counts = np.unique(whole // MONTHS, return_counts=True)
    if not (counts == MONTHS).any():
        raise CannotMerge(f"no year has all its months at {LEVEL / 100:.0f} hPa")


def _named(month: int) -> str:
    return f"{month // MONTHS:04}-{month % MONTHS + 1:02}"
