"""Several units at once: no more than fit, none twice, and none forgotten."""

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster

from pangeo_hpc.errors import StoppedInTime
from pangeo_hpc.units import MIB
from pangeo_hpc.workflow.writing import flight
from pangeo_hpc.workflow.writing.layout import Unit
from pangeo_hpc.workflow.writing.work import Job
from tests.unit.workflow.conftest import Begin, put
from tests.unit.workflow.test_writing import Broken, failing_from, opened, small


def job(size: int, files: int = 1, source: int = 0) -> Job:
    return Job(None, Unit("u", ()), size, source, files=files, local=["key"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("memory", "cores", "size", "expected"),
    [
        (100, 4, 1, 5),  # as many as there are cores, and one that waits for the disk
        (100, 1, 1, 2),
        (100, 8, 10, 1),  # three copies of one fit in half of the memory, not of two
        (100, 8, 8, 2),
        (100, 8, 90, 1),  # one is begun always
    ],
)
def test_no_more_units_than_fit(
    monkeypatch: pytest.MonkeyPatch, memory: int, cores: int, size: int, expected: int
) -> None:
    """Neither in memory nor in what the cores can do."""
    monkeypatch.setattr(flight, "_free_memory", lambda: memory * MIB)
    with flight.Flight() as made:
        made._cores = cores
        number = 0
        while made.has_room(job(size * MIB)):
            number += 1
            made.jobs[str(number)] = job(size * MIB)
        assert number == expected


def test_dasks_own_chunks_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small output of large chunks needs the memory of these."""
    monkeypatch.setattr(flight, "_free_memory", lambda: 100 * MIB)
    with flight.Flight() as made:
        made._cores = 8
        made.jobs["1"] = job(MIB, source=20 * MIB)
        assert not made.has_room(job(MIB, source=20 * MIB))
        assert made._threads(job(MIB, source=20 * MIB)) == 1
        assert made.has_room(job(MIB, source=MIB))


def test_units_are_at_work_together(attempt: Begin, tmp_path: Path) -> None:
    """While one waits, another computes: both must be there for either to go on."""
    together = threading.Barrier(2, timeout=60)

    def meet(block: Any) -> Any:
        together.wait()
        return block

    ds = small(length=12)
    ds["tas"].data = ds.tas.data.map_blocks(meet, dtype="f8", meta=ds.tas.data._meta)
    with attempt() as now, pytest.MonkeyPatch.context() as patched:
        patched.setattr(flight.Flight, "_threads", lambda *_: 2)
        put(now, ds, tmp_path / "out.zarr")
    np.testing.assert_array_equal(opened(tmp_path / "out.zarr").tas, small().tas)


def test_a_failing_unit_leaves_the_others(attempt: Begin, tmp_path: Path) -> None:
    """Those at work beside it are noted; the next attempt has fewer to do."""
    with attempt() as now, pytest.raises(Broken):
        put(now, failing_from(small(), 9), tmp_path / "out.zarr")
    with attempt() as now:
        assert put(now, small(), tmp_path / "out.zarr").skipped == 3


def test_a_warning_lets_those_at_work_end(attempt: Begin, tmp_path: Path) -> None:
    """They began when there was time enough."""

    def warn(block: Any, block_info: Any = None) -> Any:
        current[0].signals.asked = "asked to stop by SIGUSR1"
        return block

    ds, current = small(length=30), []
    ds["tas"].data = ds.tas.data.map_blocks(warn, dtype="f8", meta=ds.tas.data._meta)
    with attempt() as now:
        current.append(now)
        with pytest.raises(StoppedInTime, match="of 10 units"):
            put(now, ds, tmp_path / "out.zarr")
        (written,) = now.outputs
    with attempt() as now:
        assert put(now, small(length=30), tmp_path / "out.zarr").skipped == written.written > 0


class Counted:
    """Counts how often each block is computed."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def __call__(self, block: Any, block_info: Any = None) -> Any:
        self.counts[block_info[0]["array-location"][0][0]] += 1
        return block


def test_what_all_units_need_is_computed_once(
    attempt: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mean under anomalies reads the data once, not once for each unit."""
    counted, ds = Counted(), small(length=30)
    ds["tas"].data = ds.tas.data.map_blocks(counted, dtype="f8", meta=ds.tas.data._meta)
    anomalies = (ds.tas - ds.tas.mean("time")).to_dataset(name="tas")
    with attempt() as now:
        put(now, anomalies, tmp_path / "out.zarr")
    assert len(counted.counts) == 10
    assert max(counted.counts.values()) == 2
    expected = small(length=30).tas
    np.testing.assert_array_equal(
        opened(tmp_path / "out.zarr").tas, (expected - expected.mean("time")).values
    )
    # what is too large to keep is not kept, and is right all the same
    monkeypatch.setattr(flight, "_free_memory", lambda: 200)
    with attempt() as now:
        put(now, anomalies, tmp_path / "b.zarr")
    xr.testing.assert_equal(opened(tmp_path / "b.zarr"), opened(tmp_path / "out.zarr"))


def test_on_a_cluster(attempt: Begin, tmp_path: Path) -> None:
    """Dask-backed data are computed and written by workers, others by us, in the same units."""
    ds = small(length=30)
    ds["here"] = ds.tas.compute() * 2
    ds["mean"] = (("x",), da.ones(6, chunks=3))
    anomalies = ds.assign(tas=ds.tas - ds.tas.mean("time"))
    encoding = {name: {"chunks": (6, 6)} for name in ("tas", "here")}
    with (
        dask.config.set({"distributed.worker.memory.target": False}),
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster),
        attempt() as now,
    ):
        with pytest.raises(Broken):
            put(now, failing_from(ds, 24), tmp_path / "a.zarr", encoding=encoding)
        done = put(now, ds, tmp_path / "a.zarr", encoding=encoding)
        put(now, anomalies, tmp_path / "b.zarr", encoding=encoding)
    assert (done.units, done.skipped) == (6, 5)
    xr.testing.assert_equal(opened(tmp_path / "a.zarr"), ds.compute())
    xr.testing.assert_allclose(opened(tmp_path / "b.zarr"), anomalies.compute())
