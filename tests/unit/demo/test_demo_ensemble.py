"""What the job computes agrees with plain NumPy to 1e-6."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pangeo_hpc.demo import data, generated, monthly, series
from pangeo_hpc.demo.ensemble import ensemble
from tests.unit.demo.cmip6 import write_file
from tests.unit.demo.reference import annual_means

ABOUT = monthly.About("a test", "digest")


def computed(catalogue: data.Catalogue) -> xr.Dataset:
    read = [series.read(files) for files in catalogue.models]
    return ensemble(monthly.merge(read, ABOUT)).load()


def assert_equals_numpy(ds: xr.Dataset, catalogue: data.Catalogue) -> None:
    years = ds.year.values
    annual = np.full((len(catalogue.models), years.size), np.nan)
    for index, files in enumerate(catalogue.models):
        for year, mean in annual_means(list(files.paths)).items():
            annual[index, year - years[0]] = mean
    np.testing.assert_allclose(ds.annual, annual, rtol=0, atol=1e-6)
    base = (years >= 1961) & (years <= 1990)
    for index in range(len(annual)):
        known = annual[index, base]
        known = known[~np.isnan(known)]
        assert ds.baseline_years[index] == known.size
        if known.size:
            anomaly = annual[index] - known.mean()
            np.testing.assert_allclose(ds.anomaly[index], anomaly, rtol=0, atol=1e-6)
        else:
            assert np.isnan(ds.anomaly[index]).all()
    for at in range(years.size):
        column = annual[:, at][~np.isnan(annual[:, at])]
        assert ds.models[at] == column.size
        if column.size < 2:
            assert np.isnan(ds.ensemble_mean[at])
            assert np.isnan(ds.ensemble_std[at])
            continue
        mean = column.sum() / column.size
        spread = np.sqrt(((column - mean) ** 2).sum() / column.size)
        assert abs(ds.ensemble_mean[at] - mean) < 1e-6
        assert abs(ds.ensemble_std[at] - spread) < 1e-6
        assert ds.ensemble_min[at] == pytest.approx(column.min(), abs=1e-6)
        assert ds.ensemble_max[at] == pytest.approx(column.max(), abs=1e-6)


def test_every_calendar_and_grid(tmp_path: Path) -> None:
    """Models of other calendars, grids, files and years agree with the reference, each its own."""
    write_file(tmp_path, "Z360", 1955, 1995, calendar="360_day")
    write_file(tmp_path, "Anoleap", 1950, 1969, latitudes=(80.0, 85.0, 90.0), longitudes=(0.0, 1.0))
    write_file(tmp_path, "Anoleap", 1970, 1996, latitudes=(80.0, 85.0, 90.0), longitudes=(0.0, 1.0))
    write_file(tmp_path, "Julian", 1900, 1980, calendar="julian")
    write_file(tmp_path, "Greg", 1898, 1992, calendar="proleptic_gregorian")
    write_file(tmp_path, "Young", 1985, 1999, calendar="standard")
    write_file(tmp_path, "Late", 1992, 1999)
    catalogue = data.catalogue(tmp_path)
    ds = computed(catalogue)
    assert_equals_numpy(ds, catalogue)
    assert dict(zip(ds.model.values, ds.baseline_years.values, strict=True)) == {
        "Anoleap": 30, "Greg": 30, "Julian": 20, "Late": 0, "Young": 6, "Z360": 30,
    }  # fmt: skip


def test_a_year_with_a_gap_is_no_year(tmp_path: Path) -> None:
    """A year in which one cell lacks one month has no mean, and the others keep theirs."""
    values = np.full((36, 2, 3), 255.0)
    values[17, 1, 1] = 9.969209968386869e36
    write_file(tmp_path, "A", 1950, 1952, values=values)
    write_file(tmp_path, "B", 1950, 1952)
    annual = computed(data.catalogue(tmp_path)).annual[0]
    assert np.isnan(annual).values.tolist() == [False, True, False]


@pytest.mark.skipif(find_spec(data.MODULE) is None, reason="sample data are not installed")
def test_real_models() -> None:
    """Real models of every calendar agree with the reference, from their own files."""
    folder = data.find()
    assert folder is not None
    names = {"KACE-1-0-G", "IITM-ESM", "MIROC6", "EC-Earth3", "CESM2", "E3SM-1-0", "FGOALS-g3"}
    every = data.catalogue(folder)
    some = data.Catalogue(every.origin, tuple(f for f in every.models if f.model in names))
    assert len(some.models) == len(names)
    ds = computed(some)
    assert_equals_numpy(ds, some)
    assert 240 < float(ds.annual.min()) < float(ds.annual.max()) < 280


@pytest.mark.skipif(find_spec(data.MODULE) is None, reason="sample data are not installed")
@pytest.mark.slow
def test_all_real_models_are_merged() -> None:
    """None of the 42 models is refused, and each has the whole baseline."""
    folder = data.find()
    assert folder is not None
    ds = computed(data.catalogue(folder))
    assert ds.sizes["model"] == 42
    assert (ds.baseline_years == 30).all()
    assert int(ds.models.sel(year=1950)) == 42
    assert not ds.annual.sel(year=slice(1950, 2014)).isnull().any()


def test_generated_data_have_the_same_shape_and_never_change() -> None:
    """As many models, every calendar, plausible air, and the same numbers each time."""
    models = list(generated.generate())
    assert len(models) == generated.count() == 42
    assert len({each.model for each in models}) == 42
    assert {each.calendar for each in models} == {
        "360_day", "julian", "noleap", "proleptic_gregorian", "standard",
    }  # fmt: skip
    assert {each.years for each in models} >= {(1850, 2014), (1950, 2014), (1950, 2016)}
    for one, again in zip(models, generated.generate(), strict=True):
        assert (one.values == again.values).all()
        assert ((one.values > series.COLDEST) & (one.values < series.WARMEST)).all()
        july, january = one.values[6::12].mean(), one.values[0::12].mean()
        assert july - january > 15


def test_dask_and_numpy_give_the_same(tmp_path: Path) -> None:
    """Computed from the store in chunks, the ensemble is the one computed in memory."""
    months = monthly.merge(list(generated.generate())[::5], ABOUT)
    monthly.write(months, tmp_path / "monthly.zarr")
    with xr.open_zarr(tmp_path / "monthly.zarr") as stored:
        assert stored.ta.chunks is not None
        xr.testing.assert_allclose(ensemble(stored).load(), ensemble(months).load(), rtol=1e-12)


def test_a_store_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """A store of another digest, without a chunk or without an array is not taken for ours."""
    store = tmp_path / "monthly.zarr"
    assert not monthly.is_there(store, "digest")
    months = monthly.merge(list(generated.generate())[:4], ABOUT)
    monthly.write(months, store)
    assert monthly.is_there(store, "digest")
    assert not monthly.is_there(store, "other")
    assert [path.name for path in tmp_path.iterdir()] == ["monthly.zarr"]
    chunk = next(path for path in (store / "ta" / "c").rglob("*") if path.is_file())
    chunk.unlink()
    assert not monthly.is_there(store, "digest")
    monthly.write(months, store)
    assert monthly.is_there(store, "digest")
    (store / "days" / "zarr.json").unlink()
    assert not monthly.is_there(store, "digest")


def test_an_interrupted_write_leaves_the_old_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing half written is ever under the store's name, or beside it."""
    store = tmp_path / "monthly.zarr"
    months = monthly.merge(list(generated.generate())[:4], ABOUT)
    monthly.write(months, store)

    def fail(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(xr.Dataset, "to_zarr", fail)
    with pytest.raises(KeyboardInterrupt):
        monthly.write(months, store)
    assert monthly.is_there(store, "digest")
    assert [path.name for path in tmp_path.iterdir()] == ["monthly.zarr"]
