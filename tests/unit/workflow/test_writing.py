import errno
import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr

from pangeo_hpc.errors import Exit, NotAllowed, RequestRefused, RunBusy, StoppedInTime, UsageError
from pangeo_hpc.workflow import lease
from pangeo_hpc.workflow.deadline import Deadline
from pangeo_hpc.workflow.writing import template
from tests.unit.workflow.conftest import Begin, put, stamps

MONTHS = 24
# small variables are one file each, unless a person wants files of a size
FILES = {"tas": {"chunks": (3, 6)}}


def everything() -> xr.Dataset:
    """One of each kind of variable that a climate dataset has, in three units and a rest."""
    hours = np.arange(MONTHS * 5).reshape(MONTHS, 5).astype("m8[h]")
    when = np.datetime64("2001-01-01", "ns") + hours
    values = np.random.default_rng(1).random((MONTHS, 4, 5)).astype("f4")
    values[3, 1] = np.nan
    names = np.array([f"member {i}" for i in range(MONTHS)], dtype=object)
    time = xr.date_range(
        "2000-01-01", periods=MONTHS, freq="MS", use_cftime=True, calendar="noleap"
    )
    count = np.arange(MONTHS * 4, dtype="i2").reshape(MONTHS, 4)
    packed = {"dtype": "i2", "scale_factor": 0.5, "add_offset": 3.0, "_FillValue": -9}
    return xr.Dataset(
        {
            "tas": (("time", "y", "x"), da.from_array(values, chunks=(7, 2, 5)), {"units": "K"}),
            "memory": (("time", "y", "x"), values * 2),
            "count": (("time", "y"), da.from_array(count, chunks=7), {}, {"_FillValue": -1}),
            "packed": (("y", "time"), da.from_array(count.T / 2, chunks=(4, 7)), {}, packed),
            "when": (("time", "x"), da.from_array(when, chunks=7)),
            "when_here": (("time", "x"), when),
            "lasts": (("time", "x"), da.from_array(hours.astype("m8[ns]"), chunks=7)),
            "flag": (("time", "x"), da.from_array(hours.astype(int) % 2 == 0, chunks=7)),
            "letters": (("time",), da.from_array(names.astype("U"), chunks=7)),
            "names": (("time",), names),
            "lazy_names": (("time",), da.from_array(names, chunks=7)),
            "mask": (("y", "x"), da.ones((4, 5), chunks=(2, 5), dtype=bool)),
            "scale": ((), 3.5),
        },
        {
            "time": time,
            "y": [10.0, 20.0, 30.0, 40.0],
            "bounds": (("time", "b"), np.arange(MONTHS * 2).reshape(MONTHS, 2)),
            "lat": (("y", "x"), np.arange(20.0).reshape(4, 5)),
        },
        {"title": "all kinds"},
    )


def opened(path: Path) -> xr.Dataset:
    with xr.open_zarr(path, consolidated=False, chunks=None) as ds:
        return ds.load()


def small(factor: float = 1.0, length: int = 12) -> xr.Dataset:
    values = np.arange(length * 6, dtype="f8").reshape(length, 6) * factor
    return xr.Dataset({"tas": (("time", "x"), da.from_array(values, chunks=(3, 6)))})


def told(attempt: Any) -> str:
    """Return what an attempt has said so far."""
    return str(attempt.progress._stream.getvalue())


class Broken(Exception):
    """What a computation fails with."""


def failing_from(ds: xr.Dataset, start: int) -> xr.Dataset:
    """Return a dataset whose computation fails from a step on."""

    def compute(block: Any, block_info: Any = None) -> Any:
        if block_info[0]["array-location"][0][0] >= start:
            raise Broken
        return block

    result = ds.copy()
    result["tas"].data = ds.tas.data.map_blocks(compute, dtype=ds.tas.dtype, meta=ds.tas.data._meta)
    return result


def test_all_kinds_of_variables_come_back(attempt: Begin, tmp_path: Path) -> None:
    """Values, kinds, attributes and coordinates are what Xarray itself would have written."""
    ds, target = everything(), tmp_path / "out.zarr"
    with attempt() as now:
        done = put(now, ds, target)
    assert (done.units, done.written, done.skipped) == (5, 5, 0)
    xr.testing.assert_equal(opened(target), ds.compute())
    assert opened(target).tas.attrs == {"units": "K"}
    group = zarr.open_group(target, mode="r")
    assert group.metadata.zarr_format == 3
    assert group.metadata.consolidated_metadata is not None
    assert group["packed"].dtype == np.dtype("i2")
    assert group["packed"].attrs["_FillValue"] == -9
    assert done.bytes == sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


