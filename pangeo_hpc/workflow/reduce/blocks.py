"""An array as blocks to reduce one by one: read as its store is cut, or Dask's own.

What decides the blocks is the store and constants alone, so that sums are added in the same order,
and give the same bits, on any number of nodes, threads and bytes of memory.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pangeo_hpc.workflow.reduce.plan import Chunks, from_store, merged, split

if TYPE_CHECKING:
    import xarray as xr

Index = tuple[int, ...]


@dataclass(frozen=True)
class Source:
    """What can be read by slices at any time: an array in a store, or in memory."""

    key: str
    array: Any


@dataclass(frozen=True)
class Blocks:
    """The blocks of one array: those of a source, or else those of a Dask array that is computed.

    `as_given` are the chunks of the input, which those of an output of the same shape follow.
    """

    name: str
    dtype: np.dtype[Any]
    chunks: Chunks
    as_given: Chunks
    source: Source | None
    dask: Any

    @cached_property
    def starts(self) -> tuple[tuple[int, ...], ...]:
        """Return where the blocks begin along each axis."""
        return tuple((0, *itertools.accumulate(lengths)) for lengths in self.chunks)

    @property
    def nbytes(self) -> int:
        """Return the size of all values."""
        return math.prod(sum(lengths) for lengths in self.chunks) * self.dtype.itemsize

    def indices(self) -> Iterator[Index]:
        """Return the position of each block."""
        return itertools.product(*(range(len(lengths)) for lengths in self.chunks))

    def slices(self, index: Index) -> tuple[slice, ...]:
        """Return where a block lies in the array."""
        where = zip(self.starts, index, strict=True)
        return tuple(slice(starts[i], starts[i + 1]) for starts, i in where)

    def key(self, index: Index) -> tuple[Any, ...]:
        """Return the key of the task that gives a block."""
        return (self.name, *index)

    def hold(self, chunks: Chunks) -> bool:
        """Tell whether each of these chunks lies within one block."""
        edges = (set(itertools.accumulate(lengths)) for lengths in chunks)
        return all(set(ours[1:]) <= theirs for ours, theirs in zip(self.starts, edges, strict=True))

    def again(self) -> "Blocks":
        """Return the blocks as the input has them, which are not those that were reduced."""
        if self.chunks == self.as_given:
            return self
        return replace(self, chunks=self.as_given, name=_name(self.source, self.as_given))


def blocks_of(variable: "xr.Variable", grow: int | None = None) -> Blocks:
    """Return the blocks of a variable. `grow` is the axis along which they grow first."""
    itemsize = variable.dtype.itemsize
    if variable.chunks is None and is_in_memory(variable):
        from dask.base import tokenize

        values = variable.values
        source: Source | None = Source(f"reduce-array-{tokenize(values)}", values)
        chunks = split(variable.shape, itemsize)
        return Blocks(_name(source, chunks), variable.dtype, chunks, chunks, source, None)
    given: Chunks | None = variable.chunks
    array = (variable if given else variable.chunk()).data
    source = _source(array)
    if source is None:
        return Blocks(array.name, array.dtype, array.chunks, array.chunks, None, array)
    stored = from_store(variable.encoding, variable.shape)
    chunks = merged(variable.shape, itemsize, given, stored, grow)
    as_given = given or chunks
    return Blocks(_name(source, chunks), array.dtype, chunks, as_given, source, None)


def is_in_memory(variable: "xr.Variable") -> bool:
    """Tell whether a variable that Dask does not back holds its values already."""
    return bool(variable._in_memory)  # noqa: SLF001 - asking for its data would read them


def read(source: Any, where: tuple[slice, ...]) -> Any:
    """Read one block of a source."""
    return np.asarray(source[where])


def _name(source: Source | None, chunks: Chunks) -> str:
    from dask.base import tokenize

    return f"reduce-read-{tokenize(source.key if source else None, chunks)}"


def _source(array: Any) -> Source | None:
    """Return what a Dask array only reads, None if it computes anything.

    Xarray opens a store as two layers: the array in the store, and getters of its chunks.
    """
    from dask.blockwise import Blockwise

    layers = array.dask.layers
    if len(layers) != 2 or not isinstance(layers.get(array.name), Blockwise):
        return None
    (key,) = layers.keys() - {array.name}
    held = dict(layers[key])
    if not str(key).startswith("original-") or held.keys() != {key}:
        return None
    whole: Any = getattr(held[key], "value", held[key])
    told = getattr(whole, "shape", None), getattr(whole, "dtype", None)
    return Source(str(key), whole) if told == (array.shape, array.dtype) else None
