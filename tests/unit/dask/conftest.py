"""A small site whose state is in a temporary folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pangeo_hpc.site import Site, load_site

SITE = """\
name: testing
scheduler: {scheduler}
user_state: "{state}/{{user}}"
node_types:
  small:
    default: true
    cores: 2
    memory: 2 GiB
    walltime: "00:30:00"
    max_walltime: "01:00:00"
    max_jobs: 4
  large:
    cores: 8
    memory: 16 GiB
    walltime: "00:30:00"
    uses: [batch]
  cut:
    cores: 2
    memory: 2 GiB
    walltime: "00:30:00"
    dask: {{processes: 2, threads: 1}}
"""


@pytest.fixture(autouse=True)
def no_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Run outside any job, with temporary files where a test can look for them."""
    temporary = outside_jobs(monkeypatch, tmp_path)
    yield
    assert list(temporary.iterdir()) == []


def outside_jobs(patch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Leave any job; return the folder for temporary files."""
    for name in ("SLURM_JOB_ID", "PBS_JOBID", "PANGEO_HPC_SITE", "PANGEO_HPC_RUN"):
        patch.delenv(name, raising=False)
    patch.setenv("HOME", str(folder / "home"))
    (folder / "home").mkdir()
    temporary = folder / "tmp"
    temporary.mkdir()
    patch.setenv("TMPDIR", str(temporary))
    patch.setattr("tempfile.tempdir", str(temporary))
    return temporary


def load(tmp_path: Path, scheduler: str) -> Site:
    path = tmp_path / "site.yaml"
    path.write_text(SITE.format(scheduler=scheduler, state=tmp_path / "state"))
    return load_site(path)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a site of one machine."""
    return load(tmp_path, "local")


@pytest.fixture
def slurm_site(tmp_path: Path) -> Site:
    """Return a site with a batch system."""
    return load(tmp_path, "slurm")
