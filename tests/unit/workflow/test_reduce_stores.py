"""How `workflow.reduce` reads: from stores, how often, how much at once, and in units of a run."""

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from pangeo_hpc.errors import StoppedInTime
from pangeo_hpc.workflow import reduce
from pangeo_hpc.workflow.reduce import blocks, graph, plan
from tests.unit.workflow.conftest import Begin, put

STEPS = 48


@pytest.fixture(autouse=True)
def _numpy() -> Iterator[None]:
    """Xarray with NumPy alone: numbagg warns of what is all missing."""
    with xr.set_options(use_numbagg=False, use_bottleneck=False):
        yield


def field() -> xr.Dataset:
    values = np.random.default_rng(3).normal(280, 10, (STEPS, 6, 8)).astype("f4")
    values[:, 2:4, 3] = np.nan
    coords = {
        "time": xr.date_range("2001-01-01", periods=STEPS, freq="MS", calendar="noleap"),
        "lat": np.linspace(-75, 75, 6),
        "lon": np.arange(8.0),
    }
    return xr.Dataset({"tas": (("time", "lat", "lon"), values, {"units": "K"})}, coords)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of shards of 12 steps, in which chunks hold two."""
    path = tmp_path / "tas.zarr"
    encoding = {"tas": {"chunks": (2, 6, 8), "shards": (12, 6, 8)}}
    field().to_zarr(path, zarr_format=3, consolidated=False, encoding=encoding)
    return path


class Reads:
    """Counts what is read, and what is alive of it at once."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.alive = self.most = 0

    def __call__(self, source: Any, where: tuple[slice, ...]) -> NDArray[Any]:
        values: NDArray[Any] = np.array(blocks.read(source, where))
        self.steps.append(values.shape[0])
        self.alive += 1
        self.most = max(self.most, self.alive)
        weakref.finalize(values, self._gone)
        return values

    def _gone(self) -> None:
        self.alive -= 1


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    counted = Reads()
    monkeypatch.setattr(graph, "read", counted)
    return counted


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """One chunk of the store is as much as one task reads."""
    monkeypatch.setattr(plan, "TARGET", 2 * 6 * 8 * 4)


def opened(path: Path, chunks: Any) -> xr.Dataset:
    return xr.open_zarr(path, chunks=chunks, consolidated=False)


@pytest.mark.filterwarnings("ignore:The specified chunks separate the stored chunks")
@pytest.mark.parametrize("chunks", [None, {}, {"time": 6}, {"lat": 1}], ids=str)
def test_stores_are_read_as_they_are_cut(store: Path, reads: Reads, chunks: Any) -> None:
    """Whatever chunks somebody opens it with, small chunks are read together, and once."""
    tas = opened(store, chunks).tas
    month, whole = reduce.climatology(tas), reduce.spatial_mean(tas)
    assert not reads.steps  # lazy
    xr.testing.assert_allclose(month.compute(), field().tas.groupby("time.month").mean("time"))
    assert sum(reads.steps) == STEPS
    assert len(reads.steps) == 1
    weights = np.cos(np.deg2rad(field().lat))
    wanted = field().tas.weighted(weights).mean(["lat", "lon"])
    xr.testing.assert_allclose(whole.compute(), wanted)


@pytest.mark.usefixtures("small_blocks")
def test_two_results_share_what_they_read(store: Path, reads: Reads) -> None:
    """Each block is read once for all that is computed together."""
    tas = opened(store, None).tas
    dask.compute(reduce.climatology(tas), reduce.annual_mean(tas), reduce.spatial_mean(tas))
    assert reads.steps == [2] * 24


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("chunks", [None, {}], ids=str)
def test_few_blocks_are_in_memory_at_once(
    store: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch, chunks: Any
) -> None:
    """As many as threads, for anomalies too if they are large; these read everything twice."""
    monkeypatch.setattr(graph, "HELD_AT_MOST", 100)
    ds = opened(store, chunks)
    for make in (reduce.climatology, reduce.annual_mean, reduce.temporal_mean, reduce.spatial_mean):
        make(ds.tas).compute(scheduler="threads", num_workers=2)
    assert reads.most <= 2
    assert len(reads.steps) == 4 * 24
    reads.steps.clear()
    reduce.anomaly(ds.tas).to_dataset().to_zarr(store.parent / "out.zarr", consolidated=False)
    assert len(reads.steps) == 2 * 24
    assert reads.most <= dask.system.CPU_COUNT


