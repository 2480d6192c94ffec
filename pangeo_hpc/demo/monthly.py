"""The multi-model ensemble on scratch: all months of all models in one Zarr store.

Models come on grids and in calendars of their own, and nothing is interpolated to merge them: each
keeps its cells, with NaN where it has fewer than others, and each month keeps the length it has in
the model's calendar, beside it.
"""

import secrets
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pangeo_hpc import files
from pangeo_hpc.demo.data import LeftOut
from pangeo_hpc.demo.series import LEVEL, MONTHS, Series, month_lengths, span

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import xarray as xr

# A chunk of the store, and later a unit of the job: small enough to see progress.
MODELS_PER_CHUNK = 3
_ARRAYS = (
    "ta", "days", "weight", "model", "time", "lat", "lon", "calendar", "grid", "version",
)  # fmt: skip


@dataclass(frozen=True)
class About:
    """Where the months come from; `digest` changes whenever they do."""

    origin: str
    digest: str
    generated: bool = False
    left_out: tuple[LeftOut, ...] = ()


def merge(series: Sequence[Series], about: About) -> "xr.Dataset":
    """Return all series as one dataset over (model, time, cell), for whole years.

    `time` is the first day of a month and names the month in every calendar. A weight is the cosine
    of a cell's latitude, 0 where a model has no cell.
    """
    import numpy as np
    import xarray as xr

    first = min(each.years[0] for each in series)
    months = MONTHS * (max(each.years[1] for each in series) + 1 - first)
    cells = max(each.latitudes.size for each in series)
    ta = np.full((len(series), months, cells), np.nan, np.float32)
    days = np.zeros((len(series), months), np.int8)
    places = np.full((2, len(series), cells), np.nan)
    weight = np.zeros((len(series), cells))
    for index, each in enumerate(series):
        at = each.months - first * MONTHS
        count = each.latitudes.size
        ta[index, at, :count] = each.values
        days[index, at] = month_lengths(each.calendar, each.months.tolist())
        places[:, index, :count] = each.latitudes, each.longitudes
        weight[index, :count] = np.cos(np.deg2rad(each.latitudes))
    return xr.Dataset(
        {
            "ta": (("model", "time", "cell"), ta, _described("Air temperature", "K")),
            "days": (
                ("model", "time"),
                days,
                _described("Length of the month in the model's own calendar, 0: not there", "days"),
            ),
            "weight": (
                ("model", "cell"),
                weight,
                _described("Cosine of the latitude of the cell, 0: no such cell", "1"),
            ),
        },
        coords={
            "model": _texts(each.model for each in series),
            "time": ("time", _starts(first, months)),
            "lat": (("model", "cell"), places[0], _described("Latitude", "degrees_north")),
            "lon": (("model", "cell"), places[1], _described("Longitude", "degrees_east")),
            "calendar": ("model", _texts(each.calendar for each in series)),
            "grid": ("model", _texts(each.grid for each in series)),
            "version": ("model", _texts(each.version for each in series)),
        },
        attrs={
            "title": f"Monthly air temperature at {LEVEL / 100:.0f} hPa of {len(series)} models",
            "source": about.origin,
            "source_digest": about.digest,
            "generated": int(about.generated),
            "left_out": "\n".join(f"{each.model}: {each.reason}" for each in about.left_out),
            "level_hPa": LEVEL / 100,
            "region": _region(places),
            "cells": f"{min(each.latitudes.size for each in series)} to {cells}",
        },
    )


def is_there(store: Path, digest: str) -> bool:
    """Tell whether a store holds the months of this digest, with every one of its chunks."""
    import zarr

    from pangeo_hpc.workflow.writing.template import stable

    try:
        with stable():
            group = zarr.open_group(store, mode="r", zarr_format=3, use_consolidated=False)
            if group.attrs.get("source_digest") != digest:
                return False
            arrays = [group[name] for name in _ARRAYS]
            return all(
                isinstance(array, zarr.Array) and array.nchunks_initialized == array.nchunks
                for array in arrays
            )
    except (OSError, ValueError, KeyError):
        return False


def write(ds: "xr.Dataset", store: Path) -> None:
    """Write the months to a store, which is there whole or not at all, instead of an older one."""
    from pangeo_hpc.workflow.writing.template import stable

    draft = store.with_name(f".{store.name}.{secrets.token_hex(4)}.partial")
    chunks = {
        name: {
            "chunks": (
                min(MODELS_PER_CHUNK, variable.shape[0]),
                *variable.shape[1:],
            )
        }
        for name, variable in ds.variables.items()
        if variable.ndim > 1
    }
    try:
        with files.refusals(store), stable():
            ds.to_zarr(draft, mode="w", zarr_format=3, encoding=chunks, write_empty_chunks=True)
            if store.exists():
                shutil.rmtree(store)
            draft.rename(store)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def sweep(store: Path) -> None:
    """Remove what interrupted calls of `write` left."""
    for left in store.parent.glob(f".{store.name}.*.partial"):
        shutil.rmtree(left, ignore_errors=True)


def size(path: Path) -> int:
    """Return the bytes of all files below a path."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _region(places: "npt.NDArray[np.float64]") -> str:
    import numpy as np

    south, west = np.nanmin(places, axis=(1, 2))
    north, east = np.nanmax(places, axis=(1, 2))
    return f"{span(f'{south:.1f}', f'{north:.1f}')}°N, {span(f'{west:.1f}', f'{east:.1f}')}°E"


def _described(name: str, units: str) -> dict[str, str]:
    return {"long_name": name, "units": units}


def _texts(values: Iterable[str]) -> "npt.NDArray[np.object_]":
    """Return texts of any length, which Zarr stores portably."""
    import numpy as np

    return np.array(list(values), dtype=object)


def _starts(first_year: int, months: int) -> "npt.NDArray[np.datetime64]":
    import numpy as np

    start = np.datetime64(f"{first_year:04}-01", "M")
    return (start + np.arange(months)).astype("datetime64[ns]")
