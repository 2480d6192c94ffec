import math
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from pangeo_hpc.errors import RequestRefused
from pangeo_hpc.units import MIB
from pangeo_hpc.workflow.writing.asked import conflicts
from pangeo_hpc.workflow.writing.cutting import decide
from pangeo_hpc.workflow.writing.grid import INNER, LARGEST_SHARD, SHARD, Grid, chosen, split
from pangeo_hpc.workflow.writing.layout import COORDINATES, STATIC, Asked, Layout
from pangeo_hpc.workflow.writing.work import _whole_files


def lazy(shape: tuple[int, ...], chunks: Any, dtype: str = "f4") -> da.Array:
    return da.zeros(shape, chunks=chunks, dtype=dtype)


def lay(ds: xr.Dataset, **asked: Any) -> Layout:
    return decide(ds, Asked(**asked))


def keys(layout: Layout) -> list[str]:
    return [layout.coordinates.key, *(unit.key for unit in layout.units())]


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
            part = variable.isel(unit.region)
            if part.chunks is None:
                continue
            for lengths, whole in zip(
                _whole_files(part.data, grid.write).chunks, grid.write, strict=True
            ):
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
        layout = lay(ds, along="t", unit=unit, encoding=encoding)
    except RequestRefused:
        assert unit is not None
        assert shard is not None
        assert unit % shard
        return
    assert set(layout.by_unit) | set(layout.gathered) == {"a", "b", "c"}
    assert_whole_files(ds, layout)
    if unit is not None:
        assert layout.unit == min(unit, length)


def test_small_outputs_are_one_file_a_variable_and_many_units() -> None:
    """Units follow Dask's chunks, so that little is lost; they are put together in the end."""
    ds = xr.Dataset({"tas": (("time", "y", "x"), lazy((120, 40, 60), (12, 20, 60)))})
    layout = lay(ds)
    assert (layout.along, layout.unit, layout.length) == ("time", 12, 120)
    assert layout.gathered == ("tas",)
    assert layout.grids["tas"] == Grid((120, 40, 60))
    assert keys(layout)[:2] == [COORDINATES, "unit-000000"]
    assert layout.early == layout.static == ()
    assert lay(ds.chunk(time=1)).unit == 1
    many = xr.Dataset({"tas": (("time", "x"), lazy((12_800, 60), (5, 60)))})
    assert lay(many).unit == 100, "not more than 128"
    assert lay(many.compute()).unit == 12_800, "nothing is lost with what is in memory"


def test_large_outputs_are_shards_of_64_to_256_mib() -> None:
    """However Dask cuts: its chunks are put together, and a chunk of it is never cut in two."""
    shape = (36_500, 180, 360)
    for chunks in ((1, 180, 360), (365, 90, 90), (400, 180, 360)):
        ds = xr.Dataset({"tas": (("time", "y", "x"), lazy(shape, chunks))})
        layout = lay(ds)
        grid = layout.grids["tas"]
        assert layout.by_unit == ("tas",)
        assert SHARD <= math.prod(grid.write) * 4 <= 1.1 * LARGEST_SHARD
        assert MIB <= math.prod(grid.chunks) * 4 <= INNER
        assert layout.unit % chunks[0] == 0
        assert layout.unit % grid.write[0] == 0
    # 64 MiB here, since the whole is small
    ds = xr.Dataset({"tas": (("time", "y", "x"), lazy((1440, 180, 360), (10, 90, 90)))})
    grid = lay(ds).grids["tas"]
    assert grid.write[0] == 260
    assert grid.write[1] >= 180


def test_small_variables_beside_large_ones_are_one_file() -> None:
    """They are computed in the same units, but do not make as many files."""
    ds = xr.Dataset(
        {
            "tas": (("time", "y", "x"), lazy((3650, 180, 360), (10, 180, 360))),
            "mean": (("time",), lazy((3650,), 10)),
            "wish": (("time",), lazy((3650,), 10)),
        }
    )
    layout = lay(ds, encoding={"wish": {"chunks": (10,)}})
    assert (layout.by_unit, layout.gathered) == (("tas", "wish"), ("mean",))
    assert layout.grids["mean"] == Grid((3650,))
    assert layout.units().__next__().names == ("tas", "wish", "mean")


def test_a_layout_comes_back_from_the_ledger_and_holds() -> None:
    """Other Dask chunks are no other layout; another wish is."""
    ds = xr.Dataset({"tas": (("time", "y", "x"), lazy((1440, 180, 360), (10, 90, 90)))})
    layout = lay(ds)
    assert Layout.load(layout.dump()) == layout
    other = ds.chunk(time=7, y=180)
    assert conflicts(layout, other, Asked()) == []
    assert conflicts(layout, other, Asked(along="time", unit=260)) == []
    assert conflicts(layout, other, Asked(along="y")) == ["along was 'time' and is 'y'"]
    told = conflicts(layout, other, Asked(encoding={"tas": {"chunks": (5, 90, 90)}}))
    assert [each.partition(" was ")[0] for each in told] == [
        "encoding.tas.chunks",
        "encoding.tas.shards",
    ]


