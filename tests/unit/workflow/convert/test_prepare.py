"""Files that are really there: found, read, joined, written, and gone on with after a kill."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pangeo_hpc.errors import RequestRefused
from pangeo_hpc.workflow.convert import chunks, sources
from pangeo_hpc.workflow.convert.order import Access, Order, Overlaps
from pangeo_hpc.workflow.convert.prepare import Plan, prepare
from tests.unit.workflow.conftest import Begin, put, stamps

STEPS = 30


def month(folder: Path, number: int, *, form: str = "NETCDF4", scale: float | None = None) -> Path:
    """Write thirty days of one variable; the days of all months follow one another."""
    rng = np.random.default_rng(number)
    time = np.datetime64("2001-01-01", "ns") + np.arange(STEPS) * np.timedelta64(1, "D")
    ds = xr.Dataset(
        {
            "tas": (("time", "lat", "lon"), rng.random((STEPS, 6, 8)).astype("f4")),
            "area": (("lat", "lon"), np.arange(48.0).reshape(6, 8)),
        },
        {
            "time": time + number * STEPS * np.timedelta64(1, "D"),
            "lat": np.linspace(-80, 80, 6),
            "lon": np.arange(8) * 45.0,
        },
        {"institution": "here", "history": f"month {number}"},
    )
    packed = {"dtype": "i2", "scale_factor": scale, "add_offset": 0.5, "_FillValue": -1}
    path = folder / f"tas_{number}.nc"
    encoding = {"tas": packed} if scale else {}
    ds.to_netcdf(path, format=form, encoding=encoding, unlimited_dims=["time"])
    return path


def order(*words: object, **changes: object) -> Order:
    made = Order(sources=tuple(map(str, words)), target="out.zarr")
    return replace(made, **changes)  # type: ignore[arg-type]


def joined(paths: list[Path]) -> xr.Dataset:
    """What Xarray alone makes of the files."""
    opened = [xr.open_dataset(path) for path in paths]
    return xr.concat(
        opened, "time", data_vars="minimal", coords="minimal", compat="override", join="override",
        combine_attrs="drop_conflicts",
    ).load()  # fmt: skip


def written(plan: Plan, attempt: Begin, target: Path) -> xr.Dataset:
    with attempt() as ours:
        put(
            ours,
            plan.dataset(),
            target,
            along=plan.arrangement.along,
            unit=plan.unit,
            encoding=plan.encoding,
            key="one",
        )
    with xr.open_zarr(target, chunks=None) as ds:
        return ds.load()


@pytest.mark.parametrize("form", ["NETCDF4", "NETCDF4_CLASSIC", "NETCDF3_CLASSIC", "NETCDF3_64BIT"])
def test_every_version_of_netcdf(form: str, tmp_path: Path, attempt: Begin) -> None:
    """Values, coordinates and variables without time are those that Xarray reads."""
    paths = [month(tmp_path, number, form=form) for number in range(3)]
    plan = prepare(order(*reversed(paths)))
    assert plan.notes == []
    found = written(plan, attempt, tmp_path / "out.zarr")
    xr.testing.assert_equal(found, joined(paths))
    assert found.attrs["institution"] == "here"
    assert "history" not in found.attrs


def test_units_are_cut_where_shards_are(
    tmp_path: Path, attempt: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Units lie across files, and every value is there."""
    step = 6 * 8 * 4
    monkeypatch.setattr(chunks, "CHUNK", dict.fromkeys(Access, 4 * step))
    monkeypatch.setattr(chunks, "SHARD", 8 * step)
    monkeypatch.setattr(chunks, "UNIT", 16 * step)
    paths = [month(tmp_path, number) for number in range(3)]
    for access in Access:
        plan = prepare(order(*paths, access=access, target=f"{access}.zarr"))
        assert plan.unit < 3 * STEPS
        found = written(plan, attempt, tmp_path / f"{access}.zarr")
        xr.testing.assert_equal(found, joined(paths))


def test_packed_values_stay_packed(tmp_path: Path, attempt: Begin) -> None:
    """Where all files pack alike the store does, too, with the same integers."""
    paths = [month(tmp_path, number, scale=0.001) for number in range(2)]
    plan = prepare(order(*paths))
    found = written(plan, attempt, tmp_path / "out.zarr")
    assert found.tas.encoding["dtype"] == np.dtype("i2")
    xr.testing.assert_equal(found, joined(paths))


def test_packing_that_differs_is_undone_and_told(tmp_path: Path, attempt: Begin) -> None:
    """Nothing is rounded to the scale of another file."""
    paths = [month(tmp_path, 0, scale=0.001), month(tmp_path, 1, scale=0.01)]
    plan = prepare(order(*paths))
    assert plan.notes == ["tas is packed differently from file to file: it is stored unpacked"]
    found = written(plan, attempt, tmp_path / "out.zarr")
    xr.testing.assert_equal(found, joined(paths))


