"""The demo from end to end on this machine, with its own queue and real Dask workers."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pangeo_hpc.demo import generated, monthly
from pangeo_hpc.demo.ensemble import ensemble


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_generated_data_on_this_machine(tmp_path: Path) -> None:
    """In under five minutes: the same numbers as in one process, a picture, and a report."""
    began = time.monotonic()
    environ = {name: value for name, value in os.environ.items() if "PANGEO" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "pangeo_hpc", "--site", "local", "demo", "--generated", "--json"],
        env={**environ, "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=290,
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 280
    assert "GENERATED DATA" in done.stderr
    report = json.loads(done.stdout)
    assert all(Path(path).exists() for path in report["paths"].values())
    assert report["stages"].keys() >= {"started", "script", "dask", "first_unit", "ended"}
    about = monthly.About(generated.ORIGIN, "any")
    expected = ensemble(monthly.merge(list(generated.generate()), about))
    with xr.open_zarr(report["paths"]["output"], chunks=None) as ds:
        for name in ("annual", "anomaly", "baseline", "models", "ensemble_mean", "ensemble_std"):
            np.testing.assert_allclose(ds[name], expected[name], rtol=0, atol=1e-9)
