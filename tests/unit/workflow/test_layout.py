import math

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from pangeo_hpc.errors import RequestRefused
from pangeo_hpc.workflow.grid import INNER, Grid, aligned, split
from pangeo_hpc.workflow.layout import COORDINATES, STATIC, Layout, decide


def lazy(shape: tuple[int, ...], chunks: object, dtype: str = "f4") -> da.Array:
    return da.zeros(shape, chunks=chunks, dtype=dtype)


def assert_whole_files(ds: xr.Dataset, layout: Layout) -> None:
    """Every unit begins and ends where files do, and no two Dask chunks share a file."""
    covered = 0
    for unit in layout.units():
        if unit.region is None:
            continue
        assert unit.start == covered
        covered = unit.stop
        for name in layout.by_unit:
            variable, grid = ds.variables[name], layout.grids[name]
            size = grid.write[variable.dims.index(layout.along)]
            assert unit.start % size == 0
            assert unit.stop % size == 0 or unit.stop == layout.length
            part = aligned(variable.isel(unit.region), grid)
            for lengths, whole in zip(part.chunks or (), grid.write, strict=False):
                assert all(length % whole == 0 for length in lengths[:-1])
    assert covered == layout.length


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(1, 40),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    other=st.integers(1, 9),
    unit=st.none() | st.integers(1, 50),
    shard=st.none() | st.integers(1, 12),
)
def test_units_never_cut_a_file(
    length: int, lengths: list[int], other: int, unit: int | None, shard: int | None
) -> None:
    """However the data are chunked, and whatever is asked: whole files, or refused."""
    uneven = [lengths[i % len(lengths)] for i in range(length)]
    total = np.minimum(np.cumsum(uneven), length)
    chunks = tuple(int(n) for n in np.diff(total, prepend=0) if n)
    ds = xr.Dataset(
        {
            "a": (("t", "x"), lazy((length, 7), (chunks, 3))),
            "b": (("x", "t"), lazy((7, length), (7, other))),
            "c": (("t", "x"), np.zeros((length, 7))),
        }
    )
    encoding = {"c": {"chunks": (shard, 2)}} if shard else {}
    try:
        layout = decide(ds, along="t", unit=unit, encoding=encoding)
    except RequestRefused:
        assert unit is not None
        assert shard is not None
        assert unit % shard
        return
    assert layout.by_unit == ("a", "b", "c")
    assert_whole_files(ds, layout)
    if unit is not None:
        assert layout.unit == min(unit, length)


def test_units_follow_the_dask_chunks() -> None:
    """Without any wish, a unit is what Dask computes at once, and so is a file."""
    ds = xr.Dataset({"tas": (("time", "y", "x"), lazy((120, 40, 60), (12, 20, 60)))})
    layout = decide(ds)
    assert (layout.along, layout.unit, layout.length) == ("time", 12, 120)
    assert layout.grids["tas"] == Grid((12, 20, 60))
    assert [unit.key for unit in layout.units()][:2] == [COORDINATES, "unit-000000"]
    assert layout.early == layout.static == ()


def test_the_dimension_is_the_first_that_dask_has_cut() -> None:
    """Of the largest variable; if nothing is cut, its first one."""
    ds = xr.Dataset(
        {
            "small": (("month",), lazy((12,), 1)),
            "tas": (("time", "y", "x"), lazy((120, 40, 60), (120, 10, 60))),
        }
    )
    assert decide(ds).along == "y"
    assert decide(ds).static == ("small",)
    assert decide(ds.chunk(-1)).along == "time"
    assert decide(ds, along="x").unit == 60


def test_what_is_whole_in_memory_comes_with_the_template() -> None:
    """Coordinates, small variables and texts are not worth units; an empty dataset has none."""
    ds = xr.Dataset(
        {
            "tas": (("time", "x"), lazy((10, 4), (5, 4))),
            "names": (("time", "x"), np.full((10, 4), "a", dtype=object)),
            "mean": (("time",), np.zeros(10)),
            "area": (("x",), lazy((4,), 4)),
            "number": ((), 3),
        },
        {"time": np.arange(10), "x": np.arange(4)},
    )
    layout = decide(ds)
    assert set(layout.early) == {"time", "x", "names", "mean", "number"}
    assert (layout.static, layout.by_unit) == (("area",), ("tas",))
    keys = [unit.key for unit in layout.units()]
    assert keys == [COORDINATES, STATIC, "unit-000000", "unit-000001"]
    empty = decide(ds[["number"]])
    assert [unit.key for unit in empty.units()] == [COORDINATES]
    none = decide(xr.Dataset({"tas": (("time", "x"), lazy((0, 4), 4))}))
    assert [unit.key for unit in none.units()] == [COORDINATES]


