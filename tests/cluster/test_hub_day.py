"""A scientist's day at the hub: form, notebook, Dask workers as jobs, real CMIP6 data, Zarr."""

import json
import re
from collections.abc import Iterator

import netCDF4
import numpy as np
import pytest

from tests.browser import Browser as Notebook
from tests.cluster import machine
from tests.cluster.daemons import tail, wait_until
from tests.cluster.hub import Browser, HubRunner, ensure_hub_machine
from tests.cluster.slurm import SlurmCluster
from tests.cluster.users import ClusterUser

ENVIRONMENTS = f"""\
environments:
  pangeo: {{prefix: {machine.VENV}, description: Xarray and Dask, default: true}}
  broken: {{prefix: /nowhere/at/all, description: Gone}}
"""

# Real CMIP6 data; workers are jobs of their own, on other nodes than the notebook's.
CLIMATOLOGY = """\
import glob, importlib.util, json
import xarray as xr
import pangeo_hpc

found = importlib.util.find_spec("esmvaltool_sample_data").submodule_search_locations[0]
path = sorted(glob.glob(f"{found}/**/ta_Amon_*.nc", recursive=True))[0]
with pangeo_hpc.start_cluster("compute", workers=2) as cluster:
    client = cluster.get_client()
    client.wait_for_workers(2)
    ta = xr.open_dataset(path, chunks={"time": 60}).ta
    climatology = ta.groupby("time.month").mean("time").to_dataset()
    out = pangeo_hpc.scratch.path("climatology.zarr")
    climatology.drop_encoding().to_zarr(out, mode="w", zarr_format=3, consolidated=False)
print("TOLD", json.dumps([path, str(out)]))
"""

COMPARE = """\
import sys
import numpy as np, xarray as xr
with xr.open_zarr(sys.argv[1], consolidated=False) as ds:
    np.save(sys.argv[2], ds.ta.values)
"""


@pytest.fixture(scope="module")
def hub(cluster: SlurmCluster) -> Iterator[HubRunner]:
    """Return a hub whose site has one environment that works and one that is broken."""
    ensure_hub_machine()
    with HubRunner(cluster, extra_site=ENVIRONMENTS) as runner:
        yield runner


@pytest.mark.timeout(1200)
def test_a_day(hub: HubRunner, cluster: SlurmCluster, alice: ClusterUser) -> None:
    """Form, notebook, workers in the queue, the right numbers on scratch, and nothing left."""
    hub.begin_anew("alice")
    browser = hub.client("alice")
    spawn_by_form(browser, {"node_type": "compute", "cores": "2", "memory": "3 GiB"})

    def ready() -> bool:
        return bool((browser.server("alice") or {}).get("ready"))

    assert wait_until(ready, 180, every=0.5), tail(hub.log, 60)
    notebook = Notebook(f"{hub.url}/user/alice/lab?token={token(browser)}")
    # a broken environment is no kernel, and keeps no server from starting
    assert notebook.kernels() == {
        "pangeo": "pangeo: Xarray and Dask",
        "python3": "Python 3 (pangeo)",
    }
    seen: set[str] = set()
    try:
        path, out = watching(cluster, seen, notebook)
    except ConnectionError as error:
        raise AssertionError(f"{error}\n{tail(hub.log, 60)}") from error
    assert len(seen) == 3, seen
    np.testing.assert_allclose(written(alice, out), reference(path), rtol=1e-6)
    assert out == str(alice.scratch / "climatology.zarr")
    assert browser.stop("alice") in (202, 204)
    assert wait_until(lambda: not queue(cluster), 120), cluster.admin(["squeue"])


def spawn_by_form(browser: Browser, choices: dict[str, str]) -> None:
    """Fill the form as a person does, and press Start."""
    status, page = browser.open("/hub/spawn")
    assert status == 200 and 'name="node_type"' in page, page[:3000]
    action = re.search(r'id="spawn_form"[^>]*action="([^"]+)"', page, re.S)
    assert action, page[:3000]
    hidden = re.search(r'name="_xsrf" value="([^"]+)"', page)
    assert hidden, page[:3000]
    sent = {**choices, "_xsrf": hidden[1].replace("&amp;", "&")}
    status, page = browser.open(action[1].replace("&amp;", "&"), sent)
    assert "/hub/spawn-pending/" in browser.where or "/user/" in browser.where, (
        status,
        page[:3000],
    )


def token(browser: Browser) -> str:
    """Return a token of the user's, as the hub's page makes them."""
    return str(
        browser.json("/hub/api/users/alice/tokens", body={"note": "test"}, method="POST")["token"]
    )


def watching(cluster: SlurmCluster, seen: set[str], notebook: Notebook) -> list[str]:
    """Run the notebook, and note meanwhile which jobs are in the queue."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        printed = pool.submit(notebook.compute, CLIMATOLOGY, "pangeo", seconds=400)

        def done() -> bool:
            # elements that wait are one row: 2_[0-1]
            seen.update(each for each in queue(cluster) if "[" not in each)
            return printed.done()

        assert wait_until(done, 410, every=0.5)
        line = re.search(r"^TOLD (.*)$", printed.result(), re.M)
        assert line, printed.result()
        found: list[str] = json.loads(line[1])
        return found


def queue(cluster: SlurmCluster) -> list[str]:
    """Return the ids of all jobs in the queue."""
    return cluster.admin(["squeue", "-h", "-o", "%i"]).split()


def reference(path: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    """Return the month means of a file, by NumPy alone."""
    with netCDF4.Dataset(path) as data:
        ta = np.ma.filled(data["ta"][:].astype("float64"), np.nan)
    years = ta.shape[0] // 12
    found: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = np.nanmean(
        ta[: years * 12].reshape(years, 12, *ta.shape[1:]), axis=0
    )
    return found


def written(user: ClusterUser, out: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    """Return what stands on scratch, as any reader of Zarr sees it."""
    script = user.shared / "compare.py"
    script.write_text(COMPARE)
    script.chmod(0o644)
    file = user.scratch / "result.npy"
    user.run(["python", str(script), out, str(file)], timeout=120)
    found: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = np.load(file)
    return found
