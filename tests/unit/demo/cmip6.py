"""Small CMIP6 files for tests, sound ones and bad ones."""

from collections.abc import Sequence
from pathlib import Path

import cftime
import netCDF4
import numpy as np


def write_file(
    root: Path,
    model: str,
    first: int,
    last: int,
    *,
    calendar: str = "noleap",
    latitudes: Sequence[float] = (85.0, 88.0),
    longitudes: Sequence[float] = (0.0, 2.0, 4.0),
    level: float = 92500.0,
    units: str = "K",
    experiment: str = "historical",
    member: str = "r1i1p1f1",
    table: str = "Amon",
    variable: str = "ta",
    grid: str = "gn",
    version: str = "v20200101",
    epoch: int = 1850,
    values: np.ndarray | None = None,
) -> Path:
    """Write the months of whole years, and return the file; `values` is (month, lat, lon)."""
    folder = root / "CMIP6" / "CMIP" / "INST" / model / experiment / member / table / variable
    folder = folder / grid / version
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{variable}_{table}_{model}_{experiment}_{member}_{grid}_{first}01-{last}12.nc"
    months = 12 * (last + 1 - first)
    shape = (months, len(latitudes), len(longitudes))
    if values is None:
        values = np.random.default_rng(first).normal(260.0, 5.0, shape)
    with netCDF4.Dataset(folder / name, "w") as file:
        sizes = {"time": months, "plev": 2, "lat": len(latitudes), "lon": len(longitudes)}
        for dim, size in sizes.items():
            file.createDimension(dim, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = f"days since {epoch}-01-01", calendar
        dates = [
            cftime.datetime(first + month // 12, month % 12 + 1, 16, calendar=calendar)
            for month in range(months)
        ]
        time[:] = cftime.date2num(dates, time.units, calendar)
        file.createVariable("plev", "f8", ("plev",))[:] = (100000.0, level)
        file.createVariable("lat", "f8", ("lat",))[:] = latitudes
        file.createVariable("lon", "f8", ("lon",))[:] = longitudes
        data = file.createVariable(variable, "f4", ("time", "plev", "lat", "lon"))
        data.units = units
        data[:, 0] = np.full(shape, 1e20, np.float32)
        data[:, 1] = values
    return folder / name
