"""`pangeo-hpc` on a site of this machine alone, with runs that are really submitted."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pangeo_hpc.workflow.runs import RunFolder
from tests.unit.workflow.conftest import ROOT

SITE = """
name: here
scheduler: local
user_state: "{here}/state/{{user}}"
node_types:
  one: {{cores: 1, memory: 1 GiB, walltime: "00:10:00", max_walltime: "00:20:00"}}
scratch: {{scratch: {{root: {here}, path: "{here}/scratch/{{user}}"}}}}
"""

SCRIPT = """
import sys, time
import numpy as np
import dask.array as da
import xarray as xr
from pangeo_hpc import workflow

PACE, STUCK = float(sys.argv[2]), "stuck" in sys.argv

def root(block):
    time.sleep(PACE)
    # the third unit never ends
    while STUCK and block.max() > 20:
        time.sleep(0.1)
    return np.sqrt(block)

with workflow.start(cluster="dask" in sys.argv) as run:
    ds = xr.open_zarr(run.input("tas.zarr"))
    tas = ds.tas.copy(data=ds.tas.data.map_blocks(root, dtype="f8"))
    run.write_zarr(tas.to_dataset(), sys.argv[1])
"""
UNITS = 6


class Here:
    """The command line of a person who has a scratch, a repository, and an input."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.project = folder, folder / "project"
        for name in ("scratch", "home", "project"):
            (folder / name).mkdir()
        site = folder / "here.yaml"
        site.write_text(SITE.format(here=folder))
        self.script = self.project / "roots.py"
        self.script.write_text(SCRIPT)
        python_path = os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(ROOT)])
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": python_path,
            "HOME": str(folder / "home"),
            "PANGEO_HPC_SITE": str(site),
            "PANGEO_LOCALQUEUE_IDLE": "1",
            "A_TOKEN": "do-not-keep-me",
        }

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "pangeo_hpc", *words],
            env=self.environment,
            cwd=self.project,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *words: str, code: int = 0) -> tuple[str, str]:
        """Run a command to its end, expect its exit code, and return what it said."""
        with self.start(*words) as process:
            out, err = process.communicate(timeout=110)
        assert "Traceback" not in err, err
        assert process.returncode == code, f"{out}\n{err}"
        return out, err

    def json(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Run a command and return the JSON that it printed."""
        found: dict[str, Any] = json.loads(self(*words, "--json", code=code)[0])
        return found

    def run(self, name: str) -> RunFolder:
        """Return the folder of a run."""
        (path,) = self.folder.glob(f"state/*/runs/here/{name}")
        return RunFolder(path)

    @property
    def scratch(self) -> Path:
        """Return the person's scratch directory, which the first run makes."""
        (path,) = self.folder.glob("scratch/*")
        return path

    def put_input(self, value: float = 0.0) -> None:
        """Write the input as somebody else made it."""
        import numpy as np
        import xarray as xr

        place = Path(self("scratch", "path")[0].strip())
        place.mkdir(parents=True, exist_ok=True)
        values = np.arange(UNITS * 8.0).reshape(UNITS, 2, 4) + value
        coords = {"lat": [-1.0, 1.0], "lon": [0.0, 90.0, 180.0, 270.0]}
        ds = xr.Dataset({"tas": (("time", "lat", "lon"), values, {"units": "K"})}, coords)
        encoding = {"tas": {"chunks": (1, 2, 4)}}
        ds.to_zarr(
            place / "tas.zarr", mode="w", zarr_format=3, consolidated=False, encoding=encoding
        )

    def commit(self) -> None:
        """Make the project a git repository with one commit."""
        words = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        for command in (["init", "-q"], ["add", "."], [*words, "commit", "-q", "-m", "one"]):
            subprocess.run(["git", *command], cwd=self.project, check=True)


def until(true: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def kill_holder(folder: RunFolder) -> None:
    """Kill the process that computes a run."""
    newest = sorted((folder.path / "leases").glob("*.json"))[-1]
    os.kill(json.loads(newest.read_text())["pid"], signal.SIGKILL)
