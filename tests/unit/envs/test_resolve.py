"""Which Python a job runs, and how a broken one is told."""

import subprocess
import sys
from pathlib import Path

import pytest

from pangeo_hpc import envs
from pangeo_hpc.errors import UnknownName, UsageError
from pangeo_hpc.site import Person, Site, load_site

BASE = """\
name: alpha
scheduler: local
node_types:
  one: {cores: 1, memory: 1 GiB, walltime: "01:00:00"}
"""


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person("alice", 1001, 1001, "science", tmp_path)


def site_with(tmp_path: Path, environments: str) -> Site:
    path = tmp_path / "site.yaml"
    path.write_text(BASE + environments)
    return load_site(path, environ={"HOME": str(tmp_path), "PATH": ""})


def shell(lines: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
    """Run setup lines as a job's shell would."""
    script = "\n".join((*lines, "echo reached"))
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)


def test_without_environments_the_running_python(tmp_path: Path, person: Person) -> None:
    """A site that names none uses the Python of the command, under the name `current`."""
    site = site_with(tmp_path, "")
    found = envs.resolve(site, None, person)
    assert (found.name, found.python) == ("current", Path(sys.executable))
    assert found == envs.resolve(site, "current", person)
    with pytest.raises(UnknownName, match="names no environments"):
        envs.resolve(site, "science", person)


def test_a_prefix(tmp_path: Path, person: Person) -> None:
    """Modules first, then the prefix in front of PATH, then the check."""
    prefix = "environments:\n  sci: {prefix: '/apps/{user}/env', modules: [netcdf/4.9]}\n"
    found = envs.resolve(site_with(tmp_path, prefix), None, person)
    assert found.python == Path("/apps/alice/env/bin/python")
    assert found.setup[0] == "module load netcdf/4.9"
    assert found.setup[1] == 'export PATH=/apps/alice/env/bin:"$PATH"'
    assert found.variables == {"PYTHONNOUSERSITE": "1"}


def test_a_spec_that_is_not_built(tmp_path: Path, person: Person) -> None:
    """Exit code 2, and the way out by `prefix:`."""
    (tmp_path / "env.yml").write_text("name: x\n")
    site = site_with(tmp_path, "environments:\n  new: {spec: env.yml, root: /opt/envs}\n")
    with pytest.raises(UsageError, match="prefix:"):
        envs.resolve(site, None, person)


def test_a_good_one_passes(tmp_path: Path, person: Person) -> None:
    """The check says nothing of an environment that works."""
    found = envs.resolve(site_with(tmp_path, ""), None, person)
    done = shell(found.setup)
    assert (done.returncode, done.stdout, done.stderr) == (0, "reached\n", "")


def program(tmp_path: Path, text: str) -> str:
    """Make a prefix whose Python is a shell script."""
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{text}\n")
    python.chmod(0o755)
    return f"environments:\n  odd: {{prefix: '{tmp_path}/env'}}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "echo Traceback >&2; echo \"ModuleNotFoundError: No module named 'x'\" >&2; exit 1",
            "cannot import pangeo_hpc 0.1: ModuleNotFoundError: No module named 'x'\n",
        ),
        ("exit 1", "cannot import pangeo_hpc 0.1: \n"),
    ],
)
def test_a_broken_one_is_named(tmp_path: Path, person: Person, text: str, says: str) -> None:
    """The job ends at its head, with the reason in one line."""
    found = envs.resolve(site_with(tmp_path, program(tmp_path, text)), None, person)
    done = shell(found.setup)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.endswith(says)
    assert done.stderr.startswith("pangeo-hpc: environment odd: ")


def test_one_that_is_gone_is_named(tmp_path: Path, person: Person) -> None:
    """A prefix that the node does not see is told with the node's name."""
    site = site_with(tmp_path, "environments:\n  gone: {prefix: /nowhere}\n")
    done = shell(envs.resolve(site, None, person).setup)
    assert done.returncode == 3
    assert "/nowhere/bin/python is not there on" in done.stderr
