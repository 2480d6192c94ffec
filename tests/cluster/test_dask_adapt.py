"""Adaptive scaling on the real Slurm, where each job waits ten seconds for its start."""

import json
import math

import pytest

from tests.cluster.adaptive import MOST, PYTHON, SESSION, TASKS, Outcome, site_with_queue
from tests.cluster.sites import CommandLine
from tests.cluster.test_dask import no_job_left, nothing_left, queue  # noqa: F401 - fixtures
from tests.cluster.users import ClusterUser


@pytest.mark.usefixtures("nothing_left")
def test_whole_jobs_against_a_queue(cli: CommandLine, alice: ClusterUser) -> None:
    """All tasks end, with no more jobs than they need, and no cancel before they have.

    Jobs of 1, 2 and 4 workers; 4, 8 and 40 tasks of some seconds; at most four jobs at once.
    """
    site = site_with_queue(cli)
    script = cli.script("adapts.py", SESSION)
    environment = {"PANGEO_HPC_SITE": str(site)}
    words = [PYTHON, str(script), "3", json.dumps(TASKS)]
    done = alice.run(words, env=environment, cwd=cli.here, timeout=500)
    outcomes = [Outcome(**json.loads(line)) for line in done.stdout.splitlines()]
    assert len(outcomes) == 3 * len(TASKS), done.stdout + done.stderr
    for outcome in outcomes:
        said = f"{outcome}\n{done.stderr}"
        needed = min(MOST, math.ceil(outcome.tasks / outcome.processes))
        assert outcome.done == outcome.tasks, said
        assert outcome.jobs <= 1.2 * needed, said
        assert outcome.cancelled == 0, said
        assert outcome.starts == outcome.tasks, said
    assert queue(alice) == {}
