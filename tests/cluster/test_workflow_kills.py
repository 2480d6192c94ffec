"""Killed at any moment, in any way, a run ends as if nothing had happened."""

import os
import random

import pytest

from tests.cluster.errors import ClusterError
from tests.cluster.kills import KINDS, Killed
from tests.cluster.sites import CommandLine
from tests.cluster.slurm import SlurmCluster

pytestmark = [pytest.mark.own_daemons, pytest.mark.usefixtures("anew")]

KILLS = int(os.environ.get("PANGEO_HPC_KILLS", "5"))


@pytest.mark.timeout(300 + 60 * KILLS)
def test_kills_at_random_moments(cluster: SlurmCluster, cli: CommandLine) -> None:
    """Bit-equal values; only what was in flight is computed again; no stale attempt writes.

    `make soak` kills 30 times and prints the table that docs/walltime.md shows.
    """
    seed = int(os.environ.get("PANGEO_HPC_SEED", "6"))
    chance = random.Random(seed)
    kinds = [*KINDS, "slurmd alone"] * KILLS
    killed = Killed(cluster, cli, "killed-often", units=40 * KILLS, pace=0.4)
    try:
        for kind in kinds[:KILLS]:
            assert killed.kill(kind, chance), "it came to its end before all kills were made"
        killed.finish()
    except (AssertionError, ClusterError) as error:
        raise AssertionError(f"{error}\n{killed.story()}") from error
    killed.check()
    assert {death.kind for death in killed.deaths} == set(KINDS[:KILLS])
    assert any(death.lived_on for death in killed.deaths)
    print(f"\nseed {seed}\n{killed.table()}")