def test_attributes_say_what_wrote_it(attempt: Begin, folder: Path, tmp_path: Path) -> None:
    """Who finds the store in a year reads there how it came about."""
    with attempt() as now:
        ds = small().assign_attrs(title="t", pangeo_hpc_jobs="of the input")
        path = put(now, ds, tmp_path / "out.zarr").path
    found = opened(path).attrs
    assert found["title"] == "t"
    assert found["pangeo_hpc_state"] == "complete"
    assert found["pangeo_hpc_run"] == "climatology"
    assert found["pangeo_hpc_site"] == "here"
    assert "pangeo_hpc_jobs" not in found
    assert found["pangeo_hpc_script"] == "c.py"
    assert found["pangeo_hpc_script_sha256"] == "code 1"
    assert "xarray" in found["pangeo_hpc_versions"]
    assert "sha256:" in found["pangeo_hpc_environment"]
    progress = json.loads((folder / "progress.json").read_text())
    assert (progress["done"], progress["total"], progress["format"]) == (4, 4, 1)


def test_how_the_source_was_stored_does_not_matter(attempt: Begin, tmp_path: Path) -> None:
    """Chunks and codecs of the file a variable came from stay with that file."""
    source = small().chunk(time=4)
    source.to_zarr(tmp_path / "v2.zarr", zarr_format=2, consolidated=True)
    with attempt() as now, xr.open_zarr(tmp_path / "v2.zarr", chunks={"time": 8}) as ds:
        assert "compressors" in ds.tas.encoding
        put(now, ds, tmp_path / "out.zarr")
        assert "compressors" in ds.tas.encoding
    xr.testing.assert_equal(opened(tmp_path / "out.zarr"), source.compute())


@pytest.mark.parametrize("lazy", [True, False])
def test_shards_lose_no_row(attempt: Begin, tmp_path: Path, lazy: bool) -> None:
    """Data in memory, which nobody else checks, are written whole shards at a time, or refused."""
    values = np.arange(240 * 8, dtype="f8").reshape(240, 8)
    ds = xr.Dataset({"a": (("t", "x"), da.from_array(values, chunks=(7, 8)) if lazy else values)})
    encoding = {"a": {"chunks": (5, 8), "shards": (10, 8)}}
    with attempt() as now:
        with pytest.raises(RequestRefused, match="multiple of 10"):
            put(now, ds, tmp_path / "out.zarr", unit=3, encoding=encoding)
        assert not (tmp_path / "out.zarr").exists()
        done = put(now, ds, tmp_path / "out.zarr", unit=20, encoding=encoding)
    assert done.units == 12
    np.testing.assert_array_equal(opened(tmp_path / "out.zarr").a, values)
    array = zarr.open_array(tmp_path / "out.zarr/a", mode="r")
    assert (array.chunks, array.shards) == ((5, 8), (10, 8))


def test_a_rerun_goes_on(attempt: Begin, tmp_path: Path) -> None:
    """Finished units keep their files; the rest is computed, and equals an uninterrupted run."""
    target = tmp_path / "out.zarr"
    with attempt() as now, pytest.raises(Broken):
        put(now, failing_from(small(), 6), target, encoding=FILES)
    half = stamps(target)
    assert {key for key in half if key.startswith("tas")} == {"tas/c/0/0", "tas/c/1/0"}
    assert opened(target).attrs["pangeo_hpc_state"] == "unfinished"
    assert zarr.open_group(target, mode="r").metadata.consolidated_metadata is None
    with attempt() as now:
        done = put(now, small().chunk(time=5), target)
    assert (done.units, done.written, done.skipped) == (4, 2, 2)
    whole = stamps(target)
    assert {key: whole[key] for key in half} == half
    with attempt() as now:
        put(now, small(), tmp_path / "other.zarr")
        again = put(now, small(), target)
    assert (again.written, again.skipped, again.first_unit) == (0, 4, None)
    assert stamps(target) == whole
    xr.testing.assert_equal(opened(target), opened(tmp_path / "other.zarr"))


