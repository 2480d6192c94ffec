"""A job that is requeued on the real Slurm, and is to run again at once."""

from contextlib import suppress

from tests.cluster.errors import ClusterError
from tests.cluster.face import Cluster


def shown(cluster: Cluster, job: str, name: str) -> str:
    """Return what `scontrol show job` tells of a job under this name."""
    text = cluster.admin(["scontrol", "--oneliner", "show", "job", job])
    return text.partition(f" {name}=")[2].split()[0]


def run_again(cluster: Cluster, job: str) -> str:
    """Let a job that waits or failed start now, which Slurm would delay by two minutes.

    Return the state in which it was found. A node that has not yet put away the attempt before
    fails the next one at its launch, or has it held (22.05).
    """
    state = shown(cluster, job, "JobState")
    # it may just begin or end by itself
    with suppress(ClusterError):
        if state == "FAILED":
            cluster.admin(["scontrol", "requeue", job])
        if state == "PENDING":
            cluster.admin(["scontrol", "update", f"jobid={job}", "starttime=now"])
            if "held" in shown(cluster, job, "Reason"):
                cluster.admin(["scontrol", "release", job])
    return state