@pytest.mark.usefixtures("small_blocks")
def test_what_is_computed_is_computed_again_rather_than_held(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An anomaly of what Dask computes first has its mean before the second pass begins."""
    monkeypatch.setattr(graph, "HELD_AT_MOST", 100)
    order: list[str] = []

    def noted(block: NDArray[Any]) -> NDArray[Any]:
        order.append("block")
        return block + np.float32(1)

    tas = opened(store, {}).tas
    warmer = tas.copy(data=tas.data.map_blocks(noted, dtype="f4", meta=np.empty((0, 0, 0), "f4")))
    found = reduce.anomaly(warmer).compute(scheduler="sync")
    groups = field().tas.groupby("time.month")
    xr.testing.assert_allclose(found, groups - groups.mean("time"), atol=1e-4)
    assert len(order) == 2 * 24


@pytest.mark.usefixtures("small_blocks")
def test_a_small_anomaly_reads_once(store: Path, reads: Reads) -> None:
    """Blocks of few megabytes in all are kept from the mean to what is less than it."""
    found = reduce.anomaly(opened(store, None).tas).compute()
    assert len(reads.steps) == 24
    groups = field().tas.groupby("time.month")
    xr.testing.assert_allclose(found, groups - groups.mean("time"), atol=1e-4)


@pytest.mark.usefixtures("small_blocks")
def test_spatial_means_are_in_few_chunks(
    store: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of several blocks make one, and each needs its own blocks only."""
    monkeypatch.setattr(graph, "SPATIAL", 8 * 2 * 6 * 8 * 4)
    mean = reduce.spatial_mean(opened(store, None).tas)
    assert mean.chunks == ((16, 16, 16),)
    weights = np.cos(np.deg2rad(field().lat))
    wanted = field().tas.weighted(weights).mean(["lat", "lon"])
    xr.testing.assert_allclose(mean[16:32].compute(), wanted[16:32])
    assert reads.steps == [2] * 8


@pytest.mark.parametrize("held", [1 << 20, 100])
def test_anomalies_read_whole_shards(
    store: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    """Chunks of a shard are cut out of it; it is read once if it is kept, and else twice."""
    monkeypatch.setattr(plan, "TARGET", 12 * 6 * 8 * 4)
    monkeypatch.setattr(graph, "HELD_AT_MOST", held)
    less = reduce.anomaly(opened(store, {}).tas)
    assert less.chunks is not None
    assert less.chunks[0] == (2,) * 24
    found = less.compute()
    assert reads.steps == [12] * (4 if held > 100 else 8)
    groups = field().tas.groupby("time.month")
    xr.testing.assert_allclose(found, groups - groups.mean("time"), atol=1e-4)


@pytest.mark.usefixtures("small_blocks")
def test_threads_do_not_change_a_bit(store: Path) -> None:
    """Sums are added in one order, whatever computes them."""
    tas = opened(store, None).tas
    for make in (reduce.climatology, reduce.temporal_mean, reduce.spatial_mean, reduce.anomaly):
        one = make(tas).compute(scheduler="sync")
        many = make(tas).compute(scheduler="threads", num_workers=8)
        assert one.values.tobytes() == many.values.tobytes()


@pytest.mark.usefixtures("small_blocks")
def test_annual_means_of_long_series_are_in_pieces(
    store: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large result is no single chunk, and each piece needs its own years only."""
    monkeypatch.setattr(graph, "OUTPUT", 2 * 6 * 8 * 4)
    years = reduce.annual_mean(opened(store, None).tas)
    assert years.chunks is not None
    assert years.chunks[0] == (2, 2)
    xr.testing.assert_allclose(
        years.isel(year=slice(0, 2)).compute(),
        field().tas.groupby("time.year").mean("time").isel(year=slice(0, 2)),
    )
    assert sum(reads.steps) == STEPS // 2


@pytest.mark.usefixtures("small_blocks")
def test_a_run_writes_anomalies_and_climatologies(
    attempt: Begin, store: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its units share one climatology: the input is read for it once, not once for each unit."""
    monkeypatch.setattr(graph, "HELD_AT_MOST", 100)
    ds = opened(store, None)
    groups = field().tas.groupby("time.month")
    both = xr.Dataset({"less": reduce.anomaly(ds.tas), "year": reduce.annual_mean(ds.tas)})
    target = tmp_path / "out.zarr"
    with attempt() as one:
        written = put(one, both, target, along="time", unit=12)
    assert written.units >= 4
    assert sum(reads.steps) <= 3 * STEPS
    with xr.open_zarr(target, chunks=None) as out:
        wanted = groups - groups.mean("time")
        np.testing.assert_allclose(out.less.values, wanted.values, atol=1e-4)
        years = field().tas.groupby("time.year").mean("time")
        np.testing.assert_allclose(out.year.values, years.values, rtol=1e-6)


@pytest.mark.usefixtures("small_blocks")
def test_a_rerun_goes_on_to_the_same_bits(
    attempt: Begin, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anomalies of an attempt that was stopped, and went on, equal those computed at once."""
    monkeypatch.setattr(graph, "HELD_AT_MOST", 100)
    less = reduce.anomaly(opened(store, None).tas).to_dataset(name="less")
    target = tmp_path / "out.zarr"
    with attempt() as one:
        real = one.progress.unit

        def stop(name: str, seconds: float) -> None:
            real(name, seconds)
            one.signals.asked = "it was asked to"

        monkeypatch.setattr(one.progress, "unit", stop)
        with pytest.raises(StoppedInTime):
            put(one, less, target, along="time", unit=12)
    monkeypatch.undo()
    monkeypatch.setattr(plan, "TARGET", 2 * 6 * 8 * 4)
    with attempt() as two:
        assert put(two, less, target, along="time", unit=12).skipped >= 1
    with xr.open_zarr(target, chunks=None) as out:
        assert out.less.values.tobytes() == less.less.values.tobytes()


def test_packed_and_masked_values_are_decoded(tmp_path: Path) -> None:
    """Whole numbers with a scale and a fill value, as NetCDF and Zarr pack them."""
    packed = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -32768}
    path = tmp_path / "packed.zarr"
    field().to_zarr(path, encoding={"tas": packed}, zarr_format=3, consolidated=False)
    tas = opened(path, None).tas
    wanted = tas.load().groupby("time.month").mean("time")
    xr.testing.assert_allclose(reduce.climatology(opened(path, None).tas).compute(), wanted)


def test_netcdf_is_read_lazily_too(tmp_path: Path, reads: Reads) -> None:
    """Files of the netCDF library, with chunks and without."""
    path = tmp_path / "tas.nc"
    for encoding in ({}, {"tas": {"chunksizes": (5, 6, 8)}}):
        field().to_netcdf(path, encoding=encoding)
        with xr.open_dataset(path) as ds:
            found = reduce.climatology(ds.tas).compute()
        xr.testing.assert_allclose(found, field().tas.groupby("time.month").mean("time"))
    assert sum(reads.steps) == 2 * STEPS
