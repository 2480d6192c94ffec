"""What `workflow.reduce` gives, against Xarray itself."""

from collections.abc import Callable, Iterator
from typing import Any

import dask
import distributed
import hypothesis
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import strategies as st

from pangeo_hpc.errors import UsageError
from pangeo_hpc.workflow import reduce
from pangeo_hpc.workflow.reduce.tuning import on_workers

GROUPS = ("month", "season", "year", "dayofyear", "hour")
CALENDARS = ("standard", "proleptic_gregorian", "noleap", "360_day", "all_leap")
DTYPES = ("f4", "f8", "f2", "i2", "i8", "u1", "bool")
NUMPY = {"use_numbagg": False, "use_bottleneck": False}


@st.composite
def arrays(draw: st.DrawFn) -> xr.DataArray:
    """Small fields of any calendar, type and order of time, with gaps and missing values."""
    steps = draw(st.integers(1, 60))
    shape = (steps, draw(st.integers(1, 5)), draw(st.integers(1, 4)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.normal(10, 4, shape).astype(draw(st.sampled_from(DTYPES)))
    if values.dtype.kind == "f":
        missing = draw(st.sampled_from(("none", "some", "a mask", "all")))
        where = {
            "none": np.zeros(shape, bool),
            "some": rng.random(shape) < 0.4,
            "a mask": np.broadcast_to(rng.random(shape[1:]) < 0.5, shape),
            "all": np.ones(shape, bool),
        }[missing]
        values[where] = np.nan
    freq = draw(st.sampled_from(("MS", "D", "7h", "37D")))
    calendar = draw(st.sampled_from(CALENDARS))
    times = xr.date_range("1999-11-03", periods=2 * steps, freq=freq, calendar=calendar)
    chosen = rng.choice(2 * steps, steps, replace=False)
    times = times[chosen if draw(st.booleans()) else np.sort(chosen)]
    coords = {
        "time": times,
        "lat": ("lat", np.linspace(-90, 90, shape[1]), {"units": "degrees_north"}),
        "lon": ("lon", np.arange(shape[2]) * 2.0),
        "height": 2.0,
        "area": (("lat", "lon"), rng.random(shape[1:])),
        "bounds": ("time", np.arange(steps)),
    }
    array = xr.DataArray(values, coords, ("time", "lat", "lon"), "tas", {"units": "K"})
    return array.transpose(*draw(st.permutations(array.dims)))


@st.composite
def chunkings(draw: st.DrawFn, array: xr.DataArray) -> xr.DataArray:
    """The same array in memory, or backed by Dask in chunks of any lengths, computed or not."""
    kind = draw(st.sampled_from(("numpy", "dask", "computed")))
    if kind == "numpy":
        return array
    cuts = {}
    for dim, size in array.sizes.items():
        edges = draw(st.sets(st.integers(1, size - 1), max_size=6)) if size > 1 else set()
        cuts[dim] = tuple(np.diff([0, *sorted(edges), size]).tolist())
    chunked = array.chunk(cuts)
    return (
        chunked.copy(data=chunked.data[...].map_blocks(np.copy)) if kind == "computed" else chunked
    )


def close(found: Any, wanted: Any) -> None:
    """All but the last digits of the values are the same; all else is identical."""
    assert found.dtype == wanted.dtype
    digits = {2: 2e-2, 4: 2e-6, 8: 1e-12}[wanted.dtype.itemsize]
    np.testing.assert_allclose(found.values, wanted.values, rtol=digits, atol=40 * digits)
    xr.testing.assert_identical(found.copy(data=wanted.values), wanted)


def checked(make: Callable[[xr.DataArray], xr.DataArray], array: xr.DataArray) -> xr.DataArray:
    """What Xarray gives, its sums in float64 and its result of the type it would have."""
    with xr.set_options(**NUMPY):
        told = make(array)
        if array.dtype.kind == "f":
            return make(array.astype("f8")).astype(told.dtype)
        return told


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(data=st.data(), array=arrays(), group=st.sampled_from(GROUPS))
def test_climatologies_are_those_of_xarray(data: Any, array: xr.DataArray, group: str) -> None:
    """Any group, calendar, type, chunking, order of time and of dimensions, and missing values."""
    skipna = data.draw(st.sampled_from((None, True, False)))
    wanted = checked(lambda a: a.groupby(f"time.{group}").mean("time", skipna=skipna), array)
    given_ = data.draw(chunkings(array))
    found = reduce.climatology(given_, group, skipna=skipna)
    assert (found.chunks is None) == (given_.chunks is None)
    close(found, wanted)
    if group == "year":
        close(reduce.annual_mean(given_, skipna=skipna), wanted)


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(data=st.data(), array=arrays(), group=st.sampled_from(GROUPS))
def test_anomalies_are_those_of_xarray(data: Any, array: xr.DataArray, group: str) -> None:
    """They keep the input's chunks."""

    def make(some: xr.DataArray) -> xr.DataArray:
        return some.groupby(f"time.{group}") - some.groupby(f"time.{group}").mean("time")

    given_ = data.draw(chunkings(array))
    found = reduce.anomaly(given_, group)
    assert found.chunks == given_.chunks
    close(found, checked(make, array))


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(data=st.data(), array=arrays())
def test_means_are_those_of_xarray(data: Any, array: xr.DataArray) -> None:
    """The mean over time, and the one over the horizontal with weights."""
    skipna = data.draw(st.sampled_from((None, True, False)))
    given_ = data.draw(chunkings(array))
    wanted = checked(lambda a: a.mean("time", skipna=skipna), array)
    close(reduce.temporal_mean(given_, skipna=skipna), wanted)

    def make(some: xr.DataArray) -> xr.DataArray:
        weights = np.cos(np.deg2rad(some.lat))
        return some.weighted(weights).mean(["lat", "lon"], skipna=skipna)

    close(reduce.spatial_mean(given_, skipna=skipna), checked(make, array))


@pytest.fixture(autouse=True)
def _numpy() -> Iterator[None]:
    """Xarray with NumPy alone: numbagg warns of what is all missing."""
    with xr.set_options(use_numbagg=False, use_bottleneck=False):
        yield


def dataset() -> xr.Dataset:
    """Several variables, of which some have no time, no numbers, or another type."""
    rng = np.random.default_rng(5)
    time = xr.date_range("2000-01-01", periods=30, freq="MS", use_cftime=True)
    hours = np.arange(30).astype("m8[h]").astype("m8[ns]")
    return xr.Dataset(
        {
            "tas": (("time", "y", "x"), rng.random((30, 3, 4)), {"units": "K"}),
            "count": (("y", "time"), rng.integers(0, 9, (3, 30))),
            "orog": (("y", "x"), rng.random((3, 4))),
            "lasts": (("time",), hours),
            "name": (("time",), np.array([f"{n}" for n in range(30)])),
            "wave": (("time",), rng.random(30) + 1j),
        },
        {
            "time": time,
            "lat": (("y", "x"), rng.uniform(-80, 80, (3, 4)), {"units": "degrees_north"}),
            "lon": (("y", "x"), rng.uniform(0, 360, (3, 4)), {"units": "degrees_east"}),
        },
        {"title": "several"},
    )


@pytest.mark.parametrize("lazy", [False, True], ids=["numpy", "dask"])
def test_datasets(lazy: bool) -> None:
    """Each variable is as Xarray makes it; what has no time stays as it is."""
    ds = dataset()
    given_ = ds.chunk(time=7) if lazy else ds
    found = reduce.climatology(given_)
    xr.testing.assert_identical(found.orog.load().drop_vars("month", errors="ignore"), ds.orog)
    found = found.drop_vars("orog")  # Xarray repeats it for each month, unless flox is there
    wanted = ds.drop_vars("orog").groupby("time.month").mean("time")
    assert list(found.data_vars) == list(wanted.data_vars)
    assert {n: v.dims for n, v in found.variables.items()} == {
        n: v.dims for n, v in wanted.variables.items()
    }
    xr.testing.assert_allclose(found, wanted)
    assert found.attrs == wanted.attrs
    xr.testing.assert_allclose(reduce.temporal_mean(given_), ds.mean("time"))
    less = reduce.anomaly(given_[["tas", "count", "lasts", "orog"]])
    xr.testing.assert_identical(less.orog.load(), ds.orog)
    groups = ds[["tas", "count", "lasts"]].groupby("time.month")
    xr.testing.assert_allclose(less.drop_vars("orog"), groups - groups.mean("time"))


@pytest.mark.parametrize("lazy", [False, True], ids=["numpy", "dask"])
def test_curvilinear_grids(lazy: bool) -> None:
    """Latitude of two dimensions; where it is missing, nothing is weighed."""
    ds = dataset()[["tas"]]
    weights = np.cos(np.deg2rad(ds.lat))
    given_ = ds.chunk(time=7, y=2) if lazy else ds
    wanted = ds.weighted(weights).mean(["y", "x"])
    xr.testing.assert_allclose(reduce.spatial_mean(given_), wanted)
    land = ds.lat.where(ds.lat > -20)
    given_ = given_.assign_coords(lat=land.assign_attrs(ds.lat.attrs))
    wanted = ds.weighted(weights.where(ds.lat > -20, 0)).mean(["y", "x"])
    np.testing.assert_allclose(reduce.spatial_mean(given_).tas, wanted.tas)


@pytest.mark.parametrize("lazy", [False, True], ids=["numpy", "dask"])
@pytest.mark.parametrize("missing", [(), (3,), (3, 15, 27), (0, 1, 2, 3, 4, 5, 6)])
def test_series_without_other_dimensions(lazy: bool, missing: tuple[int, ...]) -> None:
    """One station: there is nothing but time."""
    series = dataset().tas[:, 0, 0].drop_vars(["lat", "lon"]).copy()
    series[list(missing)] = np.nan
    given_ = series.chunk(time=7) if lazy else series
    groups = series.groupby("time.month")
    wanted = groups.mean("time")
    xr.testing.assert_allclose(reduce.climatology(given_), wanted)
    xr.testing.assert_allclose(reduce.anomaly(given_), groups - wanted)
    xr.testing.assert_allclose(reduce.temporal_mean(given_), series.mean("time"))


def test_zonal_means_and_radians() -> None:
    """Without a longitude the mean is over latitude alone."""
    lat = np.linspace(-1.4, 1.4, 9)
    told = ("lat", lat, {"units": "radian", "standard_name": "latitude"})
    zonal = xr.DataArray(np.arange(18.0).reshape(2, 9), {"lat": told}, ("plev", "lat"))
    wanted = (zonal.values * np.cos(lat)).sum(1) / np.cos(lat).sum()
    np.testing.assert_allclose(reduce.spatial_mean(zonal), wanted)


def test_min_count() -> None:
    """A mean of fewer valid values than asked for is missing."""
    array = dataset().tas.copy()
    array[:20, 0, 0] = np.nan
    groups = array.groupby("time.month")
    found = reduce.climatology(array.chunk(time=4), min_count=2)
    wanted = groups.mean("time").where(groups.count("time") >= 2)
    xr.testing.assert_allclose(found, wanted)
    assert found.isnull().any()
    assert not reduce.temporal_mean(array, min_count=10).isnull().any()
    assert reduce.temporal_mean(array, min_count=11).isnull().sum() == 1


def test_infinities_and_masked_blocks() -> None:
    """Infinite values are values; what NumPy masks in a block is missing."""
    array = dataset().tas.copy()
    array[0, 0, 0], array[12, 0, 0], array[1, 1, 1] = np.inf, -np.inf, np.inf
    with np.errstate(invalid="ignore"):
        wanted = array.groupby("time.month").mean("time")
    xr.testing.assert_allclose(reduce.climatology(array.chunk(time=7)), wanted)
    counts = dataset()["count"]

    def mask(block: Any) -> Any:
        return np.ma.masked_less(block, 4)

    lazy = counts.chunk(time=6)
    masked = lazy.copy(data=lazy.data.map_blocks(mask))
    found = reduce.temporal_mean(masked)
    np.testing.assert_allclose(found, counts.where(counts >= 4).mean("time"))


def test_attributes_are_kept_as_xarray_does() -> None:
    """By its own option or by `keep_attrs`."""
    array = dataset().tas
    for keep in (True, False, None):
        wanted = array.groupby("time.month").mean("time", keep_attrs=keep)
        assert reduce.climatology(array, keep_attrs=keep).attrs == wanted.attrs
        assert reduce.temporal_mean(array, keep_attrs=keep).attrs == (
            array.mean("time", keep_attrs=keep).attrs
        )


def test_clear_errors() -> None:
    """They name what is missing, and what is there."""
    array = dataset().tas
    with pytest.raises(UsageError, match="no dimension 'day'; the data have: time, y, x"):
        reduce.temporal_mean(array, dim="day")
    with pytest.raises(UsageError, match="'moon' is no part of a date"):
        reduce.climatology(array, "moon")
    with pytest.raises(UsageError, match="'calendar' is no part of a date"):
        reduce.anomaly(array, "calendar")
    with pytest.raises(UsageError, match="holds no dates, but int64"):
        reduce.climatology(array.assign_coords(time=np.arange(30)))
    with pytest.raises(UsageError, match="has no coordinate"):
        reduce.climatology(array.drop_vars("time"))
    with pytest.raises(UsageError, match="no coordinate is a latitude: time, lon"):
        reduce.spatial_mean(array.drop_vars("lat"))
    with pytest.raises(UsageError, match="more than one coordinate is a latitude: lat, lat_vertex"):
        reduce.spatial_mean(array.assign_coords(lat_vertex=array.lat))
    with pytest.raises(UsageError, match="there is no coordinate 'north'"):
        reduce.spatial_mean(array, lat="north")
    assert reduce.climatology(array, "time.month").sizes["month"] == 12


def test_empty_dimensions() -> None:
    """Nothing to average gives nothing, or what is missing."""
    array = dataset().tas.isel(y=slice(0, 0)).drop_vars(["lat", "lon"])
    assert reduce.climatology(array).shape == (12, 0, 4)
    assert reduce.climatology(array.chunk(time=7)).compute().shape == (12, 0, 4)
    none = reduce.temporal_mean(dataset().tas.isel(time=slice(0, 0)).chunk())
    assert none.isnull().all()


def test_defaults_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads are as many as there are cores to use, for a while."""
    monkeypatch.delenv("ZARR_THREADING__MAX_WORKERS", raising=False)
    before = zarr.config.get("threading.max_workers"), zarr.config.get("async.concurrency")
    with reduce.defaults(threads=16):
        assert dask.config.get("num_workers") == 17
        assert zarr.config.get("threading.max_workers") == 16
        assert zarr.config.get("async.concurrency") == 64
    assert "num_workers" not in dask.config.config
    assert before == (
        zarr.config.get("threading.max_workers"),
        zarr.config.get("async.concurrency"),
    )
    with dask.config.set(num_workers=3), reduce.defaults(threads=16):
        assert dask.config.get("num_workers") == 3


def test_a_cluster_gives_the_same_bits() -> None:
    """Workers compute what threads do, and are set to their own number of threads."""
    array = dataset().tas.chunk(time=4)
    wanted = [
        make(array).compute(scheduler="sync") for make in (reduce.climatology, reduce.anomaly)
    ]
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        cluster.get_client() as client,
    ):
        on_workers(client)
        for make, one in zip((reduce.climatology, reduce.anomaly), wanted, strict=True):
            assert make(array).compute().values.tobytes() == one.values.tobytes()
        client.unregister_worker_plugin("pangeo-hpc-defaults")
