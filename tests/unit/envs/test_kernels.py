"""Each environment is a kernel; a broken one is left out with its reason and stops nobody."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from pangeo_hpc.envs.kernels import PYTHON, LeftOut, kernels, write
from pangeo_hpc.run import Command, Result
from pangeo_hpc.site import Person, Site, load_site

BASE = """\
name: alpha
scheduler: local
node_types:
  one: {cores: 1, memory: 1 GiB, walltime: "01:00:00"}
"""

TWO = """\
environments:
  science: {prefix: /apps/science, modules: [netcdf/4.9], description: "Xarray, Dask"}
  Old: {prefix: /apps/old, default: true}
"""


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person("alice", 1001, 1001, "science", tmp_path)


def site_with(tmp_path: Path, environments: str) -> Site:
    path = tmp_path / "site.yaml"
    path.write_text(BASE + environments)
    return load_site(path, environ={"HOME": str(tmp_path), "PATH": ""})


def works(command: Command) -> Result:
    """Let every kernel start."""
    return Result(command.argv, 0)


def specs(folder: Path) -> dict[str, dict[str, object]]:
    """Return what Jupyter finds there."""
    return {
        path.parent.name: json.loads(path.read_text())
        for path in (folder / "kernels").glob("*/kernel.json")
    }


def test_the_default_environment_comes_first(tmp_path: Path, person: Person) -> None:
    """Notebooks keep the environment's name; people read its description, too."""
    offer = kernels(site_with(tmp_path, TWO), person)
    assert [kernel.name for kernel in offer.kernels] == ["old", "science"]
    assert [kernel.display_name for kernel in offer.kernels] == ["Old", "science: Xarray, Dask"]
    assert offer.default == "old"
    assert offer.left_out == ()


def test_the_chosen_one_comes_before_it(tmp_path: Path, person: Person) -> None:
    """Whoever asks for an environment gets it in new notebooks."""
    assert kernels(site_with(tmp_path, TWO), person, "science").default == "science"


def test_the_script_of_a_kernel(tmp_path: Path, person: Person) -> None:
    """The site's lines, then modules, PATH and variables, and at last the Python."""
    offer = kernels(
        site_with(tmp_path, TWO), person, "science",
        setup=["module use /apps/modules"], variables={"PANGEO_SCRATCH": "/scratch/a b"},
    )  # fmt: skip
    lines = offer.kernels[0].script.splitlines()
    assert lines[0] == "#!/bin/bash -l"
    assert lines[2:5] == [
        "module use /apps/modules || exit $?",
        "module load netcdf/4.9 || exit $?",
        'export PATH=/apps/science/bin:"$PATH"',
    ]
    assert "export PANGEO_SCRATCH='/scratch/a b'" in lines
    assert "export PYTHONNOUSERSITE=1" in lines
    assert lines[-1] == 'exec /apps/science/bin/python "$@"'


def test_without_environments_the_running_python(tmp_path: Path, person: Person) -> None:
    """It is the one kernel, and the one that notebooks from elsewhere ask for."""
    offer = kernels(site_with(tmp_path, ""), person)
    assert [(kernel.name, kernel.environment) for kernel in offer.kernels] == [(PYTHON, "current")]
    write(offer, tmp_path / "jupyter", runner=works)
    assert set(specs(tmp_path / "jupyter")) == {PYTHON}


def test_what_cannot_be_a_kernel_is_told(tmp_path: Path, person: Person) -> None:
    """One that is not built, and one whose name another has but for capitals."""
    (tmp_path / "env.yml").write_text("name: x\n")
    text = """\
environments:
  a: {prefix: /apps/a, default: true}
  A: {prefix: /apps/b}
  unbuilt: {spec: env.yml, root: /opt/envs}
"""
    offer = kernels(site_with(tmp_path, text), person, "unbuilt")
    assert [kernel.environment for kernel in offer.kernels] == ["a"]
    reasons = {each.environment: each.reason for each in offer.left_out}
    assert "not built" in reasons["unbuilt"]
    assert reasons["A"] == "environment a has the same name but for capitals"


