"""`import pangeo_hpc` and `--help` load none of the heavy libraries."""

import json
import subprocess
import sys

import pytest

HEAVY = {
    "dask", "distributed", "xarray", "zarr", "numpy", "pandas", "jupyterhub", "pydantic", "rich",
    "yaml", "matplotlib", "jupyter_server", "tornado",
}  # fmt: skip


def loaded_after(code: str) -> set[str]:
    """Return the top-level modules loaded in a fresh Python after some code."""
    program = f"{code}\nimport sys, json; print('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_import_is_light() -> None:
    """Importing the package loads no library at all."""
    assert loaded_after("import pangeo_hpc") & (HEAVY | {"click"}) == set()


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["submit", "--help"], ["runs", "--help"],
              ["site", "--help"], ["nodes", "--help"], ["scratch", "path", "--help"],
              ["run", "--help"], ["demo", "--help"], ["lab", "--help"],
              ["lab", "start", "--help"], ["doctor", "--help"]],
    ids=" ".join,
)  # fmt: skip
def test_help_is_light(words: list[str]) -> None:
    """Help needs click and nothing heavier."""
    code = f"from pangeo_hpc.cli.main import call\nassert call({words!r}) == 0"
    modules = loaded_after(code)
    assert "click" in modules
    assert modules & HEAVY == set()