def test_another_layout_is_refused(attempt: Begin, tmp_path: Path) -> None:
    """Another type or cut does not go into the same arrays, and the message says which it is."""
    target = tmp_path / "out.zarr"
    with attempt(inputs={"in.nc": "1"}) as now:
        put(now, small(), target, encoding={"tas": {"_FillValue": np.nan}})
    before = stamps(target)
    with attempt(code="code 2", inputs={"in.nc": "2"}) as now, pytest.raises(UsageError) as caught:
        put(now, small().astype("f4"), target, unit=6)
    assert caught.value.exit_code == Exit.USAGE
    text = str(caught.value)
    assert "variables.tas.dtype was 'float64' and is 'float32'" in text
    assert "--force" in text
    with attempt() as now, pytest.raises(UsageError, match="unit was 3 and is 6"):
        put(now, small(), target, unit=6, encoding={"tas": {"_FillValue": np.nan}})
    assert stamps(target) == before
    # NaN is not equal to itself, and yet the same fill value
    with attempt(inputs={"in.nc": "1"}) as now:
        assert put(now, small(), target, encoding={"tas": {"_FillValue": np.nan}}).written == 0


def test_a_key_stands_for_the_script(attempt: Begin, tmp_path: Path) -> None:
    """Whoever names what is computed may change the script around it."""
    with attempt(code="code 1") as now:
        put(now, small(), tmp_path / "out.zarr", key="means, v1")
    with attempt(code="code 2") as now:
        assert put(now, small(), tmp_path / "out.zarr", key="means, v1").skipped == 4
        assert put(now, small(), tmp_path / "out.zarr", key="means, v2").written == 4
        assert "key was 'means, v1' and is 'means, v2'; 4 units" in told(now)


def test_force_starts_over_once(attempt: Begin, tmp_path: Path) -> None:
    """A forced attempt that is requeued goes on with what it began."""
    target = tmp_path / "out.zarr"
    with attempt() as now:
        put(now, small(), target)
    with attempt(code="code 2", forced="attempt 2") as now, pytest.raises(Broken):
        put(now, failing_from(small(2.0), 6), target)
    with attempt(code="code 2", forced="attempt 2") as now:
        assert put(now, small(2.0), target).skipped == 2
    with attempt(code="code 2") as now:
        assert put(now, small(2.0), target).skipped == 4
    with attempt(code="code 2", forced="attempt 3") as now:
        assert put(now, small(2.0), target).skipped == 0
    np.testing.assert_array_equal(opened(target).tas, small(2.0).tas)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_others_wrote_is_not_touched(attempt: Begin, tmp_path: Path) -> None:
    """A store of others is replaced by force only, anything else never."""
    target = tmp_path / "theirs.zarr"
    small(3.0).to_zarr(target, zarr_format=2)
    with attempt() as now, pytest.raises(UsageError, match="this run did not write it"):
        put(now, small(), target)
    with attempt(forced="attempt 2") as now:
        put(now, small(), target)
        precious = tmp_path / "precious"
        precious.mkdir()
        (precious / "thesis.tex").touch()
        with pytest.raises(UsageError, match="is no Zarr store"):
            put(now, small(), precious)
    np.testing.assert_array_equal(opened(target).tas, small().tas)
    assert (precious / "thesis.tex").exists()
    shutil.rmtree(target)
    small(3.0).to_zarr(target, zarr_format=3, consolidated=False)
    with attempt() as now, pytest.raises(UsageError, match="somebody replaced it"):
        put(now, small(), target)


def test_a_removed_output_is_made_again(attempt: Begin, tmp_path: Path) -> None:
    """The ledger alone is no output."""
    with attempt() as now:
        put(now, small(), tmp_path / "out.zarr")
    shutil.rmtree(tmp_path / "out.zarr")
    with attempt() as now:
        assert put(now, small(), tmp_path / "out.zarr").written == 4


def test_purged_files_are_written_again(attempt: Begin, tmp_path: Path) -> None:
    """Scratch may lose single files; without them a unit would read as missing values."""
    ds, target = everything(), tmp_path / "out.zarr"
    encoding = {"tas": {"chunks": (7, 2, 5)}, "mask": {"chunks": (2, 5)}}
    with attempt() as now:
        put(now, ds, target, encoding=encoding)
    for lost in ("tas/c/1/0/0", "mask/c/0/0", "time/c/0"):
        (target / lost).unlink()
    with attempt() as now:
        done = put(now, ds, target)
        said = told(now)
    # the coordinates count as a unit when they must be written again
    assert (done.units, done.written, done.skipped) == (6, 3, 3)
    assert "unit-000001 is no longer there, and is written again" in said
    xr.testing.assert_equal(opened(target), ds.compute())
    assert opened(target).attrs["pangeo_hpc_state"] == "complete"


def test_a_purge_may_take_the_metadata(attempt: Begin, tmp_path: Path) -> None:
    """The description of a variable is the oldest file of a store; without it all is made anew."""
    target = tmp_path / "out.zarr"
    with attempt() as now:
        put(now, small(), target)
    (target / "tas" / "zarr.json").unlink()
    with attempt() as now:
        assert put(now, small(), target).written == 4
    np.testing.assert_array_equal(opened(target).tas, small().tas)


