"""Check what is asked of an output: against the dataset, and against the layout it has already."""

import math
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pangeo_hpc.errors import Problem, RequestRefused
from pangeo_hpc.workflow.writing.grid import given
from pangeo_hpc.workflow.writing.layout import Asked, Layout

if TYPE_CHECKING:
    import xarray as xr

# What Xarray understands: how Zarr stores a variable, then how its values are packed.
_ENCODING = (
    "chunks",
    "shards",
    "compressors",
    "filters",
    "serializer",
    "fill_value",
    "dtype",
    "units",
    "calendar",
    "_FillValue",
    "missing_value",
    "scale_factor",
    "add_offset",
    "_Unsigned",
)


def check(ds: "xr.Dataset", asked: Asked) -> list[Problem]:
    """Return what is wrong with the names of a dataset, and with what is asked by name."""
    from xarray import indexes

    problems = [
        Problem(str(name), "is not a text, as names in Zarr must be")
        for name in (*ds.variables, *ds.dims)
        if not isinstance(name, str)
    ]
    problems += [
        Problem(str(name), "is a MultiIndex, which Zarr does not know", "reset_index() first")
        for name, index in ds.xindexes.items()
        if isinstance(index, indexes.PandasMultiIndex)
    ]
    for what, dim in (("along", asked.along), ("append", asked.append)):
        if dim is not None and dim not in ds.dims:
            dims = ", ".join(map(str, ds.dims)) or "none"
            problems.append(Problem(what, f"{dim!r} is no dimension of the data; it has: {dims}"))
    if asked.append and asked.along not in (None, asked.append):
        text = f"is {asked.along!r}, but an output grows unit by unit along {asked.append!r}"
        problems.append(Problem("along", text, "leave `along` out"))
    for name, wishes in asked.encoding.items():
        if name not in ds.variables:
            problems.append(Problem(f"encoding.{name}", "no variable has this name"))
        for key in wishes:
            if key not in _ENCODING:
                near = get_close_matches(key, _ENCODING, 1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(_ENCODING)}"
                problems.append(Problem(f"encoding.{name}.{key}", "there is no such key", hint))
    return problems


def conflicts(layout: Layout, ds: "xr.Dataset", asked: Asked) -> list[str]:
    """Return in words what is asked of an output otherwise than it was begun with.

    What is not asked, and how Dask cuts the data, does not matter: the output keeps its layout.
    """
    told = []
    for what, was, now in (
        ("along", layout.along, asked.along),
        ("unit", layout.unit, asked.unit and min(asked.unit, max(layout.unit, layout.length))),
    ):
        if now is not None and now != was:
            told.append(f"{what} was {was!r} and is {now!r}")
    problems: list[Problem] = []
    for name, grid in layout.grids.items():
        wish = given(name, ds.variables[name], asked.encoding.get(name, {}), problems)
        if wish is not None and wish != grid:
            told += [
                f"encoding.{name}.{key} was {was!r} and is {now!r}"
                for key in ("chunks", "shards")
                if (was := getattr(grid, key)) != (now := getattr(wish, key))
            ]
    if problems:
        raise RequestRefused(problems)
    return told


def lengths_known(name: str, variable: "xr.Variable") -> list[Problem]:
    """Return a problem if Dask does not know how long its chunks are."""
    sizes = [size for lengths in variable.chunks or () for size in lengths]
    if not any(math.isnan(size) for size in sizes):
        return []
    hint = "call compute_chunk_sizes() on its Dask array, or load it"
    return [Problem(name, "the lengths of its Dask chunks are not known", hint)]
