"""`workflow.reduce` over the nodes of a real job."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests.cluster.sites import CommandLine
from tests.cluster.users import ClusterUser

pytestmark = pytest.mark.usefixtures("anew")

STEPS = 72

SCRIPT = """\
import json, os
import xarray as xr
import zarr
from pangeo_hpc import workflow
from pangeo_hpc.workflow import reduce
from pangeo_hpc.workflow.reduce import graph, plan

plan.TARGET, graph.HELD_AT_MOST = 1, 1  # as if the data were large

def told():
    import zarr
    return zarr.config.get("threading.max_workers")

with workflow.start() as run:
    ds = xr.open_zarr(run.input("monthly.zarr"))
    run.write_zarr(reduce.anomaly(ds.tas).to_dataset(), "less.zarr", along="time", unit=12)
    means = {"monthly": reduce.climatology(ds.tas), "whole": reduce.spatial_mean(ds.tas)}
    run.write_zarr(xr.Dataset(means), "means.zarr")
    threads = list(run.client.nthreads().values())
    workers = list(run.client.run(told).values())
    print("found " + json.dumps([threads, workers]), flush=True)
"""


def field() -> xr.Dataset:
    values = np.random.default_rng(2).normal(280, 9, (STEPS, 8, 6)).astype("f4")
    values[:, 3, 2] = np.nan
    coords = {
        "time": xr.date_range("1990-01-01", periods=STEPS, freq="MS", calendar="noleap"),
        "lat": np.linspace(-80, 80, 8),
        "lon": np.arange(6.0),
    }
    return xr.Dataset({"tas": (("time", "lat", "lon"), values)}, coords)


def test_two_nodes_equal_xarray(cli: CommandLine, alice: ClusterUser) -> None:
    """Anomalies in units, a climatology and a spatial mean; Zarr has each worker's own threads."""
    alice.run(["mkdir", "-p", str(alice.scratch)])
    store = alice.scratch / "monthly.zarr"
    shutil.rmtree(store, ignore_errors=True)
    encoding = {"tas": {"chunks": (6, 8, 6)}}
    field().to_zarr(store, zarr_format=3, consolidated=False, encoding=encoding)
    for path in (store, *store.rglob("*")):
        os.chown(path, alice.uid, alice.gid)
    script = str(cli.script("means.py", SCRIPT))
    cli("submit", script, "--name", "means", "--nodes", "2", "--wait")
    tas = field().tas
    groups = tas.groupby("time.month")
    with xr.set_options(use_numbagg=False):
        month = groups.mean("time")
        wanted = {
            "less": groups - month,
            "monthly": month,
            "whole": tas.weighted(np.cos(np.deg2rad(tas.lat))).mean(["lat", "lon"]),
        }
    less, means = opened(alice.scratch / "less.zarr"), opened(alice.scratch / "means.zarr")
    for name, found in (("less", less.tas), ("monthly", means.monthly), ("whole", means.whole)):
        np.testing.assert_allclose(found.values, wanted[name].values, rtol=1e-5, atol=1e-4)
    line = cli("runs", "logs", "means").stdout.partition("found ")[2].splitlines()[0]
    threads, decoding = json.loads(line)
    assert len(threads) >= 2
    assert sorted(decoding) == sorted(max(2, number) for number in threads)


def opened(path: Path) -> xr.Dataset:
    with xr.open_zarr(path, chunks=None) as ds:
        return ds.load()
