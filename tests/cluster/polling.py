"""Follow real jobs as the hub does, and count what that asks of Slurm by its own sdiag."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pangeo_hpc.hub.desk import Desk
from pangeo_hpc.hub.office import Office
from pangeo_hpc.hub.poller import Poller
from pangeo_hpc.run import Command, Result, arun
from pangeo_hpc.schedulers import registry
from pangeo_hpc.site import load_site
from tests.cluster.slurm import SlurmCluster
from tests.cluster.users import ClusterUser

# The messages with which squeue asks for jobs.
JOB_QUERIES = ("REQUEST_JOB_INFO", "REQUEST_JOB_INFO_SINGLE", "REQUEST_JOB_USER_INFO")
HUB = """\
hub:
  url: http://127.0.0.1:8000
  connect_url: http://pangeo-hub:8081
  poll_interval: {interval} seconds
"""


def queries(cluster: SlurmCluster) -> int:
    """Return how often the controller was asked for jobs until now."""
    counts = cluster.sdiag_counts()
    return sum(counts.get(name, 0) for name in JOB_QUERIES)


def submit_sleepers(user: ClusterUser, number: int, *options: str) -> list[str]:
    """Submit small jobs that sleep, and return their ids."""
    words = " ".join(["sbatch", "--parsable", "--mem=50M", "--cpus-per-task=1", *options])
    script = f"for i in $(seq {number}); do {words} --wrap='sleep 600'; done"
    return user.run(["bash", "-c", script], timeout=120).stdout.split()


@dataclass
class Follower:
    """An office of a real site whose every call of another program is noted."""

    site: Path
    commands: list[Command] = field(default_factory=list)

    async def run(self, command: Command) -> Result:
        """Note a call and make it."""
        self.commands.append(command)
        return await arun(command)

    def office(self) -> Office:
        """Return an office; its desk is counted like the schedulers' commands."""
        site = load_site(self.site, schedulers=registry.names())
        desk = Desk(("/nowhere/pangeo-hpc-hub-job",), runner=self.run)
        return Office(site, desk, runner=self.run)


@dataclass(frozen=True)
class Cost:
    """What some seconds of following jobs asked: looks, RPCs by sdiag, programs, those by sudo."""

    seconds: float
    looks: int
    rpcs: int
    programs: int
    sudo: int


async def measure(
    follower: Follower,
    cluster: SlurmCluster,
    poller: Poller,
    seconds: float,
    *,
    whole: bool = False,
    begin: Callable[[], object] = lambda: None,
) -> Cost:
    """Return what the next seconds cost; nothing is asked of the poller meanwhile.

    `begin` is called when they begin. `whole` goes on to the next answer, so that no look is under
    way when they are counted.
    """
    looks, programs = poller.figures.questions, len(follower.commands)
    before = await asyncio.to_thread(queries, cluster)
    begin()
    await asyncio.sleep(seconds)
    if whole:
        await poller.next_answer()
    rpcs = await asyncio.to_thread(queries, cluster) - before
    mine: Sequence[Command] = follower.commands[programs:]
    return Cost(
        seconds=seconds,
        looks=poller.figures.questions - looks,
        rpcs=rpcs,
        programs=len(mine),
        sudo=sum(1 for command in mine if "sudo" in command.argv[0]),
    )
