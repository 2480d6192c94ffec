"""Adaptive scaling on the real Slurm, where each job waits ten seconds for its start."""

import pytest

from tests.cluster.adaptive import measure
from tests.cluster.face import Cluster
from tests.cluster.sites import CommandLine
from tests.cluster.test_dask import no_job_left, queue  # noqa: F401 - a fixture
from tests.cluster.users import ClusterUser


@pytest.mark.usefixtures("no_job_left")  # jobs that have just begun may be cancelled at the end
def test_whole_jobs_against_a_queue(cluster: Cluster, cli: CommandLine, alice: ClusterUser) -> None:
    """All tasks end, each begun once, with no more jobs than they need and no cancel before.

    Jobs of 1, 2 and 4 workers; 4, 8 and 40 tasks of some seconds; at most four jobs at once.
    """
    outcomes = measure(cli, cluster.interface, "ours")
    assert [outcome for outcome in outcomes if not outcome.fine] == []
    assert queue(alice) == {}
