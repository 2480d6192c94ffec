"""The demo as alice on the real Slurm: two nodes, real CMIP6 data, picture and report."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from pangeo_hpc.demo import data
from tests.cluster.sites import CommandLine
from tests.unit.demo.reference import annual_means

pytestmark = pytest.mark.usefixtures("anew")

# One with each calendar, and those with the most files and the longest years.
COMPARED = {"KACE-1-0-G", "IITM-ESM", "MIROC6", "EC-Earth3", "CESM2", "FGOALS-g3", "CanESM5"}


def check_output(report: dict[str, Any]) -> None:
    """Compare what is on scratch with plain NumPy, from the sample files themselves."""
    folder = data.find()
    assert folder is not None
    files = {each.model: each for each in data.catalogue(folder).models}
    with xr.open_zarr(report["paths"]["output"], chunks=None) as ds:
        assert set(ds.model.values) == set(files)
        for name in COMPARED:
            expected = annual_means(list(files[name].paths))
            found = ds.annual.sel(model=name).dropna("year")
            assert found.year.values.tolist() == list(expected)
            np.testing.assert_allclose(found, list(expected.values()), rtol=0, atol=1e-6)
        mean = np.nanmean(ds.annual.sel(year=slice(1950, 2014)).values, axis=0)
        ensemble = ds.ensemble_mean.sel(year=slice(1950, 2014))
        np.testing.assert_allclose(ensemble, mean, rtol=0, atol=1e-6)


def check_report(report: dict[str, Any], folder: Path) -> None:
    """Check what the report says, and that everything it names is there."""
    assert json.loads((folder / "report.json").read_text()) == report
    assert (folder / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert len(report["data"]["models"]) == 42
    assert len(report["data"]["left_out"]) == 4
    assert report["data"]["generated"] is False
    assert report["data"]["baseline_incomplete"] == {}
    assert len(report["job"]["nodes"]) == 2
    assert report["purge"]["days"] == 60
    assert report["bytes"]["output"] > 50_000
    for path in report["paths"].values():
        assert Path(path).exists()


def test_on_two_nodes(cli: CommandLine) -> None:
    """The demo ends with the right numbers, a picture and a report, and shows each stage."""
    out = cli.here / "demo"
    began = time.monotonic()
    done = cli("--json", "demo", "--nodes", "2", "-o", str(out))
    assert time.monotonic() - began < 300
    report = json.loads(done.stdout)
    check_report(report, out)
    check_output(report)
    assert report["job"]["core_hours"] > 0
    stages = ["merged", "submitted", "started", "script", "dask", "first_unit", "last_unit"]
    assert [stage for stage in report["stages"] if stage in stages] == stages
    assert report["submit_to_first_unit_seconds"] > 0
    for words in (
        "42 CMIP6 models",
        "not merged: EC-Earth3-Veg: ",
        "2 nodes with 2 cores each",
        "is running on",
        "has its Dask workers",
        "units are on scratch",
        "drawing the picture",
    ):
        assert words in done.stderr
    shown = cli.json("runs", "show", "demo")
    assert shown["progress"]["done"] == shown["progress"]["total"] == 15


def test_where_nodes_see_little(hard_cli: CommandLine) -> None:
    """The same where nodes see no /home, have no Slurm commands, and nobody keeps accounts."""
    out = hard_cli.here / "demo"
    report = json.loads(hard_cli("--json", "demo", "--nodes", "2", "-o", str(out)).stdout)
    check_report(report, out)
    check_output(report)


def test_somebody_stops_to_watch(cli: CommandLine) -> None:
    """The first line is there within 2 s; Ctrl-C ends the watching, and the job goes on."""
    words = ["pangeo-hpc", "demo", "--generated", "--option", "begin=now+120"]
    began = time.monotonic()
    watching = cli.user.popen(words, cwd=cli.here, env={"PANGEO_HPC_SITE": str(cli.site)})
    assert watching.stderr is not None
    lines = [watching.stderr.readline()]
    assert time.monotonic() - began < 2.0
    while "waits in the queue" not in lines[-1]:
        lines.append(watching.stderr.readline())
        assert lines[-1], "".join(lines)
    assert "BeginTime" in lines[-1]
    watching.send_signal(signal.SIGINT)
    _, rest = watching.communicate(timeout=60)
    assert watching.returncode == 130
    assert "goes on; see: pangeo-hpc runs show demo-generated" in rest
    try:
        last = cli.json("runs", "show", "demo-generated")["attempts"][-1]
        assert last["state"] == "pending"
    finally:
        cli("runs", "cancel", "demo-generated")


def test_a_job_that_fails(cli: CommandLine) -> None:
    """A cancelled job ends the demo with exit code 1 and says so."""
    words = ["pangeo-hpc", "demo", "--generated", "--option", "begin=now+120"]
    watching = cli.user.popen(words, cwd=cli.here, env={"PANGEO_HPC_SITE": str(cli.site)})
    assert watching.stderr is not None
    while "waits in the queue" not in watching.stderr.readline():
        assert watching.poll() is None
    cli("runs", "cancel", "demo-generated")
    _, rest = watching.communicate(timeout=120)
    assert watching.returncode == 1
    assert "cancelled" in rest
    assert "hint: all it printed: pangeo-hpc runs logs demo-generated" in rest


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--nodes", "9"), 2),
        (("--node-type", "computer"), 2),
        (("--option", "storage=x"), 2),
        (("-o", "/nowhere/at/all"), 5),
    ],
)
def test_bad_calls_end_before_anything_is_read(
    cli: CommandLine, words: tuple[str, ...], code: int
) -> None:
    """What cannot be is refused at once, in words."""
    began = time.monotonic()
    done = cli("demo", *words, code=code)
    assert time.monotonic() - began < 20
    assert "error: " in done.stderr
    assert "models read" not in done.stderr
