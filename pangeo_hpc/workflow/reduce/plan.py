"""Which chunks are read together: as a store is cut, but not smaller than is worth a task."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pangeo_hpc.units import MIB

Chunks = tuple[tuple[int, ...], ...]

# What one task reads at once, where chunks are smaller.
TARGET = 32 * MIB

# What is read at once of an array that is cut nowhere. Memory of this size is used again by the
# thread that freed it; for more, glibc (2.36) takes new pages each time, which costs as much as
# reading from the page cache does.
PIECE = 16 * MIB


def from_store(encoding: Mapping[str, Any], shape: Sequence[int]) -> list[tuple[int, int]] | None:
    """Return the lengths of chunks and of shards along each axis, None if nothing is known."""
    chunks = encoding.get("chunks") or encoding.get("chunksizes")
    shards = encoding.get("shards") or chunks
    if not chunks or not shards or len(chunks) != len(shape) or len(shards) != len(shape):
        return None
    pairs = zip(chunks, shards, strict=True)
    return [(max(1, int(chunk)), max(1, int(shard))) for chunk, shard in pairs]


def split(shape: Sequence[int], itemsize: int) -> Chunks:
    """Return blocks of an array that is cut nowhere: runs along its first axes."""
    chunks: list[tuple[int, ...]] = []
    nbytes = math.prod(shape) * itemsize
    for length in shape:
        pieces = min(length, math.ceil(nbytes / min(PIECE, TARGET)))
        run = math.ceil(length / pieces) if pieces > 1 else length
        chunks.append(_regular(length, run))
        nbytes = nbytes // max(1, length) * run
    return tuple(chunks)


def merged(
    shape: Sequence[int],
    itemsize: int,
    given: Chunks | None,
    stored: Sequence[tuple[int, int]] | None,
    grow: int | None = None,
) -> Chunks:
    """Return runs of whole chunks of about 32 MiB, which begin and end where shards do.

    `given` are the chunks of a Dask array; those smaller than the `stored` ones would read these
    more than once, and one that is all of what is cut nowhere was hardly chosen. Runs are longest
    along the axis `grow`, then along the last axes.
    """
    if stored is None:
        chosen = given is not None and any(len(lengths) > 1 for lengths in given)
        return given if given is not None and chosen else split(shape, itemsize)
    chunks: list[tuple[int, ...]] = []
    factors: list[int] = []
    for axis, (chunk, shard) in enumerate(stored):
        if given is not None and max(given[axis], default=0) >= min(chunk, shape[axis]):
            chunks.append(given[axis])
        else:
            chunks.append(_regular(shape[axis], chunk))
        factors.append(_within(shard, chunks[axis]))
    order = [axis for axis in reversed(range(len(shape))) if axis != grow]
    nbytes = itemsize * math.prod(max(lengths, default=0) for lengths in chunks)
    for axis in order if grow is None else [grow, *order]:
        run = _fit(TARGET // max(1, nbytes), factors[axis])
        if run > 1 and len(chunks[axis]) > 1:
            chunks[axis] = _runs(chunks[axis], run)
            nbytes = itemsize * math.prod(max(lengths, default=0) for lengths in chunks)
    return tuple(chunks)


def _within(shard: int, lengths: Sequence[int]) -> int:
    """Return how many chunks of these lengths make a shard; 1 if they do not."""
    length = lengths[0] if lengths else 0
    regular = length > 0 and all(other == length for other in lengths[:-1])
    return max(1, shard // length) if regular and shard % length == 0 else 1


def _fit(run: int, factor: int) -> int:
    """Return the longest run of chunks that cuts no shard, or cuts it evenly."""
    if run >= factor:
        return run - run % factor
    return max((n for n in range(1, run + 1) if factor % n == 0), default=1)


def _runs(lengths: Sequence[int], run: int) -> tuple[int, ...]:
    return tuple(sum(lengths[start : start + run]) for start in range(0, len(lengths), run))


def _regular(length: int, chunk: int) -> tuple[int, ...]:
    if length == 0:
        return (0,)
    return tuple(min(chunk, length - start) for start in range(0, length, chunk))