def test_what_is_written(tmp_path: Path, person: Person) -> None:
    """A private script for each, and python3 for notebooks that come from elsewhere."""
    offer = write(kernels(site_with(tmp_path, TWO), person), tmp_path / "jupyter", runner=works)
    found = specs(tmp_path / "jupyter")
    assert set(found) == {"old", "science", PYTHON}
    launcher = tmp_path / "jupyter" / "launchers" / "old"
    assert launcher.stat().st_mode & 0o777 == 0o700
    assert found["old"]["argv"] == [
        str(launcher), "-m", "ipykernel_launcher", "-f", "{connection_file}"
    ]  # fmt: skip
    assert found[PYTHON]["argv"] == found["old"]["argv"]
    assert found[PYTHON]["display_name"] == "Python 3 (Old)"
    assert offer.default == "old"


def test_a_kernel_that_does_not_start_is_left_out(tmp_path: Path, person: Person) -> None:
    """The others are there, and the first of them is that of new notebooks."""

    def odd(command: Command) -> Result:
        if command.argv[0].endswith("old"):
            return Result(command.argv, 1, stderr="Traceback\nModuleNotFoundError: no ipykernel\n")
        return Result(command.argv, 0)

    offer = write(kernels(site_with(tmp_path, TWO), person), tmp_path / "jupyter", runner=odd)
    assert offer.default == "science"
    assert offer.left_out == (LeftOut("Old", "ModuleNotFoundError: no ipykernel"),)
    assert set(specs(tmp_path / "jupyter")) == {"science", PYTHON}


def test_no_kernel_at_all(tmp_path: Path, person: Person) -> None:
    """A server without kernels still starts: terminals and files are of use, too."""
    silent = kernels(site_with(tmp_path, TWO), person)
    offer = write(silent, tmp_path / "jupyter", runner=lambda c: Result(c.argv, None, seconds=90))
    assert (offer.kernels, offer.default) == ((), None)
    assert {each.reason for each in offer.left_out} == {"no answer within 90 s"}
    assert specs(tmp_path / "jupyter") == {}


@pytest.mark.slow
def test_on_this_machine(tmp_path: Path, person: Person) -> None:
    """A bare Python, a missing one, a module that is not there: each with a reason to act on."""
    venv.create(tmp_path / "bare", symlinks=True)
    text = f"""\
environments:
  good: {{prefix: {sys.prefix}, default: true}}
  bare: {{prefix: {tmp_path}/bare}}
  gone: {{prefix: /nowhere/at/all}}
  nomodule: {{prefix: {sys.prefix}, modules: [no/such/module]}}
"""
    offer = write(
        kernels(site_with(tmp_path, text), person), tmp_path / "jupyter", environ=dict(os.environ)
    )
    assert [kernel.name for kernel in offer.kernels] == ["good"]
    reasons = {each.environment: each.reason for each in offer.left_out}
    assert "No module named 'ipykernel'" in reasons["bare"]
    assert "/nowhere/at/all/bin/python is not there on" in reasons["gone"]
    assert "module" in reasons["nomodule"]


def test_conda_packages_are_activated(tmp_path: Path, person: Person) -> None:
    """What PROJ and GDAL put beside their libraries is run, so that they find their data."""
    prefix = tmp_path / "conda env"
    scripts = prefix / "etc" / "conda" / "activate.d"
    scripts.mkdir(parents=True)
    (prefix / "conda-meta").mkdir()
    (prefix / "bin").mkdir()
    (scripts / "proj4-activate.sh").write_text('export PROJ_DATA="$CONDA_PREFIX/share/proj"\n')
    python = prefix / "bin" / "python"
    python.write_text('#!/bin/sh\necho "$PROJ_DATA" "$1"\n')
    python.chmod(0o755)
    site = site_with(tmp_path, f"environments:\n  geo: {{prefix: '{prefix}'}}\n")
    write(kernels(site, person), tmp_path / "jupyter", runner=works)
    launcher = tmp_path / "jupyter" / "launchers" / "geo"
    done = subprocess.run([launcher, "-m"], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == f"{prefix}/share/proj -m\n"