def test_what_another_script_made_is_made_again(attempt: Begin, tmp_path: Path) -> None:
    """And it is said what has changed; the output keeps its files' layout."""
    target = tmp_path / "out.zarr"
    with attempt(inputs={"in.nc": "1"}) as now:
        put(now, small(), target, encoding=FILES)
    with attempt(code="code 2", inputs={"in.nc": "2", "b.nc": "1"}) as now:
        done = put(now, small(2.0).chunk(time=4), target)
        said = told(now)
    assert (done.units, done.written, done.skipped) == (4, 4, 0)
    assert "the script has changed; input in.nc has changed; input b.nc is new; 4 units" in said
    assert "are done again" in said
    assert set(stamps(target)) == {f"tas/c/{i}/0" for i in range(4)}
    np.testing.assert_array_equal(opened(target).tas, small(2.0).tas)
    assert opened(target).attrs["pangeo_hpc_script_sha256"] == "code 2"


def test_keep_goes_on_with_what_is_missing(attempt: Begin, tmp_path: Path) -> None:
    """Units of two scripts are in one output only if a person says so, and that is noted."""
    target = tmp_path / "out.zarr"
    with attempt() as now, pytest.raises(Broken):
        put(now, failing_from(small(), 6), target, encoding=FILES)
    with attempt(code="code 2", keep=True) as now:
        done = put(now, small(2.0), target)
        assert "the script has changed; 2 units made before are kept" in told(now)
    assert (done.written, done.skipped) == (2, 2)
    mixed = np.concatenate([small().tas[:6], small(2.0).tas[6:]])
    found = opened(target)
    np.testing.assert_array_equal(found.tas, mixed)
    assert found.attrs["pangeo_hpc_kept"].startswith("2 units were made by an earlier script")
    assert len(found.attrs["pangeo_hpc_digests"].split(", ")) == 2
    assert found.attrs["pangeo_hpc_state"] == "complete"
    before = stamps(target)
    # without it, what is stale is done again, and nothing else
    with attempt(code="code 2") as now, pytest.raises(Broken):
        put(now, failing_from(small(2.0), 0), target)
    assert opened(target).attrs["pangeo_hpc_state"] == "unfinished"
    with attempt(code="code 2") as now:
        done = put(now, small(2.0), target)
    # the coordinates count as a unit when they must be written again
    assert (done.units - done.written, done.skipped) == (2, 2)
    found = opened(target)
    np.testing.assert_array_equal(found.tas, small(2.0).tas)
    assert "pangeo_hpc_kept" not in found.attrs
    assert len(found.attrs["pangeo_hpc_digests"].split(", ")) == 1
    assert {k: v for k, v in stamps(target).items() if k >= "tas/c/2"} == {
        k: v for k, v in before.items() if k >= "tas/c/2"
    }


def test_a_unit_that_is_begun_again_is_not_taken_for_the_old_one(
    attempt: Begin, tmp_path: Path
) -> None:
    """Back to the first script in the middle of a redo: what was touched is done again."""
    target = tmp_path / "out.zarr"
    with attempt() as now, pytest.raises(Broken):
        put(now, failing_from(small(), 6), target, encoding=FILES)
    with attempt(code="code 2", keep=True) as now:
        put(now, small(2.0), target)
    with (
        dask.config.set(scheduler="synchronous"),
        attempt(code="code 2") as now,
        pytest.raises(Broken),
    ):
        put(now, failing_from(small(2.0), 3), target)
    with attempt() as now:
        put(now, small(), target)
    np.testing.assert_array_equal(opened(target).tas, small().tas)


