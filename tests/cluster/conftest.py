"""Fixtures of the cluster tests: started clusters and their users."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import browser, cgroups, machine
from tests.cluster.browser import chromium, page, plain_page, playwright
from tests.cluster.config import ClusterConfig
from tests.cluster.containers import attached
from tests.cluster.errors import ClusterError
from tests.cluster.face import Cluster
from tests.cluster.second_try import Desk
from tests.cluster.sites import CommandLine, command_line
from tests.cluster.slurm import SlurmCluster
from tests.cluster.users import ClusterUser

__all__ = ["chromium", "page", "plain_page", "playwright"]

PROJECT = Path(__file__).parents[2]

DESKS = pytest.StashKey[list[Desk]]()

SECONDS = 600
"""Time limit of a cluster test, which may include the start of the clusters."""


def pytest_report_header() -> str:
    """Say which Slurm this is and how it limits memory."""
    try:
        version = machine.call(["/usr/sbin/slurmd", "-V"]).strip()
    except ClusterError:
        return f"test cluster: Slurm is not installed; {machine.INSTALL} will do it"
    if attached.wanted():
        limits = attached.AttachedCluster().memory_limits
        return f"test cluster: {version}, attached, memory limits by {limits}"
    return f"test cluster: {version}, memory limits by {cgroups.probe()}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say where the pictures of pages are."""
    for line in browser.summary():
        terminalreporter.write_line(line)


@pytest.hookimpl(tryfirst=True)  # markers must be there before they are selected
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder the time that a cluster needs.

    Those that use a cluster made as they need it cannot run on one that is there.
    """
    here = Path(__file__).parent
    for item in items:
        if here not in item.path.parents:
            continue
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SECONDS))
        # a hub is started beside the daemons of one machine, and needs root there; of Dask and
        # of the workflow, the first file is enough to see that it works in containers
        needs_more = item.path.name.startswith(("test_hub", "test_dask_", "test_workflow_")) or (
            isinstance(item, pytest.Function) and "hard_cluster" in item.fixturenames
        )
        if needs_more:
            item.add_marker(pytest.mark.own_daemons)


@pytest.fixture(scope="session")
def venv() -> Path:
    """Return the virtual environment with the project's wheel, which every user can read."""
    return attached.venv(PROJECT) if attached.wanted() else machine.ensure_venv(PROJECT)


@pytest.fixture(scope="session")
def cluster(venv: Path) -> Iterator[Cluster]:
    """Return a cluster with accounting, shared homes, and all commands on the nodes.

    It starts with the tests, unless they run where one is to be used that is there.
    """
    with attached.AttachedCluster() if attached.wanted() else SlurmCluster() as started:
        yield started


@pytest.fixture(scope="session")
def hard_cluster(venv: Path) -> Iterator[SlurmCluster]:
    """Return a started cluster without accounting, homes or Slurm's commands on its nodes."""
    config = ClusterConfig(accounting=False, hide_home=True, commands_on_nodes=False)
    with SlurmCluster(config) as started:
        yield started


@pytest.fixture(scope="session")
def alice(cluster: Cluster) -> ClusterUser:
    """Return alice on the login side of the cluster; her accounts: climate, ocean."""
    return cluster.user("alice")


@pytest.fixture(scope="session")
def bob(cluster: Cluster) -> ClusterUser:
    """Return bob on the login side of the cluster; his account: climate."""
    return cluster.user("bob")


@pytest.fixture(scope="session")
def hard_alice(hard_cluster: SlurmCluster) -> ClusterUser:
    """Return alice on the login side of the hard cluster."""
    return hard_cluster.user("alice")


@pytest.fixture(scope="session")
def hard_bob(hard_cluster: SlurmCluster) -> ClusterUser:
    """Return bob on the login side of the hard cluster."""
    return hard_cluster.user("bob")


@pytest.fixture(scope="session")
def cli(cluster: Cluster, alice: ClusterUser) -> CommandLine:
    """Return `pangeo-hpc` as alice types it on the cluster."""
    return command_line(cluster, alice)


@pytest.fixture(scope="session")
def hard_cli(hard_cluster: SlurmCluster, hard_alice: ClusterUser) -> CommandLine:
    """Return `pangeo-hpc` as alice types it where the nodes do not see her home."""
    return command_line(hard_cluster, hard_alice)


@pytest.fixture
def anew(request: pytest.FixtureRequest) -> None:
    """Take away what a first try of this test left: its jobs, its runs and its files.

    What fixtures of the module have made is there before, and stays.
    """
    for desk in request.node.stash.get(DESKS, []):
        desk.clear()
    used = {"cluster", "hard_cluster"} & set(request.fixturenames)
    request.node.stash[DESKS] = [Desk.of(request.getfixturevalue(name)) for name in sorted(used)]
