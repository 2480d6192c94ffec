"""Chunks and shards for an intended access: whole, aligned, and of sensible sizes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pangeo_hpc.workflow.convert.chunks import CHUNK, SHARD, UNIT, Shape, steps_per_unit, suggest
from pangeo_hpc.workflow.convert.order import Access

DAILY = Shape(("time", "lat", "lon"), (36500, 720, 1440), 4)


@given(
    lengths=st.tuples(st.integers(1, 50_000), st.integers(1, 3000), st.integers(1, 3000)),
    itemsize=st.sampled_from([1, 2, 4, 8]),
    access=st.sampled_from(list(Access)),
)
def test_whatever_the_shape(lengths: tuple[int, int, int], itemsize: int, access: Access) -> None:
    """Shards are whole chunks, units whole shards, and nothing is larger than it may be."""
    shape = Shape(("time", "lat", "lon"), lengths, itemsize)
    unit = steps_per_unit({"tas": shape}, "time", access)
    cut = suggest(shape, "time", unit, access)
    assert 1 <= unit <= lengths[0]
    assert all(s % c == 0 for s, c in zip(cut.shards, cut.chunks, strict=True))
    assert unit == lengths[0] or unit % cut.shards[0] == 0
    assert math.prod(cut.chunks) * itemsize <= CHUNK[access]
    assert math.prod(cut.shards) * itemsize <= SHARD
    step = lengths[1] * lengths[2] * itemsize
    assert unit * step <= max(UNIT, step)


def test_series_are_long_and_maps_are_wide() -> None:
    """What is read together lies in few chunks."""
    read = {}
    for access in Access:
        unit = steps_per_unit({"tas": DAILY}, "time", access)
        chunks = suggest(DAILY, "time", unit, access).chunks
        counts = [math.ceil(n / c) for n, c in zip(DAILY.lengths, chunks, strict=True)]
        read[access] = (counts[0], counts[1] * counts[2])
    series, maps = read[Access.TIME_SERIES], read[Access.MAPS]
    assert maps[1] == 1
    assert series[0] <= read[Access.BOTH][0] < maps[0]
    assert maps[1] < read[Access.BOTH][1] < series[1]


@pytest.mark.parametrize("access", list(Access))
def test_files_are_few_and_large(access: Access) -> None:
    """A store of 141 GiB is some hundred files, not hundreds of thousands."""
    unit = steps_per_unit({"tas": DAILY}, "time", access)
    cut = suggest(DAILY, "time", unit, access)
    assert math.prod(cut.shards) * 4 >= SHARD // 4
    assert (
        math.prod(math.ceil(n / s) for n, s in zip(DAILY.lengths, cut.shards, strict=True)) < 1300
    )


def test_several_variables_share_a_unit() -> None:
    """All variables of one step are computed together."""
    one = steps_per_unit({"a": DAILY}, "time", Access.TIME_SERIES)
    four = steps_per_unit(dict.fromkeys("abcd", DAILY), "time", Access.TIME_SERIES)
    assert four <= one // 3