@pytest.mark.parametrize("forced", [None, "attempt 2"])
@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_making_the_template_may_be_killed(
    attempt: Begin,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    forced: str | None,
    when: str,
) -> None:
    """Before, within and after the renames that put it in place: the next attempt goes on."""
    target = tmp_path / "out.zarr"
    if forced:
        with attempt(code="code 0") as now:
            put(now, small(5.0), target)

    place = template._place

    def killed(draft: Path, target: Path, old: Path) -> None:
        if when == "between" and target.exists():
            target.rename(old)
        if when == "after":
            place(draft, target, old)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(template, "_place", killed)
        with attempt(forced=forced) as now, pytest.raises(KeyboardInterrupt):
            put(now, small(), target)
    with attempt(forced=forced) as now:
        put(now, small(), target)
    np.testing.assert_array_equal(opened(target).tas, small().tas)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_last_step_may_be_killed(
    attempt: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the mark and the consolidated metadata: the next attempt does the rest."""

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    target = tmp_path / "out.zarr"
    with monkeypatch.context() as patched:
        patched.setattr(zarr, "consolidate_metadata", killed)
        with attempt() as now, pytest.raises(KeyboardInterrupt):
            put(now, small(), target)
    with attempt() as now:
        assert put(now, small(), target).written == 0
    group = zarr.open_group(target, mode="r")
    assert group.metadata.consolidated_metadata is not None
    assert group.attrs["pangeo_hpc_state"] == "complete"


def test_unfinished_files_are_swept(attempt: Begin, tmp_path: Path) -> None:
    """A killed writer leaves its temporary file."""
    target = tmp_path / "out.zarr"
    with attempt() as now, pytest.raises(Broken):
        put(now, failing_from(small(), 6), target, encoding=FILES)
    left = target / "tas/c/2/0.0123456789abcdef0123456789abcdef.partial"
    left.parent.mkdir()
    left.touch()
    with attempt() as now:
        put(now, small(), target, encoding=FILES)
    assert not left.exists()


def test_a_full_disk_is_told(
    attempt: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is noticed when the data are synced, or when the store is begun."""

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for what in ("_sync", "LocalStore._open"):
        with attempt() as now, monkeypatch.context() as patched:
            patched.setattr(f"pangeo_hpc.workflow.writing.store.{what}", full)
            with pytest.raises(NotAllowed, match="the disk is full") as caught:
                put(now, small(), tmp_path / "out.zarr")
            assert caught.value.exit_code == Exit.NOT_ALLOWED
    with attempt() as now:
        assert put(now, small(), tmp_path / "out.zarr").written == 4


def test_a_stale_attempt_writes_nothing_more(attempt: Begin, folder: Path, tmp_path: Path) -> None:
    """From the moment another one holds the run: no file, no entry, and the run is theirs."""
    target, ds = tmp_path / "out.zarr", small()

    def overtake(block: Any, block_info: Any = None) -> Any:
        if block_info[0]["array-location"][0][0] == 6:
            _, holder = lease.newest_holder(folder / "leases")
            assert holder is not None
            assert lease.free(folder, holder)
        return block

    slow = ds.copy()
    slow["tas"].data = ds.tas.data.map_blocks(overtake, dtype="f8", meta=ds.tas.data._meta)
    with (
        dask.config.set(scheduler="synchronous"),
        attempt() as now,
        pytest.raises(RunBusy, match="was taken over"),
    ):
        put(now, slow, target, encoding=FILES)
    assert set(stamps(target)) == {"tas/c/0/0", "tas/c/1/0"}
    with attempt() as now:
        assert put(now, ds, target).skipped == 2


def test_no_unit_begins_that_would_not_end(attempt: Begin, tmp_path: Path) -> None:
    """With less time left than a unit took, the run stops with 75, and the next one completes."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    ticks = iter(range(0, 1000, 25))
    limit = Deadline(
        start + timedelta(seconds=60),
        clock=lambda: start + timedelta(seconds=next(ticks)),
    )
    target = tmp_path / "out.zarr"
    with attempt(deadline=limit) as now, pytest.raises(StoppedInTime) as caught:
        put(now, small(), target)
    assert caught.value.exit_code == Exit.RUN_AGAIN
    assert "2 of 4 units of out.zarr are written, 10 seconds of walltime left" in str(caught.value)
    with attempt() as now:
        assert put(now, small(), target).skipped == 2


def test_a_warning_stops_at_the_next_unit(attempt: Begin, tmp_path: Path) -> None:
    """What SIGUSR1 leaves behind is looked at between units."""
    with attempt() as now:
        now.signals.asked = "asked to stop by SIGUSR1"
        with pytest.raises(StoppedInTime, match="0 of 4 units"):
            put(now, small(), tmp_path / "out.zarr")


def test_an_empty_dataset_is_written_too(attempt: Begin, tmp_path: Path) -> None:
    """No unit is no error."""
    with attempt() as now:
        assert put(now, xr.Dataset({"a": 3}), tmp_path / "a.zarr").units == 0
        assert put(now, xr.Dataset(), tmp_path / "b.zarr").units == 0
        assert put(now, small(length=0), tmp_path / "c.zarr").units == 0
    assert opened(tmp_path / "a.zarr").a == 3
    assert opened(tmp_path / "c.zarr").tas.shape == (0, 6)
