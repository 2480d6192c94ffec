"""Which chunks are read together."""

import pytest

from pangeo_hpc.units import MIB
from pangeo_hpc.workflow.reduce.plan import TARGET, from_store, merged, split


def nbytes(chunks: tuple[tuple[int, ...], ...], itemsize: int) -> int:
    size = itemsize
    for lengths in chunks:
        size *= max(lengths)
    return size


def test_single_steps_are_read_together() -> None:
    """A chunk for each step, as many centres write: a run of them makes a task."""
    chunks = merged((1980, 192, 288), 4, None, [(1, 1), (192, 192), (288, 288)], 0)
    assert TARGET / 2 < nbytes(chunks, 4) <= TARGET
    assert sum(chunks[0]) == 1980


def test_runs_end_where_shards_do() -> None:
    """A task reads whole shards, or an even part of one."""
    chunks = merged((1980, 192, 288), 4, None, [(10, 120), (192, 192), (288, 288)], 0)
    assert set(chunks[0]) == {120, 60}
    assert nbytes(chunks, 4) == 120 * 192 * 288 * 4
    opened = ((10,) * 198, (192,), (288,))  # as Xarray opens a store
    assert merged((1980, 192, 288), 4, opened, [(10, 120), (192, 192), (288, 288)], 0) == chunks
    part = merged((960, 721, 1440), 4, None, [(1, 12), (721, 721), (1440, 1440)], 0)
    assert set(part[0]) == {6}  # 12 steps would be 48 MiB


def test_chunks_of_a_person_are_respected() -> None:
    """Dask chunks stay that hold chunks of the store; smaller ones would read these twice."""
    stored = [(100, 100), (100_000, 100_000)]
    given = ((500, 300), (100_000,))
    assert merged((800, 100_000), 8, given, stored, 0) == given
    small = ((5,) * 160, (100_000,))
    assert merged((800, 100_000), 8, small, stored, 0) == ((100,) * 8, (100_000,))
    assert merged((800, 100_000), 8, given, None) == given
    whole = ((800,), (100_000,))
    assert merged((800, 100_000), 8, whole, None) == split((800, 100_000), 8)


@pytest.mark.parametrize("shape", [(1980, 192, 288), (3, 4000, 4000), (10**8,), (), (0, 5)])
def test_what_is_not_cut_is_split(shape: tuple[int, ...]) -> None:
    """Arrays in memory, and files without chunks."""
    chunks = split(shape, 4)
    assert tuple(map(sum, chunks)) == shape
    assert nbytes(chunks, 4) <= TARGET + MIB


def test_encodings_that_say_nothing() -> None:
    """Those of other shapes, as after a selection, are not believed."""
    assert from_store({}, (4, 5)) is None
    assert from_store({"chunks": (2, 3)}, (4, 5, 6)) is None
    assert from_store({"chunks": (2, 3), "shards": None}, (4, 5)) == [(2, 2), (3, 3)]
    assert from_store({"chunks": (2, 3), "shards": (4, 3)}, (4, 5)) == [(2, 4), (3, 3)]
