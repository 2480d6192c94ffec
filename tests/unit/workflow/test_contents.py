"""What is told of stores and files: the truth, of every version, and clear errors."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pangeo_hpc.errors import UnknownName, UsageError
from pangeo_hpc.workflow.contents import inspect
from tests.unit.workflow.conftest import Begin, put


@pytest.fixture
def ds() -> xr.Dataset:
    values = np.arange(12 * 4 * 6, dtype="f4").reshape(12, 4, 6)
    return xr.Dataset({"tas": (("time", "y", "x"), values, {"units": "K"})}, attrs={"title": "one"})


def test_an_output_of_a_run(ds: xr.Dataset, tmp_path: Path, attempt: Begin) -> None:
    """Chunks, shards, files, and whether it is complete."""
    with attempt() as ours:
        encoding = {"tas": {"chunks": (2, 4, 6), "shards": (4, 4, 6)}}
        put(ours, ds, tmp_path / "out.zarr", along="time", unit=4, encoding=encoding)
    found = inspect(str(tmp_path / "out.zarr"))
    assert (found.kind, found.consolidated, found.state) == ("Zarr 3", True, "complete")
    assert found.dims == {"time": 12, "y": 4, "x": 6}
    (tas,) = found.arrays
    assert (tas.chunks, tas.shards, tas.files, tas.most_files) == ((2, 4, 6), (4, 4, 6), 3, 3)
    assert tas.nbytes == 12 * 4 * 6 * 4
    assert tas.chunk_bytes == 2 * 4 * 6 * 4
    real = sum(p.stat().st_size for p in (tmp_path / "out.zarr/tas/c").rglob("*") if p.is_file())
    assert tas.stored == real
    assert tas.compression.startswith("zstd")
    assert tas.attributes["units"] == "K"
    assert found.attributes["title"] == "one"


@pytest.mark.parametrize("form", [2, 3])
def test_stores_of_others(form: int, ds: xr.Dataset, tmp_path: Path) -> None:
    """Format 2 has no shards, and names its dimensions in an attribute."""
    ds.to_zarr(tmp_path / "s.zarr", zarr_format=form, consolidated=form == 2)
    found = inspect(str(tmp_path / "s.zarr"), count=False)
    assert (found.kind, found.consolidated, found.state) == (f"Zarr {form}", form == 2, None)
    (tas,) = found.arrays
    assert tas.dims == ("time", "y", "x")
    assert tas.shards is None
    assert tas.stored is None
    assert "_ARRAY_DIMENSIONS" not in tas.attributes


def test_groups_and_urls(ds: xr.Dataset, tmp_path: Path) -> None:
    """Every group's arrays are told by their path; a file:// URL is a path."""
    tree = xr.DataTree.from_dict({"/": xr.Dataset(), "/monthly": ds, "/daily": ds})
    tree.to_zarr(tmp_path / "t.zarr", zarr_format=3, consolidated=False)
    found = inspect(f"file://{tmp_path}/t.zarr")
    assert found.groups == ("daily", "monthly")
    assert [each.name for each in found.arrays] == ["daily/tas", "monthly/tas"]
    assert all(each.stored for each in found.arrays)


def test_a_netcdf_file(ds: xr.Dataset, tmp_path: Path) -> None:
    """In the same terms, its compression too."""
    encoding = {"tas": {"zlib": True, "complevel": 4, "chunksizes": (3, 4, 6)}}
    ds.to_netcdf(tmp_path / "f.nc", encoding=encoding)
    ds.to_netcdf(tmp_path / "f.nc", group="inner", mode="a")
    found = inspect(str(tmp_path / "f.nc"))
    assert found.kind == "NETCDF4"
    assert found.groups == ("inner",)
    tas = next(each for each in found.arrays if each.name == "tas")
    assert tas.chunks == (3, 4, 6)
    assert tas.compression == "shuffle, zlib level 4"
    assert tas.attributes["units"] == "K"
    assert found.dump()["arrays"][0]["chunk_bytes"]


def test_what_is_no_store(ds: xr.Dataset, tmp_path: Path) -> None:
    """Nothing there, a directory around stores, a file of another kind."""
    with pytest.raises(UnknownName, match="nothing is not there"):
        inspect("nothing")
    ds.to_zarr(tmp_path / "in.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(UsageError, match=r"there are stores in it: in\.zarr"):
        inspect(str(tmp_path))
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UsageError, match="no NetCDF file"):
        inspect(str(tmp_path / "notes.txt"))
