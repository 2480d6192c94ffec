"""Chunks and shards of one variable: those that are asked for, checked, or sensible ones.

A shard is one file: large, since filesystems suffer from many files. Its chunks are what can be
read apart.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pangeo_hpc.errors import Problem
from pangeo_hpc.units import MIB

if TYPE_CHECKING:
    import xarray as xr

# The largest chunk we choose, before compression; what is larger becomes a shard of such chunks.
INNER = 16 * MIB
# Between these sizes, before compression, are the files of a variable that is larger than one.
SHARD, LARGEST_SHARD = 64 * MIB, 256 * MIB


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
    """Return a grid whose shards have `unit` steps along one dimension, and are large elsewhere.

    Dask's chunks say where the other dimensions are cut, if they must be.
    """
    axis = variable.dims.index(along) if along in variable.dims else None
    write = _file_shape(variable, axis, unit)
    chunks = _inner(write, variable.dtype.itemsize, axis)
    # beyond the edge of the array is nothing: a shard may be larger, in whole chunks
    shards = tuple(-(-size // chunk) * chunk for size, chunk in zip(write, chunks, strict=True))
    return Grid(chunks) if chunks == shards else Grid(chunks, shards)


def _file_shape(variable: "xr.Variable", axis: int | None, unit: int) -> tuple[int, ...]:
    sizes = [unit if i == axis else max(1, size) for i, size in enumerate(variable.shape)]
    itemsize = variable.dtype.itemsize
    while math.prod(sizes) * itemsize > LARGEST_SHARD:
        others = [i for i, size in enumerate(sizes) if i != axis and size > 1]
        if others:
            cut = max(others, key=lambda i: sizes[i])
            half = -(-sizes[cut] // 2)
            chunk = longest(variable, str(variable.dims[cut])) or 1
            sizes[cut] = -(-half // chunk) * chunk if chunk < sizes[cut] // 2 else half
        elif axis is not None and sizes[axis] > 1:
            # it still has to divide the unit
            sizes[axis] //= _smallest_factor(sizes[axis])
        else:
            break
    return tuple(sizes)


def _inner(write: tuple[int, ...], itemsize: int, axis: int | None) -> tuple[int, ...]:
    """Return chunks of at most INNER bytes, cut where a file is longest.

    Along `axis` they divide the file evenly, since units end where files do.
    """
    chunks, pieces = list(write), [1] * len(write)
    while math.prod(chunks) * itemsize > INNER and max(chunks) > 1:
        cut = max(range(len(chunks)), key=lambda i: chunks[i])
        factor = _smallest_factor(chunks[cut]) if cut == axis else 2
        if factor > 5:
            # nearly a prime: it stays whole if anything else can be cut
            others = [i for i, size in enumerate(chunks) if i != axis and size > 1]
            cut, factor = (max(others, key=lambda i: chunks[i]), 2) if others else (cut, factor)
        pieces[cut] *= factor
        chunks[cut] = -(-write[cut] // pieces[cut])
    return tuple(chunks)


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
