"""Records that grow: steps are added, never lost, and a kill leaves the old record."""

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from pangeo_hpc.errors import RequestRefused, UsageError
from pangeo_hpc.workflow.writing import growing, output, template
from pangeo_hpc.workflow.writing.fitting import fit
from tests.unit.workflow.conftest import Begin, begin_in, put, stamps
from tests.unit.workflow.test_writing import Broken, failing_from, told


def days(start: int, stop: int, *, calendar: str | None = None) -> xr.Dataset:
    """Days of a record, of which each value tells its day."""
    values = np.arange(start * 6, stop * 6, dtype="f8").reshape(-1, 6)
    if calendar:
        time: Any = xr.date_range("2000-01-01", periods=stop, calendar=calendar, use_cftime=True)
    else:
        time = pd.date_range("2000-01-01", periods=stop)
    return xr.Dataset(
        {
            "tas": (("time", "x"), da.from_array(values, chunks=(3, 6))),
            "mean": (("time",), values.mean(axis=1)),
            "name": (("time",), np.array([f"day {i}" for i in range(start, stop)], dtype=object)),
            "packed": (
                ("x", "time"),
                da.from_array(values.T, chunks=(6, 4)),
                {},
                {"dtype": "i4", "scale_factor": 0.5, "_FillValue": -1},
            ),
        },
        {"time": time[start:stop], "x": np.arange(6.0)},
    )


def record(path: Path, *, consolidated: bool = True) -> xr.Dataset:
    """Return what a reader gets."""
    with xr.open_zarr(path, consolidated=consolidated, chunks=None) as ds:
        return ds.load()


@settings(max_examples=12, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    overlaps=st.lists(st.integers(0, 4), min_size=4, max_size=4),
    unit=st.sampled_from([1, 4, 5]),
)
def test_no_step_is_lost_however_a_record_grows(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], overlaps: list[int], unit: int
) -> None:
    """Whatever the pieces, their overlaps and the units: the values are those of the whole."""
    place = tmp_path_factory.mktemp("growing")
    folder = place / "runs" / "climatology"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"name": "climatology", "arguments": []}')
    begin = begin_in(folder)
    length = 0
    for cut, overlap in zip(cuts, overlaps, strict=False):
        start = max(0, length - overlap)
        length += cut
        with begin() as now:
            put(now, days(start, length), place / "out.zarr", append="time", unit=unit)
        xr.testing.assert_identical(
            record(place / "out.zarr").drop_attrs(), days(0, length).compute().drop_attrs()
        )


def test_what_is_there_is_not_written_again(attempt: Begin, tmp_path: Path) -> None:
    """Of the files that are there only the last one changes; the script may have changed too."""
    target = tmp_path / "out.zarr"
    with attempt() as now:
        assert put(now, days(0, 10), target, append="time", unit=4).units == 3
    before = stamps(target)
    with attempt(code="code 2") as now:
        done = put(now, days(8, 15), target, append="time")
    assert (done.units, done.written, done.skipped) == (4, 2, 2)
    after = stamps(target)
    assert {k for k in before if after[k] == before[k]} >= {"tas/c/0/0", "tas/c/1/0"}
    assert after["tas/c/2/0"] != before["tas/c/2/0"]
    with attempt(code="code 3") as now:
        done = put(now, days(0, 15), target, append="time")
        assert (done.written, done.skipped) == (0, 4)
        assert put(now, days(3, 9), target, append="time").written == 0
    assert stamps(target) == after
    found = record(target)
    xr.testing.assert_equal(found, days(0, 15).compute())
    assert len(found.attrs["pangeo_hpc_digests"].split(", ")) == 2
    # one file of coordinates, however often it grows
    assert zarr.open_array(target / "time", mode="r").chunks[0] > 1000


# Where a record that grows can be killed before its new steps are told of.
KILLED: dict[str, tuple[Any, str]] = {
    "early": (growing, "_write_early"),
    "resized": (growing, "_check_written"),
    "units": (output.Output, "_note"),
}


def killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("where", [*KILLED, "consolidate", "tell"])
def test_a_kill_while_it_grows_leaves_the_old_record(
    attempt: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Readers get the old record, or the new one; the next attempt goes on, with more if given."""
    target = tmp_path / "out.zarr"
    with attempt() as now:
        put(now, days(0, 10), target, append="time", unit=4)

    with monkeypatch.context() as patched:
        if where in KILLED:
            patched.setattr(*KILLED[where], killed)
        else:
            tell = getattr(template, where)

            def at_the_end(place: Path, *words: Any) -> None:
                entries = list(tmp_path.glob("runs/*/ledger/*/*/unit-000003.json"))
                if entries:
                    raise KeyboardInterrupt
                tell(place, *words)

            patched.setattr(template, where, at_the_end)
        with attempt() as now, pytest.raises(KeyboardInterrupt):
            put(now, days(10, 15), target, append="time")
    found = record(target)
    length = 15 if where == "tell" else 10
    xr.testing.assert_equal(found, days(0, length).compute())
    assert found.attrs["pangeo_hpc_state"] == "unfinished"
    with attempt() as now:
        put(now, days(10, 18), target, append="time")
    found = record(target)
    xr.testing.assert_equal(found, days(0, 18).compute())
    assert found.attrs["pangeo_hpc_state"] == "complete"


def test_steps_that_were_begun_must_be_given_again(attempt: Begin, tmp_path: Path) -> None:
    """Otherwise the record would have a hole; what is missing is named."""
    target = tmp_path / "out.zarr"
    with attempt() as now:
        put(now, days(0, 8), target, append="time", unit=4)
    with attempt() as now, pytest.raises(Broken):
        put(now, failing_from(days(8, 16), 3), target, append="time")
    with attempt() as now, pytest.raises(UsageError, match="steps .* along time are not there yet"):
        put(now, days(15, 20), target, append="time")
    with attempt() as now:
        put(now, days(8, 20), target, append="time")
    xr.testing.assert_equal(record(target), days(0, 20).compute())


def test_gaps_disorder_and_other_grids_are_refused(attempt: Begin, tmp_path: Path) -> None:
    """The message names the place, and the record stays as it is."""
    target = tmp_path / "out.zarr"
    with attempt() as now:
        put(now, days(0, 8), target, append="time", unit=4)
    before = stamps(target)
    wrong = days(8, 12)
    other = {
        "gap between 2000-01-08.* and 2000-01-10": days(9, 12),
        "gap between 2000-01-10.* and 2000-01-12": days(8, 12).isel(time=[0, 1, 3]),
        r"step 2 \(2000-01-10.*\) comes after 2000-01-11": wrong.isel(time=[0, 2, 1]),
        r"step 1 \(2000-01-09.*\) comes after 2000-01-09": wrong.isel(time=[0, 0]),
        "is no step of the record": wrong.assign_coords(
            time=wrong.time - np.timedelta64(90, "h") * 10
        ),
        "x has other values": wrong.assign_coords(x=wrong.x + 1),
        "time: step 1 is 2000-01-02T12.*, where the record has": days(1, 3).assign_coords(
            time=np.array(["2000-01-02T00", "2000-01-02T12"], dtype="M8[ns]")
        ),
        "do not fit in the units": wrong.assign_coords(time=wrong.time + np.timedelta64(1, "h")),
    }
    for match, ds in other.items():
        with attempt() as now, pytest.raises(UsageError, match=match):
            put(now, ds, target, append="time")
    assert {k: v for k, v in stamps(target).items() if k.startswith("tas")} == {
        k: v for k, v in before.items() if k.startswith("tas")
    }
    xr.testing.assert_equal(record(target), days(0, 8).compute())
    with attempt() as now:
        put(now, wrong, target, append="time")
    xr.testing.assert_equal(record(target), days(0, 12).compute())
    with attempt() as now, pytest.raises(RequestRefused, match="has no coordinate"):
        put(now, wrong.drop_vars("time"), tmp_path / "b.zarr", append="time")
    with attempt() as now, pytest.raises(UsageError, match="append was 'time' and is None"):
        put(now, days(0, 12), target)
    with attempt() as now, pytest.raises(UsageError, match="variables.tas.shape was"):
        put(now, days(12, 13).isel(x=slice(5)), target, append="time")


@pytest.mark.parametrize("calendar", ["noleap", "standard"])
def test_other_calendars_grow_too(attempt: Begin, tmp_path: Path, calendar: str) -> None:
    """As cftime, also where Xarray would read NumPy's times."""
    target = tmp_path / "out.zarr"
    with attempt() as now:
        put(now, days(0, 5, calendar=calendar), target, append="time", unit=2)
        done = put(now, days(3, 9, calendar=calendar), target, append="time")
    assert done.units == 5
    np.testing.assert_array_equal(record(target).tas, days(0, 9).tas)
    assert len(np.unique(record(target).time)) == 9


def test_months_have_no_gaps_and_names_no_order() -> None:
    """Months differ in length; of names only doubles are wrong."""
    months = pd.date_range("1999-12-01", periods=30, freq="MS").values
    assert fit(months[:14], months[14:], "time") == 14
    assert fit(months[:14], months[10:], "time") == 10
    with pytest.raises(UsageError, match="gap between 2001-01-01.* and 2001-03-01"):
        fit(months[:14], months[15:], "time")
    down = np.arange(10.0)[::-1]
    assert fit(down[:5], down[5:], "level") == 5
    with pytest.raises(UsageError, match="comes after"):
        fit(down[:5], np.arange(4.0), "level")
    names = np.array(["b", "a", "c"], dtype=object)
    assert fit(names[:2], names[2:], "member") == 2
    assert fit(names[:2], names[1:], "member") == 1
    with pytest.raises(UsageError, match="twice"):
        fit(names[:2], names[[2, 2]], "member")


def test_a_record_whose_coordinates_were_purged_is_told(attempt: Begin, tmp_path: Path) -> None:
    """Without them nobody knows which steps are there."""
    target = tmp_path / "out.zarr"
    with attempt() as now:
        put(now, days(0, 8), target, append="time", unit=4)
        (target / "time" / "c" / "0").unlink()
        with pytest.raises(UsageError, match="coordinates of .* are no longer there"):
            put(now, days(8, 12), target, append="time")
        assert "there from an earlier" not in told(now)


@pytest.mark.parametrize("where", ["never", *KILLED])
def test_an_output_that_was_not_begun_to_grow_grows(
    attempt: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """If its units are cut along the dimension; a kill while it begins to leaves the old one."""
    target = tmp_path / "out.zarr"
    files = {"tas": {"chunks": (2, 6), "shards": (4, 6)}, "packed": {"chunks": (6, 4)}}
    fixed = {"along": "time", "encoding": files}

    with attempt() as now:
        put(now, days(0, 10), target, unit=4, **fixed)
    with monkeypatch.context() as patched:
        if where != "never":
            patched.setattr(*KILLED[where], killed)
            with attempt() as now, pytest.raises(KeyboardInterrupt):
                put(now, days(10, 15), target, append="time")
            xr.testing.assert_equal(record(target), days(0, 10).compute())
    with attempt() as now:
        put(now, days(10, 18), target, append="time")
    xr.testing.assert_equal(record(target), days(0, 18).compute())


def test_one_unit_that_is_no_whole_shard_grows_too(attempt: Begin, tmp_path: Path) -> None:
    """Its last shard is filled first; what lies in one file that covers all of it cannot grow."""
    target = tmp_path / "out.zarr"
    files = {"tas": {"chunks": (4, 6), "shards": (8, 6)}, "packed": {"chunks": (6, 4)}}
    with attempt() as now:
        put(now, days(0, 7), target, along="time", unit=7, encoding=files)
        put(now, days(7, 21), target, append="time")
    xr.testing.assert_equal(record(target), days(0, 21).compute())
    with attempt() as now:
        put(now, days(0, 10), tmp_path / "small.zarr", along="time")
        with pytest.raises(UsageError, match="append was None and is 'time'"):
            put(now, days(10, 12), tmp_path / "small.zarr", append="time")