def test_large_files_become_shards() -> None:
    """Shards are what one task writes; their chunks stay small enough to read a part."""
    ds = xr.Dataset({"tas": (("time", "y", "x"), lazy((480, 600, 1200), (120, 600, 600)))})
    grid = decide(ds).grids["tas"]
    assert grid.shards == (120, 600, 600)
    assert math.prod(grid.chunks) * 4 <= INNER
    assert all(shard % chunk == 0 for shard, chunk in zip(grid.shards, grid.chunks, strict=True))
    assert decide(ds, unit=60).grids["tas"].write == (60, 600, 600)
    # two Dask chunks in one unit stay two files
    assert decide(ds, unit=240).grids["tas"].write == (120, 600, 600)


@pytest.mark.parametrize("shape", [(1,), (127, 3001), (997, 997, 13), (1 << 26,), ()])
def test_chunks_divide_their_shard(shape: tuple[int, ...]) -> None:
    """Primes and scalars too."""
    chunks = split(shape, 8)
    assert math.prod(chunks) * 8 <= INNER
    assert all(size % chunk == 0 for size, chunk in zip(shape, chunks, strict=True))


def test_wishes_are_kept_and_units_are_multiples_of_them() -> None:
    """Two variables with shards of 4 and 6 steps have units of 12."""
    ds = xr.Dataset(
        {
            "a": (("t", "x"), lazy((50, 6), (5, 6))),
            "b": (("t", "x"), np.zeros((50, 6))),
            "c": (("t", "x"), lazy((50, 6), (5, 3))),
        }
    )
    encoding = {
        "a": {"chunks": (2, 3), "shards": (4, 6)},
        "b": {"shards": [6, 6]},
        "c": {"compressors": None},
    }
    layout = decide(ds, encoding=encoding)
    assert layout.unit == 12
    assert layout.grids["a"] == Grid((2, 3), (4, 6))
    assert layout.grids["b"] == Grid((6, 6), (6, 6))
    assert layout.grids["c"] == Grid((12, 3))
    assert_whole_files(ds, layout)
    assert decide(ds, encoding=encoding, unit=24).unit == 24
    assert decide(ds, encoding=encoding, unit=100).unit == 50
    with pytest.raises(RequestRefused) as caught:
        decide(ds, encoding=encoding, unit=10)
    assert "10 steps along t would cut shards (or chunks) in two: a 4, b 6" in str(caught.value)
    assert "give a multiple of 12" in str(caught.value)


def test_everything_wrong_is_told_at_once() -> None:
    """A person corrects a call once."""
    ds = xr.Dataset({"a": (("t", "x"), lazy((50, 6), (5, 6)))})
    with pytest.raises(RequestRefused) as caught:
        decide(ds, along="time", encoding={"tas": {}, "a": {"chunk": (5, 6), "zlib": True}})
    assert [problem.path for problem in caught.value.problems] == [
        "along",
        "encoding.tas",
        "encoding.a.chunk",
        "encoding.a.zlib",
    ]
    assert "did you mean chunks?" in str(caught.value)
    wrong = {"chunks": (5, 0), "shards": (5, 6, 7)}
    with pytest.raises(RequestRefused) as caught:
        decide(ds, encoding={"a": wrong})
    assert len(caught.value.problems) == 2, caught.value
    with pytest.raises(RequestRefused, match="not whole multiples"):
        decide(ds, encoding={"a": {"chunks": (4, 6), "shards": (6, 6)}})
    with pytest.raises(RequestRefused, match="0 is no number of steps"):
        decide(ds, unit=0)
    with pytest.raises(RequestRefused, match="not a text"):
        decide(ds.rename(a=3))  # type: ignore[call-overload]


def test_unknown_chunk_lengths_are_refused() -> None:
    """A boolean index leaves Dask without lengths, and us without units."""
    array = lazy((50, 2), (5, 2))
    ds = xr.Dataset({"tas": (("t", "x"), array[array[:, 0] == 0])})
    with pytest.raises(RequestRefused, match="compute_chunk_sizes"):
        decide(ds)
