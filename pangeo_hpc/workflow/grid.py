"""Chunks and shards of one variable: those that are asked for, checked, or sensible ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pangeo_hpc.errors import Problem
from pangeo_hpc.units import MIB

if TYPE_CHECKING:
    import xarray as xr

# The largest chunk we choose, before compression; what is larger becomes a shard of such chunks.
INNER = 16 * MIB


@dataclass(frozen=True)
class Grid:
    """Chunks, and the shards that hold them; without shards each chunk is a file of its own."""

    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None = None

    @property
    def write(self) -> tuple[int, ...]:
        """Return the shape of what is written as one file."""
        return self.shards or self.chunks

    @property
    def encoding(self) -> dict[str, tuple[int, ...]]:
        """Return the grid as Xarray takes it."""
        return {"chunks": self.chunks} | ({"shards": self.shards} if self.shards else {})


def given(
    name: str, variable: "xr.Variable", encoding: Mapping[str, Any], problems: list[Problem]
) -> Grid | None:
    """Return the grid that an encoding asks for, None if it asks for none.

    What is wrong with it is added to `problems`.
    """
    found = len(problems)
    shape = {
        key: _shape(f"encoding.{name}.{key}", encoding[key], variable, problems)
        for key in ("chunks", "shards")
        if encoding.get(key) is not None
    }
    if not shape or len(problems) > found:
        return None
    shards = shape.get("shards")
    chunks = shape.get("chunks") or split(shards or (), variable.dtype.itemsize)
    if shards and any(shard % chunk for shard, chunk in zip(shards, chunks, strict=True)):
        text = f"shards {shards} are not whole multiples of chunks {chunks}"
        problems.append(Problem(f"encoding.{name}.shards", text))
        return None
    return Grid(chunks, shards)


def chosen(variable: "xr.Variable", along: str | None, unit: int) -> Grid:
    """Return a grid after a variable's own Dask chunks, such that units of `unit` steps fit."""
    write = []
    for dim, size in zip(variable.dims, variable.shape, strict=True):
        length = longest(variable, str(dim)) or size
        if dim == along and (length > unit or unit % length):
            length = unit
        write.append(length)
    shards = tuple(write)
    chunks = split(shards, variable.dtype.itemsize)
    return Grid(chunks) if chunks == shards else Grid(chunks, shards)


def split(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return chunks of at most INNER bytes that divide a shard evenly."""
    chunks = list(shape)
    bytes_ = itemsize
    for size in shape:
        bytes_ *= size
    while bytes_ > INNER and max(chunks) > 1:
        axis = chunks.index(max(chunks))
        factor = _smallest_factor(chunks[axis])
        chunks[axis] //= factor
        bytes_ //= factor
    return tuple(chunks)


def longest(variable: "xr.Variable", dim: str) -> int | None:
    """Return the longest Dask chunk along a dimension, None without Dask."""
    if variable.chunks is None:
        return None
    return int(max(variable.chunks[variable.dims.index(dim)]))


def aligned(variable: "xr.Variable", grid: Grid) -> "xr.Variable":
    """Return a variable whose Dask chunks each cover whole files of a grid.

    The variable begins where a file does. Chunks that fit stay as they are.
    """
    if variable.chunks is None:
        return variable
    new = {}
    for dim, lengths, size in zip(variable.dims, variable.chunks, grid.write, strict=True):
        if any(length % size for length in lengths[:-1]):
            new[dim] = -(-max(lengths) // size) * size
    return variable.chunk(new) if new else variable


def _shape(
    path: str, value: object, variable: "xr.Variable", problems: list[Problem]
) -> tuple[int, ...]:
    sizes = (value,) * variable.ndim if isinstance(value, int) else value
    if not isinstance(sizes, tuple | list) or not all(
        isinstance(size, int) and size > 0 for size in sizes
    ):
        text = f"{value!r} is not one whole number above 0 for each dimension"
        problems.append(Problem(path, text))
        return ()
    if len(sizes) != variable.ndim:
        dims = ", ".join(map(str, variable.dims))
        text = f"{value!r} has {len(sizes)} numbers for {variable.ndim} dimensions ({dims})"
        problems.append(Problem(path, text))
    return tuple(sizes)


def _smallest_factor(number: int) -> int:
    divisor = 2
    while divisor * divisor <= number:
        if number % divisor == 0:
            return divisor
        divisor += 1
    return number
