"""The field that the reductions are measured on: CMIP6 sample data, tiled to the size asked for."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from benchmarks._reduce_field import GRID, Field, files
from pangeo_hpc.demo import data

MODEL = "BCC-ESM1"
STEPS = 120
"""Steps in one chunk, or in one shard: ten years."""


def make(folder: Path, gib: float, missing: float = 0.0) -> Field:
    """Write the field, of about so many GiB, a decade at a time.

    The monthly temperatures of one model are repeated in time and over the grid; each value has a
    little noise of its own, since what is repeated would compress to nothing. A share of the grid
    can be missing: its first latitudes.
    """
    series, origin = _series()
    steps = max(STEPS, round(gib * 2**30 / (GRID[0] * GRID[1] * 4) / STEPS) * STEPS)
    field = files(folder, steps)
    _empty(field, origin)
    stores: list[Any] = [zarr.open_group(p, mode="r+")["ta"] for p in (field.zarr, field.plain)]
    import netCDF4

    with netCDF4.Dataset(field.netcdf, "r+") as one, netCDF4.Dataset(field.deflated, "r+") as two:
        for start, values in _decades(series, steps):
            values[:, : round(missing * GRID[0])] = np.nan
            for each in (*stores, one["ta"], two["ta"]):
                each[start : start + len(values)] = values
    return field


def _series() -> tuple[np.ndarray[Any, Any], str]:
    """Return whole years of the months of one model at a level, and where they are from."""
    root = data.find()
    if root is None:
        raise SystemExit(f"the package {data.PACKAGE} is not installed")
    (found,) = (one for one in data.catalogue(root).models if one.model == MODEL)
    with xr.open_mfdataset(found.paths, combine="by_coords", chunks=None) as ds:
        values = ds.ta.isel(plev=0).transpose("time", "lat", "lon").values
    whole = values[: len(values) // 12 * 12]
    return whole, f"{data.origin()}: {MODEL}, {len(whole)} months"


def _decades(
    series: np.ndarray[Any, Any], steps: int
) -> Iterator[tuple[int, np.ndarray[Any, Any]]]:
    rng = np.random.default_rng(1)
    times = (GRID[0] // series.shape[1], GRID[1] // series.shape[2])
    for start in range(0, steps, STEPS):
        months = np.arange(start, start + STEPS) % len(series)
        values = np.tile(series[months], (1, *times))
        yield start, (values + rng.normal(0, 0.5, values.shape)).astype("f4")


def _empty(field: Field, origin: str) -> None:
    """Write all but the values."""
    import dask.array

    shape, chunks = (field.steps, *GRID), (STEPS, *GRID)
    time = xr.date_range(
        "0001-01-01", periods=field.steps, freq="MS", calendar="noleap", use_cftime=True
    )
    lat = ("lat", np.linspace(-90, 90, GRID[0]), {"units": "degrees_north"})
    lon = ("lon", np.arange(GRID[1]) * 360 / GRID[1], {"units": "degrees_east"})
    values = dask.array.zeros(shape, chunks=chunks, dtype="f4")
    ds = xr.Dataset(
        {"ta": (("time", "lat", "lon"), values, {"units": "K"})},
        {"time": time, "lat": lat, "lon": lon},
        {"origin": origin},
    )
    options: dict[str, Any] = {"compute": False, "mode": "w"}
    ds.to_zarr(field.zarr, zarr_format=3, consolidated=False, **options)
    cut = {"chunks": (12, *GRID), "shards": chunks, "compressors": None}
    ds.to_zarr(field.plain, zarr_format=3, consolidated=False, encoding={"ta": cut}, **options)
    deflated = {"chunksizes": (1, *GRID), "zlib": True, "complevel": 1}
    for path, encoding in ((field.netcdf, {"contiguous": True}), (field.deflated, deflated)):
        ds.to_netcdf(path, encoding={"ta": encoding}, **options)


if __name__ == "__main__":
    print(make(Path(sys.argv[1]), *map(float, sys.argv[2:])).steps)
