"""Decide how a dataset is cut into units of work, shards and chunks. Nothing is written here.

A unit is a range of steps along one dimension. It begins and ends where shards do, in every
variable: a region that cuts a shard loses rows without a word when its data are NumPy.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pangeo_hpc.errors import Problem, RequestRefused
from pangeo_hpc.workflow.grid import LARGEST_SHARD, SHARD, Grid, chosen, given, longest

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

# Into how many units an output is cut at least, where Dask's chunks and the size of files allow it.
# Of a small one, whose units make no files that stay, so many at most.
_UNITS, _SMALL_UNITS = 32, 128
# The chunk of what grows step by step and is written whole, such as the time coordinate.
_GROWING_CHUNK = 16_384

COORDINATES, STATIC, GATHERED = "coordinates", "static", "gathered"


@dataclass(frozen=True)
class Asked:
    """What a person asks of an output; None where we choose.

    `encoding` has the keys of each variable that Xarray understands, `append` is the dimension
    along which the output grows.
    """

    along: str | None = None
    unit: int | None = None
    encoding: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    append: str | None = None


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
    """How one group of an output is written.

    `early` variables are small or whole in memory and come with the template, `static` ones are
    computed once, `by_unit` ones in ranges of `unit` steps along `along`. `gathered` ones are so
    small that they are one file each: they are computed in the same ranges, and put together at the
    end. `grids` are the chunks and shards of all but the early ones.
    """

    along: str | None
    length: int
    unit: int
    early: tuple[str, ...]
    static: tuple[str, ...]
    by_unit: tuple[str, ...]
    gathered: tuple[str, ...]
    grids: Mapping[str, Grid]
    append: str | None = None

    def units(self) -> Iterator[Unit]:
        """Return the units in the order in which they are computed, without the coordinates."""
        if self.static:
            yield Unit(STATIC, self.static)
        names = self.by_unit + self.gathered
        for index, start in enumerate(range(0, self.length if names else 0, self.unit)):
            stop = min(start + self.unit, self.length)
            yield Unit(f"unit-{index:06}", names, self.along, start, stop)

    @property
    def coordinates(self) -> Unit:
        """Return the unit that is there as soon as the template is."""
        return Unit(COORDINATES, self.early)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all variables."""
        return self.early + self.static + self.by_unit + self.gathered

    def grown(self, length: int) -> "Layout":
        """Return the layout of an output that has become longer."""
        return replace(self, length=length)

    def dump(self) -> dict[str, Any]:
        """Return it in plain words, as the ledger keeps it."""
        return asdict(self)

    @classmethod
    def load(cls, kept: Mapping[str, Any]) -> "Layout":
        """Return a layout from what the ledger keeps."""
        lists = {key: tuple(kept[key]) for key in ("early", "static", "by_unit", "gathered")}
        grids = {
            name: Grid(tuple(each["chunks"]), tuple(each["shards"]) if each["shards"] else None)
            for name, each in kept["grids"].items()
        }
        return cls(**{**kept, **lists, "grids": grids})


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
        problems += _known(name, ds.variables[name])
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


def is_lazy(variable: "xr.Variable") -> bool:
    """Tell whether a variable is backed by Dask."""
    return variable.chunks is not None


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
