"""Decide how a dataset is cut into units of work, shards and chunks. Nothing is written here.

A unit is a range of steps along one dimension. It begins and ends where shards do, in every
variable: a region that cuts a shard loses rows without a word when its data are NumPy.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pangeo_hpc.errors import Problem, RequestRefused
from pangeo_hpc.units import MIB
from pangeo_hpc.workflow.grid import Grid, chosen, given, longest

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

# How much of data that are in memory goes into one unit; Dask's chunks decide otherwise.
IN_MEMORY_UNIT = 128 * MIB


COORDINATES, STATIC = "coordinates", "static"


@dataclass(frozen=True)
class Unit:
    """One piece of an output, written and noted as one: variables, in a region or whole.

    `key` is its name in the ledger; the region is `start` to `stop` along a dimension.
    """

    key: str
    names: tuple[str, ...]
    along: str | None = None
    start: int = 0
    stop: int = 0

    @property
    def region(self) -> dict[str, slice] | None:
        """Return the region as Xarray takes it, None for variables that are written whole."""
        return {self.along: slice(self.start, self.stop)} if self.along is not None else None


@dataclass(frozen=True)
class Layout:
    """How one output is written.

    `early` variables are small or whole in memory and come with the template, `static` ones are
    computed once, `by_unit` ones in ranges of `unit` steps along `along`. `grids` are the chunks
    and shards of the last two.
    """

    along: str | None
    length: int
    unit: int
    early: tuple[str, ...]
    static: tuple[str, ...]
    by_unit: tuple[str, ...]
    grids: Mapping[str, Grid]

    def units(self) -> Iterator[Unit]:
        """Return the units in the order in which they are computed.

        The first one, the coordinates, is there as soon as the template is.
        """
        yield Unit(COORDINATES, self.early)
        if self.static:
            yield Unit(STATIC, self.static)
        for index, start in enumerate(range(0, self.length, self.unit)):
            stop = min(start + self.unit, self.length)
            yield Unit(f"unit-{index:06}", self.by_unit, self.along, start, stop)


def decide(
    ds: "xr.Dataset",
    *,
    along: str | None = None,
    unit: int | None = None,
    encoding: Mapping[str, Mapping[str, Any]] | None = None,
) -> Layout:
    """Return the layout of a dataset.

    `along` is the dimension to cut, `unit` how many of its steps a unit has; both are chosen from
    the largest variable and its Dask chunks if not given. Raise RequestRefused with everything that
    does not fit, a unit or Dask chunks that cut a shard among it.
    """
    asked = encoding or {}
    problems = _names(ds, along, asked)
    if problems:
        raise RequestRefused(problems)
    along = along or _dimension(ds)
    early, static, by_unit = _sort(ds, along)
    fixed: dict[str, Grid] = {}
    for name in (*static, *by_unit):
        problems += _known(name, ds.variables[name])
        grid = given(name, ds.variables[name], asked.get(name, {}), problems)
        if grid is not None:
            fixed[name] = grid
    if problems:
        raise RequestRefused(problems)
    length = ds.sizes[along] if along is not None and by_unit else 0
    steps = _steps(ds, along, by_unit, fixed, length, unit)
    grids = {
        name: fixed.get(name) or chosen(ds.variables[name], along, steps)
        for name in (*static, *by_unit)
    }
    return Layout(along, length, steps, early, static, by_unit, grids)


def is_lazy(variable: "xr.Variable") -> bool:
    """Tell whether a variable is backed by Dask."""
    return variable.chunks is not None


def _names(
    ds: "xr.Dataset", along: str | None, encoding: Mapping[str, Mapping[str, Any]]
) -> list[Problem]:
    problems = [
        Problem(str(name), "is not a text, as names in Zarr must be")
        for name in (*ds.variables, *ds.dims)
        if not isinstance(name, str)
    ]
    if along is not None and along not in ds.dims:
        dims = ", ".join(map(str, ds.dims)) or "none"
        problems.append(Problem("along", f"{along!r} is no dimension of the data; it has: {dims}"))
    for name, asked in encoding.items():
        if name not in ds.variables:
            problems.append(Problem(f"encoding.{name}", "no variable has this name"))
        for key in asked:
            if key not in _ENCODING:
                near = get_close_matches(key, _ENCODING, 1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(_ENCODING)}"
                problems.append(Problem(f"encoding.{name}.{key}", "there is no such key", hint))
    return problems


def _known(name: str, variable: "xr.Variable") -> list[Problem]:
    sizes = [size for lengths in variable.chunks or () for size in lengths]
    if not any(math.isnan(size) for size in sizes):
        return []
    hint = "call compute_chunk_sizes() on its Dask array, or load it"
    return [Problem(name, "the lengths of its Dask chunks are not known", hint)]


def _sort(
    ds: "xr.Dataset", along: str | None
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return which variables come with the template, once, and unit by unit."""
    early, static, by_unit = [], [], []
    for key, variable in ds.variables.items():
        name = str(key)
        if _is_early(variable, name in ds.indexes, along):
            early.append(name)
        elif along in variable.dims:
            by_unit.append(name)
        else:
            static.append(name)
    return tuple(early), tuple(static), tuple(by_unit)


def _is_early(variable: "xr.Variable", indexed: bool, along: str | None) -> bool:
    """Tell whether a variable is written whole with the template.

    Objects and texts of any length must be seen whole to know how they are stored.
    """
    if indexed or variable.size == 0 or variable.dtype.kind in "OT":
        return True
    return not is_lazy(variable) and (along not in variable.dims or variable.ndim < 2)


def _dimension(ds: "xr.Dataset") -> str | None:
    """Return the dimension to cut: of the largest variable, the first that Dask has cut."""
    candidates = [
        variable
        for name, variable in ds.variables.items()
        if variable.ndim and not _is_early(variable, name in ds.indexes, str(variable.dims[0]))
    ]
    if not candidates:
        return None
    largest = max(candidates, key=lambda variable: variable.nbytes)
    for dim, lengths in zip(largest.dims, largest.chunks or (), strict=False):
        if len(lengths) > 1:
            return str(dim)
    return str(largest.dims[0])


def _steps(
    ds: "xr.Dataset",
    along: str | None,
    by_unit: tuple[str, ...],
    fixed: Mapping[str, Grid],
    length: int,
    unit: int | None,
) -> int:
    """Return how many steps a unit has: a multiple of every given shard, or the whole length."""
    if along is None or not by_unit:
        return 1
    shards = {
        name: fixed[name].write[ds.variables[name].dims.index(along)]
        for name in by_unit
        if name in fixed
    }
    common = math.lcm(*shards.values())
    if unit is None:
        lengths = [n for name in by_unit if (n := longest(ds.variables[name], along))]
        per_step = sum(ds.variables[name].nbytes for name in by_unit) // length
        wanted = max(lengths, default=max(1, IN_MEMORY_UNIT // max(1, per_step)))
        return min(math.ceil(wanted / common) * common, length)
    if unit < 1 or (unit < length and unit % common):
        told = ", ".join(f"{name} {size}" for name, size in shards.items())
        text = f"{unit} steps along {along} would cut shards (or chunks) in two: {told}"
        text = text if unit > 0 else f"{unit} is no number of steps"
        raise RequestRefused([Problem("unit", text, f"give a multiple of {common}")])
    return min(unit, length)
