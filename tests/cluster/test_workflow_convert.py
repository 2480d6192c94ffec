"""NetCDF files become one Zarr store: as a job over two nodes, and on the machine itself."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests.cluster.sites import CommandLine
from tests.cluster.users import ClusterUser

pytestmark = pytest.mark.usefixtures("anew")


def months(folder: Path) -> tuple[list[str], xr.Dataset]:
    """Write two files of which the second comes first, and return what they are together."""
    whole = xr.Dataset(
        {"tas": (("time", "y", "x"), np.random.default_rng(1).random((60, 8, 9)).astype("f4"))},
        {"time": np.datetime64("2001-01-01", "ns") + np.arange(60) * np.timedelta64(1, "D")},
    )
    folder.mkdir(exist_ok=True)
    paths = [folder / "b.nc", folder / "a.nc"]
    for path, part in zip(paths, (slice(0, 31), slice(31, 60)), strict=True):
        whole.isel(time=part).to_netcdf(path, unlimited_dims=["time"])
        path.chmod(0o644)
    return [str(path) for path in paths], whole


def follows(folder: Path, whole: xr.Dataset) -> str:
    """Write a file with thirty days more."""
    later = whole.isel(time=slice(30)).assign_coords(
        time=whole.time.values[-1] + np.arange(1, 31) * np.timedelta64(1, "D")
    )
    later.to_netcdf(folder / "c.nc", unlimited_dims=["time"])
    (folder / "c.nc").chmod(0o644)
    return str(folder / "c.nc")


def test_a_job_converts(cli: CommandLine, alice: ClusterUser) -> None:
    """`data convert` with a node type is a job; what it writes is what the files hold.

    So is what follows: it is added by a job of the same run, once.
    """
    paths, whole = months(cli.here / "months")
    plan = cli.json("data", "convert", *paths, "months.zarr", "--dry-run")
    assert (plan["steps"], plan["gaps"], plan["kind"]) == (60, [], "NetCDF")
    assert not (alice.scratch / "months.zarr").exists()
    cli(
        "data", "convert", *paths, "months.zarr", "--node-type", "compute", "--nodes", "2", "--wait"
    )
    with xr.open_zarr(alice.scratch / "months.zarr", chunks=None) as ds:
        xr.testing.assert_equal(ds.load(), whole)
    told = cli.json("data", "inspect", str(alice.scratch / "months.zarr"))
    assert (told["state"], told["dims"]["time"]) == ("complete", 60)
    assert cli.json("runs", "show", "convert-months")["attempts"][0]["state"] == "completed"
    more = follows(cli.here / "months", whole)
    added = cli.json("data", "convert", *paths, more, "months.zarr", "--append", "--dry-run")
    assert (added["there"]["steps"], added["adds"]) == (60, 30)
    words = ("data", "convert", *paths, more, "months.zarr", "--append")
    cli(*words, "--node-type", "compute", "--wait")
    with xr.open_zarr(alice.scratch / "months.zarr", chunks=None) as ds:
        grown = ds.load()
    xr.testing.assert_equal(grown.isel(time=slice(60)), whole)
    with xr.open_dataset(more) as ds:
        xr.testing.assert_equal(grown.isel(time=slice(60, None)), ds.load())
    assert cli(*words, "--node-type", "compute").stdout.endswith("nothing to add\n")
    assert len(cli.json("runs", "show", "convert-months")["attempts"]) == 2
    bad = cli("data", "convert", paths[0], paths[0] + "x", "bad.zarr", "-t", "compute", code=2)
    assert "is not there" in bad.stderr
