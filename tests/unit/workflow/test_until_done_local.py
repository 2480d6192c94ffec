"""A run goes on until it is done, in real jobs of the local queue."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from getpass import getuser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from tests.unit.workflow.conftest import ROOT

pytestmark = pytest.mark.timeout(400)

SITE = """
name: here
scheduler: local
user_state: "{here}/state/{{user}}"
node_types:
  one: {{cores: 1, memory: 600 MiB, walltime: "00:10:00", max_walltime: "00:20:00"}}
scratch: {{scratch: {{root: {here}, path: "{here}/scratch/{{user}}"}}}}
"""

SCRIPT = """
import os, sys, time
from datetime import UTC, datetime
import dask
import dask.array as da
import numpy as np
import xarray as xr
from pangeo_hpc import workflow

def compute(block, block_info=None):
    unit = block_info[0]["array-location"][0][0] // 4
    with open(sys.argv[0] + ".log", "a") as log:
        log.write(f"{unit}\\n")
    react(unit)
    return np.sqrt(block)

values = da.from_array(np.arange(24.0 * 3).reshape(24, 3), chunks=(4, 3))
values = values.map_blocks(compute, dtype="f8", meta=np.zeros((0, 0)))
ds = xr.Dataset({"tas": (("time", "x"), values)})
# one unit after the other, so that it is known which is at work
dask.config.set(scheduler="synchronous")
with workflow.start(cluster=False) as run:
    run.write_zarr(ds, "out.zarr")
"""
UNITS = 6


class Here:
    """`pangeo-hpc` on a site of this machine alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "scratch").mkdir()
        (folder / "home").mkdir()
        self.site = folder / "here.yaml"
        self.site.write_text(SITE.format(here=folder))
        python_path = os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(ROOT)])
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": python_path,
            "HOME": str(folder / "home"),
            "PANGEO_HPC_SITE": str(self.site),
            "PYTHONWARNINGS": "error",
        }

    def __call__(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pangeo_hpc", *words],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def json(self, *words: str) -> dict[str, Any]:
        told = self(*words, "--json")
        found: dict[str, Any] = json.loads(told[told.index("{") : told.rindex("}") + 1])
        return found

    def script(self, react: str) -> str:
        path = self.folder / "script.py"
        lines = "".join(f"    {line}\n" for line in react.strip().splitlines())
        path.write_text(SCRIPT.replace("values =", f"def react(unit):\n{lines}\nvalues =", 1))
        return str(path)

    @property
    def computed(self) -> Counter[int]:
        log = self.folder / "script.py.log"
        return Counter(map(int, log.read_text().split() if log.exists() else ()))

    @property
    def run(self) -> Path:
        return self.folder / "state" / getuser() / "runs" / "here" / "script"

    def check(self) -> None:
        with xr.open_zarr(self.folder / "scratch" / getuser() / "out.zarr", chunks=None) as ds:
            found = ds.tas.values
        np.testing.assert_array_equal(found, np.sqrt(np.arange(72.0).reshape(24, 3)))


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


# the first attempt stops in time after two units, the second one is killed in its third
STOPS = """
attempt = int(os.environ["PANGEO_HPC_ATTEMPT"])
if attempt == 1 and unit == 1:
    run._entered.deadline.ends = datetime.now(UTC)
if attempt == 2 and unit == 4:
    os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
def test_attempts_follow_one_another_until_the_run_is_complete(here: Here) -> None:
    """After a stop in time and after SIGKILL; then no job is left, and the run is complete."""
    words = here("submit", here.script(STOPS), "--until-done", "--attempts", "5", "--wait")
    assert "run script: complete: attempt 3 completed the run" in words
    here.check()
    # only the unit in which the second attempt was killed was computed twice
    assert here.computed == Counter({**dict.fromkeys(range(UNITS), 1), 4: 2})
    told = here.json("runs", "show", "script")
    assert [each["exit_code"] for each in told["attempts"]] == [75, 137, 0]
    chain = told["until_done"]
    assert (chain["standing"], chain["ended"], chain["attempts"]) == ("complete", 3, 5)
    assert 0 < chain["core_hours"] < 0.1
    assert here.json("runs", "list")["runs"][0]["state"] == "completed"
    # the other two never began, and were dropped
    submitted = sorted((here.run / "attempts").iterdir())
    assert [(each / "begun").exists() for each in submitted] == [True] * 3 + [False] * 2
    assert not any((each / "output.log").exists() for each in submitted[3:])
    assert here("runs", "wait", "script").startswith("run script: complete")


@pytest.mark.slow
def test_it_stops_where_nothing_is_gained(here: Here) -> None:
    """75, and the reason; the jobs that waited are gone, and a new chain may begin."""
    react = """
if os.environ["PANGEO_HPC_ATTEMPT"] in ("1", "2") and unit == 2:
    raise SystemExit(75)
"""
    words = here("submit", here.script(react), "--until-done", "--wait", code=75)
    assert "run script: stopped with work left: attempt 2 finished nothing; at work " in words
    assert "unit-000002 of out.zarr" in words
    assert here.computed[2] == 2
    words = here("submit", str(here.folder / "script.py"), "--until-done", "--wait")
    assert "complete" in words
    here.check()


def test_it_stops_at_an_error(here: Here) -> None:
    """1, the script's own words, and no second try."""
    react = "raise ValueError('no such variable')"
    words = here("submit", here.script(react), "--until-done", "--wait", code=1)
    assert "ValueError: no such variable" in words
    assert "run script: failed: attempt 1 failed with exit code 1" in words
    assert len(here.computed) == 1
    assert here.json("runs", "show", "script")["until_done"]["standing"] == "failed"


def test_cancelling_ends_the_whole_chain(here: Here) -> None:
    """The attempt at work and all that would follow."""
    react = "import pathlib; pathlib.Path('begun').touch(); time.sleep(60)"
    told = here("submit", here.script(react), "--until-done", "--attempts", "3")
    assert "up to 2 follow until it is done" in told
    again = here("submit", str(here.folder / "script.py"), code=4)
    assert "run script is" in again
    here("runs", "cancel", "script")
    words = here("runs", "wait", "script", code=1)
    assert "failed: cancelled by `pangeo-hpc runs cancel`" in words
    # the chain is over at once, and the attempt at work a moment later
    end = time.monotonic() + 180
    while here.json("runs", "show", "script")["attempts"][0]["state"] != "cancelled":
        assert time.monotonic() < end
    kept = [json.loads(path.read_text()) for path in sorted(here.run.glob("attempts/*/job.json"))]
    assert [job["final"]["state"] for job in kept] == ["cancelled"] * 3


def test_core_hours_are_a_limit(here: Here) -> None:
    """An attempt stops when they are used, although its walltime would go on; nothing follows."""
    limit = ("--until-done", "--core-hours", "0.0001")
    words = here("submit", here.script("pass"), *limit, "--wait", code=75)
    assert "core-hours were used, and 0.0001 are allowed" in words
    # what is left of them is the attempt's deadline, so that it stopped before its first unit
    assert not here.computed
    assert len(list(here.run.glob("attempts/*/begun"))) == 1


def test_options_go_together(here: Here) -> None:
    """A limit without --until-done is a mistake; a preview shows what the job looks at first."""
    path = here.script("pass")
    assert "limit --until-done" in here("submit", path, "--attempts", "3", code=2)
    assert "not between 1 and 100" in here(
        "submit", path, "--until-done", "--attempts", "0", code=2
    )
    shown = here("submit", path, "--until-done", "--dry-run")
    assert "pangeo_hpc.workflow.until_done.job" in shown
    assert not here.run.exists()