def test_what_grows_has_the_files_of_a_large_output() -> None:
    """Though it begins small: a year of days in one file, not a file a day."""
    ds = xr.Dataset(
        {"tas": (("time", "y", "x"), lazy((3, 180, 360), (3, 180, 360)))}, {"time": [0, 1, 2]}
    )
    layout = lay(ds, append="time")
    assert (layout.length, layout.gathered) == (3, ())
    assert SHARD <= math.prod(layout.grids["tas"].write) * 4 <= 1.1 * LARGEST_SHARD
    assert lay(ds.chunk(time=1), append="time", unit=12).unit == 12
    with pytest.raises(RequestRefused, match="grows unit by unit along 'time'"):
        lay(ds, append="time", along="y")


def test_the_dimension_is_the_first_that_dask_has_cut() -> None:
    """Of the largest variable; if nothing is cut, its first one."""
    ds = xr.Dataset(
        {
            "small": (("month",), lazy((12,), 1)),
            "tas": (("time", "y", "x"), lazy((120, 40, 60), (120, 10, 60))),
        }
    )
    assert lay(ds).along == "y"
    assert lay(ds).static == ("small",)
    assert lay(ds.chunk(-1)).along == "time"
    assert lay(ds, along="x").unit == 60


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
    layout = lay(ds)
    assert set(layout.early) == {"time", "x", "names", "mean", "number"}
    assert (layout.static, layout.gathered) == (("area",), ("tas",))
    assert keys(layout) == [COORDINATES, STATIC, "unit-000000", "unit-000001"]
    assert keys(lay(ds[["number"]])) == [COORDINATES]
    none = lay(xr.Dataset({"tas": (("time", "x"), lazy((0, 4), 4))}))
    assert keys(none) == [COORDINATES]


def test_files_that_would_be_too_large_are_cut_elsewhere() -> None:
    """One step of a kilometre grid is more than a file; Dask's chunks say where to cut."""
    shape = (4, 20_000, 40_000)
    grid = lay(xr.Dataset({"a": (("t", "y", "x"), lazy(shape, (1, 5000, 5000)))})).grids["a"]
    assert SHARD <= math.prod(grid.write) * 4 <= LARGEST_SHARD
    assert grid.write[0] == 1
    assert grid.write[2] % 5000 == 0
    prime = xr.Variable(("t", "y", "x"), lazy((9973, 997, 13), (9973, 997, 13), "f8"))
    grid = chosen(prime, "t", 9973)
    assert grid.write[0] == 9973
    assert math.prod(grid.chunks) * 8 <= INNER


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
    layout = lay(ds, encoding=encoding)
    assert layout.unit == 12
    assert layout.grids["a"] == Grid((2, 3), (4, 6))
    assert layout.grids["b"] == Grid((6, 6), (6, 6))
    assert layout.gathered == ("c",)
    assert_whole_files(ds, layout)
    assert lay(ds, encoding=encoding, unit=24).unit == 24
    assert lay(ds, encoding=encoding, unit=100).unit == 50
    with pytest.raises(RequestRefused) as caught:
        lay(ds, encoding=encoding, unit=10)
    assert "10 steps along t would cut shards (or chunks) in two: a 4, b 6" in str(caught.value)
    assert "give a multiple of 12" in str(caught.value)


def test_everything_wrong_is_told_at_once() -> None:
    """A person corrects a call once."""
    ds = xr.Dataset({"a": (("t", "x"), lazy((50, 6), (5, 6)))})
    with pytest.raises(RequestRefused) as caught:
        lay(ds, along="time", encoding={"tas": {}, "a": {"chunk": (5, 6), "zlib": True}})
    assert [problem.path for problem in caught.value.problems] == [
        "along",
        "encoding.tas",
        "encoding.a.chunk",
        "encoding.a.zlib",
    ]
    assert "did you mean chunks?" in str(caught.value)
    wrong = {"chunks": (5, 0), "shards": (5, 6, 7)}
    with pytest.raises(RequestRefused) as caught:
        lay(ds, encoding={"a": wrong})
    assert len(caught.value.problems) == 2, caught.value
    with pytest.raises(RequestRefused, match="not whole multiples"):
        lay(ds, encoding={"a": {"chunks": (4, 6), "shards": (6, 6)}})
    with pytest.raises(RequestRefused, match="0 is no number of steps"):
        lay(ds, unit=0)
    indexed = ds.stack(z=("t", "x"))
    with pytest.raises(RequestRefused, match="is a MultiIndex"):
        lay(indexed)
    with pytest.raises(RequestRefused, match="not a text"):
        lay(ds.rename(a=3))  # type: ignore[call-overload]


def test_unknown_chunk_lengths_are_refused() -> None:
    """A boolean index leaves Dask without lengths, and us without units."""
    array = lazy((50, 2), (5, 2))
    ds = xr.Dataset({"tas": (("t", "x"), array[array[:, 0] == 0])})
    with pytest.raises(RequestRefused, match="compute_chunk_sizes"):
        lay(ds)
