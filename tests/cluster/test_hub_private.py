"""A hub at a site that hides users' jobs from one another, and so from the hub's own account."""

from collections.abc import Iterator

import pytest

from tests.cluster.daemons import tail, wait_until
from tests.cluster.hub import ACCOUNT, AT_ONCE, HubRunner, ensure_hub_machine
from tests.cluster.machine import call
from tests.cluster.slurm import SlurmCluster
from tests.cluster.stream import Stream

PLAIN = {"node_type": "compute", "cores": 1, "memory": "1 GiB"}


@pytest.fixture(scope="module")
def hub(cluster: SlurmCluster) -> Iterator[HubRunner]:
    """Return a hub that neither queue nor history tell anything of its users' jobs."""
    ensure_hub_machine()
    with (
        cluster.configured("PrivateData=jobs,usage"),
        HubRunner(cluster, extra_config=AT_ONCE) as runner,
    ):
        yield runner


def test_users_are_asked_where_jobs_are_private(hub: HubRunner, cluster: SlurmCluster) -> None:
    """Waiting is told with its reason, a server comes up, is found again, and its end is told."""
    hub.begin_anew("alice")
    alice = hub.client("alice")
    assert alice.spawn("alice", options=PLAIN) in (201, 202), alice.said

    def ready() -> bool:
        return bool((alice.server("alice") or {}).get("ready"))

    assert wait_until(ready, 180, every=0.5), tail(hub.log, 60)
    later = PLAIN | {"option.begin": "now+600"}
    assert alice.spawn("alice", "later", later) in (201, 202), alice.said
    stream = Stream(alice, "alice", "later")
    assert stream.says("waits in the queue compute")["words"] == "BeginTime"
    assert seen_by_the_hub(cluster) == "", "else this would test nothing"
    job, waiting = running(cluster), stream.job()

    with hub.down():
        pass
    alice = hub.client("alice")
    assert wait_until(ready, 180, every=0.5), tail(hub.log, 60)
    # one that has just been found again may still be busy with its first answers
    assert wait_until(lambda: alice.open("/user/alice/lab")[0] == 200, 60, every=1)
    stream = Stream(alice, "alice", "later")
    assert stream.says("waits in the queue compute")["job"] == waiting

    cluster.admin(["scancel", waiting])
    _, event = stream.failed()
    assert "cancelled" in event["message"], event
    assert running(cluster) == job
    cluster.admin(["scancel", job])
    assert wait_until(lambda: not ready(), 120, every=0.5), tail(hub.log, 60)


def seen_by_the_hub(cluster: SlurmCluster) -> str:
    """Return the jobs that the hub's account sees."""
    conf = [f"{name}={value}" for name, value in cluster.environment().items()]
    return call(["runuser", "-u", ACCOUNT, "--", "env", *conf, "squeue", "-h"]).strip()


def running(cluster: SlurmCluster) -> str:
    """Return the job that runs."""
    return cluster.admin(["squeue", "-h", "-t", "R", "-o", "%i"]).strip()
