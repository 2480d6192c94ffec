"""Environments on the real cluster: a prefix with modules, the same in jobs and workers."""

import subprocess
from pathlib import Path

import pytest

from tests.cluster.face import Cluster
from tests.cluster.sites import CommandLine

pytestmark = pytest.mark.usefixtures("anew")

MODULE = """\
#%Module
setenv NETCDF_DIR /opt/netcdf/4.9
"""

PROGRAM = """\
import os, sys
from pangeo_hpc import workflow

print("here", sys.prefix, os.environ.get("NETCDF_DIR"), os.environ.get("PYTHONNOUSERSITE"))
if sys.argv[1:] == ["workers"]:
    with workflow.start() as run:
        for prefix in run.client.run(lambda: __import__("sys").prefix).values():
            print("worker", prefix)
        for value in run.client.run(lambda: __import__("os").environ.get("NETCDF_DIR")).values():
            print("worker", value)
        for path in run.client.run(lambda: __import__("os").environ["PANGEO_SCRATCH"]).values():
            print("worker", path)
"""


@pytest.fixture(scope="module")
def site(cli: CommandLine, cluster: Cluster, venv: Path) -> Path:
    """A site with an installed environment, which needs a module of the site's module system."""
    modules = cluster.directory / "modules"
    (modules / "netcdf").mkdir(parents=True, exist_ok=True)
    (modules / "netcdf" / "4.9").write_text(MODULE)
    bare = cluster.directory / "bare"
    command = ["/usr/bin/python3", "-m", "venv", "--without-pip", str(bare)]
    subprocess.run(command, check=True, timeout=300)
    lines = f"""\
environments:
  science: {{prefix: {venv}, modules: [netcdf/4.9], default: true}}
  nomodule: {{prefix: {venv}, modules: [netcdf/99]}}
  bare: {{prefix: {bare}}}
  gone: {{prefix: /nowhere/at/all}}
"""
    text = cli.site.read_text()
    text = text.replace(
        "    queue: compute\n", f'    queue: compute\n    setup: ["module use {modules}"]\n'
    )
    path = cluster.directory / "environments.yaml"
    path.write_text(text + lines)
    path.chmod(0o644)
    return path


def test_a_prefix_with_modules(cli: CommandLine, site: Path, venv: Path) -> None:
    """The job runs the prefix's Python, with its module loaded and without the user's own site."""
    script = str(cli.script("prefix.py", PROGRAM))
    cli("--site", str(site), "submit", script, "--wait")
    said = cli("--site", str(site), "runs", "logs", "prefix").stdout
    assert f"here {venv} /opt/netcdf/4.9 1\n" in said


def test_workers_have_the_same(cli: CommandLine, site: Path, venv: Path) -> None:
    """Dask workers on both nodes run the same Python, with the module and scratch."""
    script = str(cli.script("prefix.py", PROGRAM))
    words = ("submit", script, "--name", "both", "--nodes", "2", "--wait", "--", "workers")
    cli("--site", str(site), *words)
    said = cli("--site", str(site), "runs", "logs", "both").stdout.splitlines()
    assert said.count(f"worker {venv}") == 2
    assert said.count("worker /opt/netcdf/4.9") == 2
    assert said.count(f"worker {cli.user.scratch}") == 2


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nomodule", "netcdf/99"),
        ("bare", "bare/bin/python cannot import pangeo_hpc"),
        ("gone", "environment gone: /nowhere/at/all/bin/python is not there"),
    ],
)
def test_a_broken_environment_is_named(cli: CommandLine, site: Path, name: str, says: str) -> None:
    """A job whose environment cannot be used ends at its head, and the user sees why."""
    script = str(cli.script("unreached.py", "print('reached')\n"))
    words = ("submit", script, "--env", name, "--name", f"env-{name}", "--wait")
    done = cli("--site", str(site), *words, code=1)
    assert says in done.stderr
    assert "reached" not in done.stderr