def test_overlaps_take_each_step_once(tmp_path: Path, attempt: Begin) -> None:
    """The later file's values where they are chosen."""
    first, second = month(tmp_path, 0), month(tmp_path, 1)
    with xr.open_dataset(second) as ds:
        late = ds.load()
    late["time"] = late.time - np.timedelta64(10, "D")
    late.to_netcdf(tmp_path / "late.nc")
    with pytest.raises(RequestRefused, match="is in both"):
        prepare(order(first, tmp_path / "late.nc"))
    plan = prepare(order(first, tmp_path / "late.nc", overlaps=Overlaps.LAST))
    found = written(plan, attempt, tmp_path / "out.zarr")
    expected = xr.concat([joined([first]).isel(time=slice(0, 20)).tas, late.tas], "time")
    np.testing.assert_array_equal(found.tas, expected)


def test_only_some_variables(tmp_path: Path, attempt: Begin) -> None:
    """And what is not there is told with what is."""
    paths = [month(tmp_path, number) for number in range(2)]
    found = written(prepare(order(*paths, variables=("tas",))), attempt, tmp_path / "out.zarr")
    assert set(found.data_vars) == {"tas"}
    with pytest.raises(RequestRefused, match="has no variable pr; it has: tas, area"):
        prepare(order(*paths, variables=("pr",)))


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    """Missing files, other kinds, broken files: one error."""
    good = month(tmp_path, 0)
    broken = tmp_path / "broken.nc"
    broken.write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    with pytest.raises(RequestRefused) as told:
        prepare(order(good, broken))
    assert f"{broken}: cannot be read as NetCDF" in str(told.value)
    text = tmp_path / "notes.md"
    text.write_text("hello")
    with pytest.raises(RequestRefused) as told:
        prepare(order(good, text, tmp_path / "nothing*.nc"))
    assert len(told.value.problems) == 2


def test_a_directory_means_the_files_in_it(tmp_path: Path) -> None:
    """Other files in it are left alone."""
    paths = [month(tmp_path, number) for number in range(2)]
    (tmp_path / "README").write_text("not data")
    assert sources.find([str(tmp_path)]) == (paths, sources.Kind.NETCDF)


def test_tables_with_a_time_column(tmp_path: Path, attempt: Begin) -> None:
    """They are joined by it; texts, times and numbers stay what they are."""
    times = pd.date_range("2001-01-01", periods=48, freq="h")
    frame = pd.DataFrame(
        {"time": times, "t": np.arange(48) / 4, "station": ["Zürich", "Bern"] * 24, "n": range(48)}
    )
    frame[24:].to_csv(tmp_path / "a.csv", index=False)
    frame[:24].to_csv(tmp_path / "b.csv.gz", index=False, sep=";")
    plan = prepare(order(tmp_path / "a.csv", tmp_path / "b.csv.gz"))
    found = written(plan, attempt, tmp_path / "out.zarr")
    assert list(found.station.values) == list(frame.station)
    np.testing.assert_array_equal(found.time, times.values)
    np.testing.assert_array_equal(found.t, frame.t)
    assert found.n.dtype.kind == "i"


def test_tables_of_many_stations_keep_their_rows(tmp_path: Path, attempt: Begin) -> None:
    """Times that repeat are a column; numbers that are missing in one file become floats."""
    one = pd.DataFrame({"time": ["2001-01-01"] * 3, "station": list("abc"), "n": [1, 2, 3]})
    two = pd.DataFrame({"time": ["2001-01-02"] * 2, "station": ["dd", "a"], "n": [4.0, None]})
    one.to_csv(tmp_path / "1.csv", index=False)
    two.to_csv(tmp_path / "2.csv", index=False)
    plan = prepare(order(tmp_path / "*.csv"))
    found = written(plan, attempt, tmp_path / "out.zarr")
    assert dict(found.sizes) == {"row": 5}
    np.testing.assert_array_equal(found.n, [1, 2, 3, 4, np.nan])
    assert list(found.station.values) == ["a", "b", "c", "dd", "a"]
    assert found.time.dtype.kind == "M"


def test_it_goes_on_where_it_was_killed(
    tmp_path: Path, attempt: Begin, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Units that are there are not read and written again."""
    step = 6 * 8 * 4
    monkeypatch.setattr(chunks, "CHUNK", dict.fromkeys(Access, 4 * step))
    monkeypatch.setattr(chunks, "SHARD", 8 * step)
    monkeypatch.setattr(chunks, "UNIT", 8 * step)
    paths = [month(tmp_path, number) for number in range(3)]
    plan = prepare(order(*paths))
    target = tmp_path / "out.zarr"
    written(plan, attempt, target)
    entries = sorted(folder.glob("ledger/*/*/unit-*.json"))
    assert len(entries) > 5
    entries[-1].unlink()
    before = stamps(target)
    found = written(prepare(order(*paths)), attempt, target)
    after = stamps(target)
    assert len({key for key in before if before[key] != after[key]}) == 1
    xr.testing.assert_equal(found, joined(paths))


def test_an_order_is_read_as_it_was_written(tmp_path: Path) -> None:
    """The job does what the command was told."""
    made = order("a.nc", "b.nc", access=Access.MAPS, variables=("tas",), along="time")
    made.write(tmp_path / "order.json")
    assert Order.read(tmp_path / "order.json") == made
    assert json.loads((tmp_path / "order.json").read_text())["format"] == 1
    assert made.digest != replace(made, access=Access.BOTH).digest
