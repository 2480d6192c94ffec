"""Decide how a dataset is cut into units of work, shards and chunks. Nothing is written here."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pangeo_hpc.errors import Problem, RequestRefused
from pangeo_hpc.workflow.writing.asked import check, lengths_known
from pangeo_hpc.workflow.writing.grid import LARGEST_SHARD, SHARD, Grid, chosen, given, longest
from pangeo_hpc.workflow.writing.layout import Asked, Layout, is_lazy

if TYPE_CHECKING:
    import xarray as xr

# Into how many units an output is cut at least, where Dask's chunks and the size of files allow it.
# Of a small one, whose units make no files that stay, so many at most.
_UNITS, _SMALL_UNITS = 32, 128
# The chunk of what grows step by step and is written whole, such as the time coordinate.
_GROWING_CHUNK = 16_384


def decide(ds: "xr.Dataset", asked: Asked) -> Layout:
    """Return the layout of a dataset.

    The dimension to cut and the steps of a unit are chosen from the largest variable and its Dask
    chunks if not given. Raise RequestRefused with everything that does not fit, a unit that cuts a
    shard among it.
    """
    problems = check(ds, asked)
    if problems:
        raise RequestRefused(problems)
    along = asked.along or asked.append or _dimension(ds)
    early, static, by_unit = _sort(ds, along)
    fixed: dict[str, Grid] = {}
    for name in (*static, *by_unit):
        problems += lengths_known(name, ds.variables[name])
        grid = given(name, ds.variables[name], asked.encoding.get(name, {}), problems)
        if grid is not None:
            fixed[name] = grid
    if problems:
        raise RequestRefused(problems)
    length = ds.sizes[along] if along is not None and (by_unit or asked.append) else 0
    gathered = tuple(name for name in by_unit if name not in fixed and _is_small(ds, name, asked))
    steps = _steps(ds, along, by_unit, fixed, asked)
    by_unit = tuple(name for name in by_unit if name not in gathered)
    grids = {name: chosen(ds.variables[name], None, 0) for name in gathered}
    for name in (*static, *by_unit):
        grids[name] = fixed.get(name) or chosen(ds.variables[name], along, steps)
    return Layout(along, length, steps, early, static, by_unit, gathered, grids, asked.append)


def early_grid(
    name: str, variable: "xr.Variable", asked: Asked, append: str | None = None
) -> Grid | None:
    """Return the grid of a variable that comes with the template; None leaves it to Zarr.

    It is one file. Of what grows, Zarr would make a chunk as long as it first is, and many small
    files later.
    """
    wish = given(name, variable, asked.encoding.get(name, {}), [])
    if wish is not None or not variable.ndim or not variable.size:
        return wish
    if append in variable.dims:
        return Grid(
            tuple(
                _GROWING_CHUNK if dim == append else size
                for dim, size in zip(variable.dims, variable.shape, strict=True)
            )
        )
    if variable.dtype.kind in "OT":
        return Grid(variable.shape)
    return chosen(variable, None, 0)


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
    if is_lazy(variable):
        return False
    return along not in variable.dims or (variable.ndim < 2 and variable.nbytes <= SHARD)


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


def _is_small(ds: "xr.Dataset", name: str, asked: Asked) -> bool:
    return asked.append is None and ds.variables[name].nbytes <= SHARD


def _steps(
    ds: "xr.Dataset",
    along: str | None,
    by_unit: tuple[str, ...],
    fixed: Mapping[str, Grid],
    asked: Asked,
) -> int:
    """Return how many steps a unit has: a multiple of every given shard, or the whole length."""
    if along is None or not by_unit:
        return 1
    length = ds.sizes[along]
    shards = {
        name: fixed[name].write[ds.variables[name].dims.index(along)]
        for name in by_unit
        if name in fixed
    }
    common = math.lcm(*shards.values())
    unit = asked.unit
    if unit is None:
        steps = math.ceil(_wanted(ds, along, by_unit, asked) / common) * common
        return steps if asked.append else min(steps, length)
    if unit < 1 or (unit % common and (unit < length or asked.append)):
        told = ", ".join(f"{name} {size}" for name, size in shards.items())
        text = f"{unit} steps along {along} would cut shards (or chunks) in two: {told}"
        text = text if unit > 0 else f"{unit} is no number of steps"
        raise RequestRefused([Problem("unit", text, f"give a multiple of {common}")])
    return unit if asked.append else min(unit, length)


def _wanted(ds: "xr.Dataset", along: str, by_unit: tuple[str, ...], asked: Asked) -> int:
    """Return how many steps make good files of the largest variable, in whole Dask chunks."""
    largest = max((ds.variables[name] for name in by_unit), key=lambda each: each.nbytes)
    step = max(1, largest.nbytes // largest.sizes[along])
    if asked.append or not any(is_lazy(ds.variables[name]) for name in by_unit):
        # nothing is lost with data that are in memory
        size = SHARD
    elif largest.nbytes <= SHARD:
        size = largest.nbytes // _SMALL_UNITS
    else:
        size = min(max(largest.nbytes // _UNITS, SHARD), LARGEST_SHARD)
    steps = max(1, math.ceil(size / step))
    # a Dask chunk that is cut would be computed once for each part
    lengths = [
        n
        for name in by_unit
        if 2 * ds.variables[name].nbytes >= largest.nbytes
        and (n := longest(ds.variables[name], along))
    ]
    chunk = max(lengths, default=1)
    if asked.append and chunk >= largest.sizes[along] and chunk < steps:
        # a short beginning in one chunk says nothing of what comes
        chunk = 1
    return math.ceil(steps / chunk) * chunk
