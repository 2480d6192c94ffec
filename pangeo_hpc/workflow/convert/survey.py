"""What each source file holds, read from its metadata and its coordinates."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc.errors import Problem
from pangeo_hpc.workflow.plain import of_numpy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import xarray as xr

# How a variable's values are packed: joined only where all files pack alike.
PACKING = ("dtype", "scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned")


@dataclass(frozen=True)
class Described:
    """One variable of one file: its dimensions, their lengths, its type when read, its packing."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    packing: Mapping[str, Any] = field(default_factory=dict)

    def length(self, dim: str) -> int:
        """Return the length of one of its dimensions."""
        return self.shape[self.dims.index(dim)]


@dataclass(frozen=True)
class Piece:
    """One source file.

    `steps` is its length along the dimension on which files are joined, `values` the coordinate
    there (None without one), `fixed` a digest of every other coordinate by its name.
    """

    path: Path
    steps: int
    values: "npt.NDArray[np.generic] | None"
    variables: Mapping[str, Described]
    fixed: Mapping[str, str]

    @property
    def first(self) -> Any:
        """Return the first value of the coordinate."""
        return None if self.values is None or not self.steps else self.values[0]

    @property
    def last(self) -> Any:
        """Return the last value of the coordinate."""
        return None if self.values is None or not self.steps else self.values[-1]


def open_netcdf(path: Path, chunks: Mapping[str, int] | None = None) -> "xr.Dataset":
    """Open a NetCDF file of any version, lazily; with `chunks`, as Dask arrays."""
    import xarray as xr

    return xr.open_dataset(path, engine="netcdf4", chunks=chunks)


def dimension(paths: Sequence[Path], asked: str | None) -> str:
    """Return the dimension on which NetCDF files are joined.

    The asked one; else the unlimited one; else time; else the first of the largest variable.
    """
    if asked is not None:
        return asked
    with open_netcdf(paths[0]) as ds:
        unlimited = [str(dim) for dim in ds.encoding.get("unlimited_dims", ()) if dim in ds.dims]
        if unlimited:
            return "time" if "time" in unlimited else sorted(unlimited)[0]
        if "time" in ds.dims:
            return "time"
        largest = max(ds.data_vars.values(), key=lambda each: each.size, default=None)
        return str(largest.dims[0]) if largest is not None and largest.dims else "time"


def look(path: Path, along: str, variables: Sequence[str], problems: list[Problem]) -> Piece | None:
    """Return what one NetCDF file holds; None, and what is wrong, if it cannot be used."""
    try:
        with open_netcdf(path) as ds:
            chosen = _chosen(ds, variables, path, problems)
            if chosen is None:
                return None
            if along not in chosen.dims:
                dims = ", ".join(map(str, chosen.dims)) or "none"
                text = f"has no dimension {along!r}; it has: {dims}"
                problems.append(Problem(str(path), text, "--along names the one to join on"))
                return None
            return _piece(path, chosen, along)
    except (OSError, ValueError) as error:
        # what xarray says of values it cannot decode goes on for many lines
        told = (str(error).splitlines() or [type(error).__name__])[0]
        problems.append(Problem(str(path), f"cannot be read as NetCDF: {told}"))
        return None


def _chosen(
    ds: "xr.Dataset", variables: Sequence[str], path: Path, problems: list[Problem]
) -> "xr.Dataset | None":
    if not variables:
        return ds
    missing = [name for name in variables if name not in ds.variables]
    if missing:
        there = ", ".join(map(str, ds.data_vars))
        text = f"has no variable {', '.join(missing)}; it has: {there}"
        problems.append(Problem(str(path), text))
        return None
    # bounds belong to the coordinates that name them
    bounds = {str(ds[name].attrs.get("bounds", "")) for name in ds.coords} & set(ds.data_vars)
    return ds[[*variables, *sorted(bounds - set(variables))]]


def _piece(path: Path, ds: "xr.Dataset", along: str) -> Piece:
    values = ds[along].values if along in ds.coords else None
    fixed = {
        str(name): digest(coordinate)
        for name, coordinate in ds.coords.items()
        if along not in coordinate.dims
    }
    variables = {
        str(name): Described(
            tuple(map(str, variable.dims)),
            variable.shape,
            str(variable.dtype),
            packing(variable.encoding),
        )
        for name, variable in ds.variables.items()
    }
    return Piece(path, ds.sizes[along], values, variables, fixed)


def packing(encoding: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a variable is packed, as it can be compared and written down."""
    return {
        key: str(value) if key == "dtype" else of_numpy(value)
        for key, value in encoding.items()
        if key in PACKING
    }


def digest(coordinate: "xr.DataArray") -> str:
    """Return what is equal for equal coordinates."""
    values = coordinate.values
    data = values.tobytes() if values.dtype.kind != "O" else repr(values.tolist()).encode()
    told = f"{values.dtype} {values.shape}".encode()
    return hashlib.sha256(told + data).hexdigest()
