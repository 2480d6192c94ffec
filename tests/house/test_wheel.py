"""The built wheel carries what the checkout carries."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and return the folder it was unpacked to."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True, timeout=110)
    (wheel,) = out.glob("pangeo_hpc-*.whl")
    zipfile.ZipFile(wheel).extractall(out / "unpacked")
    return out / "unpacked"


def test_data_is_in_the_wheel(unpacked: Path) -> None:
    """Every site YAML and every environment spec of the checkout is in the wheel, byte by byte."""
    for folder in ("site-configs", "conda-envs"):
        here = {p.name: p.read_bytes() for p in (ROOT / folder).iterdir() if p.is_file()}
        there = {p.name: p.read_bytes() for p in (unpacked / "pangeo_hpc/_data" / folder).iterdir()}
        assert here
        assert there == here


def test_pages_are_in_the_wheel(unpacked: Path) -> None:
    """What the hub and JupyterLab show is in the wheel: templates, and the prebuilt extension."""
    for folder in ("pangeo_hpc/hub/templates", "pangeo_hpc/server/jupyter"):
        here = {p.relative_to(ROOT) for p in (ROOT / folder).rglob("*") if p.is_file()}
        assert here
        assert all((unpacked / path).read_bytes() == (ROOT / path).read_bytes() for path in here)


def test_nothing_else_is_in_the_wheel(unpacked: Path) -> None:
    """The package, its metadata, and nothing beside them."""
    names = {p.name.partition("-")[0] for p in unpacked.iterdir()}
    assert names == {"pangeo_hpc"}
    assert (unpacked / "pangeo_hpc" / "py.typed").exists()


def test_a_shipped_site_loads_from_the_wheel(unpacked: Path, tmp_path: Path) -> None:
    """`--site NAME` finds a shipped site without any checkout."""
    code = (
        "import pangeo_hpc.cli.main as m; import sys; "
        f"assert m.__file__.startswith({str(unpacked)!r}), m.__file__; "
        "sys.exit(m.call(['--site', 'perlmutter', 'site', 'show']))"
    )
    environment = {**os.environ, "PYTHONPATH": str(unpacked), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "perlmutter" in done.stdout
