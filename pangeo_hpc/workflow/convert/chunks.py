"""Which chunks and shards suit the way a store will be read. Nothing is read here.

Files are written in one pass along the dimension on which they are joined, so that no source is
read twice. A unit is a range of steps with everything in it: it is cut into shards, and these into
chunks that are long in time for series, wide in space for maps.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pangeo_hpc.units import MIB
from pangeo_hpc.workflow.convert.order import Access

# What is read at once, what is one file, and what is computed as one; all before compression.
# They do not follow the machine: a conversion that goes on elsewhere must cut alike. One series
# touches every chunk along time, and one map few: chunks for series are smaller.
CHUNK = {Access.TIME_SERIES: MIB, Access.MAPS: 8 * MIB, Access.BOTH: 4 * MIB}
SHARD, UNIT = 256 * MIB, 512 * MIB


@dataclass(frozen=True)
class Shape:
    """One variable: its dimensions, their lengths, and the bytes of one value."""

    dims: tuple[str, ...]
    lengths: tuple[int, ...]
    itemsize: int

    @property
    def bytes(self) -> int:
        """Return the size of the whole variable."""
        return math.prod(self.lengths) * self.itemsize


@dataclass(frozen=True)
class Cut:
    """Chunks and shards of one variable."""

    chunks: tuple[int, ...]
    shards: tuple[int, ...]


def steps_per_unit(shapes: Mapping[str, Shape], along: str, access: Access) -> int:
    """Return how many steps along a dimension one unit has.

    All variables together have at most UNIT bytes in it. For series it is as long as that allows,
    for maps one shard is enough.
    """
    moving = [shape for shape in shapes.values() if along in shape.dims]
    length = max((shape.lengths[shape.dims.index(along)] for shape in moving), default=1)
    step = sum(shape.bytes // max(1, length) for shape in moving)
    most = max(1, UNIT // max(1, step))
    if access is Access.MAPS:
        most = min(most, max(1, SHARD // max(1, step)))
    if most >= length:
        return length
    # equal units, such that the last one is no remnant, of lengths that can be halved often
    even = math.ceil(length / math.ceil(length / most))
    grain = 1 << max(0, min(6, even.bit_length() - 3))
    rounded = math.ceil(even / grain) * grain
    return rounded if rounded <= most else max(1, most // grain * grain)


def suggest(shape: Shape, along: str, steps: int, access: Access) -> Cut:
    """Return the chunks and shards of a variable whose units have so many steps along `along`.

    A chunk has at most CHUNK bytes and a shard SHARD; each shard is whole chunks.
    """
    unit = [
        min(steps, length) if dim == along else length
        for dim, length in zip(shape.dims, shape.lengths, strict=True)
    ]
    # a unit that is followed by others must be whole shards, and so whole chunks
    exact = [
        dim == along and steps < length
        for dim, length in zip(shape.dims, shape.lengths, strict=True)
    ]
    time = [index for index, dim in enumerate(shape.dims) if dim == along]
    space = [index for index in range(len(unit)) if index not in time]
    # what is cut first is what the reader needs least of at once
    order = {
        Access.TIME_SERIES: (space, time),
        Access.MAPS: (time, space),
        Access.BOTH: (space + time,),
    }[access]
    chunks = _cut(unit, exact, CHUNK[access] // shape.itemsize, order)
    shards = _grow(chunks, unit, exact, shape.itemsize)
    return Cut(tuple(chunks), tuple(shards))


def _cut(
    lengths: list[int], exact: list[bool], most: int, order: tuple[list[int], ...]
) -> list[int]:
    """Divide lengths, group after group and the longest first, until a block has `most` values."""
    pieces = [1] * len(lengths)

    def block() -> list[int]:
        return [math.ceil(n / k) for n, k in zip(lengths, pieces, strict=True)]

    for axes in order:
        while math.prod(block()) > most:
            able = [axis for axis in axes if block()[axis] > 1]
            if not able:
                break
            axis = max(able, key=lambda each: block()[each])
            pieces[axis] += 1
            while exact[axis] and lengths[axis] % pieces[axis]:
                pieces[axis] += 1
    return block()


def _grow(chunks: list[int], unit: list[int], exact: list[bool], itemsize: int) -> list[int]:
    """Return the largest whole multiple of chunks that fits into SHARD, within the unit."""
    counts = [math.ceil(n / c) for n, c in zip(unit, chunks, strict=True)]
    shard = list(chunks)
    for axis in reversed(range(len(chunks))):
        room = max(1, SHARD // max(1, math.prod(shard) * itemsize))
        taken = min(counts[axis], room)
        while exact[axis] and counts[axis] % taken:
            taken -= 1
        shard[axis] = chunks[axis] * taken
        if taken < counts[axis]:
            break
    return shard
