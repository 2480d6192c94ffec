"""What following servers costs a real Slurm, counted by Slurm itself."""

import asyncio
import json

from tests.cluster.polling import HUB, Cost, Follower, measure, submit_sleepers
from tests.cluster.sites import SITE
from tests.cluster.slurm import SlurmCluster
from tests.cluster.users import ClusterUser

INTERVAL = 6


def test_one_question_per_interval_for_all_servers(
    cluster: SlurmCluster, alice: ClusterUser, bob: ClusterUser
) -> None:
    """Two users' servers cost one RPC per interval together, no sudo, and more only while starting.

    Each look is exactly one squeue and one RPC, and what it tells is true.
    """
    path = cluster.directory / "polling-site.yaml"
    conf = json.dumps(cluster.environment())
    path.write_text(
        SITE.format(
            scratch=cluster.scratch_root,
            state=f"{cluster.directory}/shared/{{user}}/state",
            interface=cluster.interface,
            nodes=len(cluster.shape.up),
        )
        + f"schedulers:\n  slurm: {{type: slurm, environment: {conf}}}\n"
        + HUB.format(interval=INTERVAL)
    )
    running = submit_sleepers(alice, 6) + submit_sleepers(bob, 6)
    (starting,) = submit_sleepers(bob, 1, "--begin=now+600")
    follower = Follower(path)

    async def go() -> tuple[Cost, Cost, set[str]]:
        office = follower.office()
        poller = office.poller("slurm")
        try:
            for job in running:
                office.follow("slurm", job, "somebody", starting=False)
            async with asyncio.timeout(180):
                while not all(str(state(poller, job)) == "running" for job in running):
                    await poller.next_answer()
            settled = await measure(follower, cluster, poller, 2 * INTERVAL - 3, whole=True)
            await poller.next_answer()
            hurried = await measure(
                follower,
                cluster,
                poller,
                INTERVAL - 1,
                whole=True,
                begin=lambda: office.follow("slurm", starting, "bob", starting=True),
            )
            return settled, hurried, {str(state(poller, starting))}
        finally:
            await poller.stop()

    try:
        settled, hurried, seen = asyncio.run(go())
    finally:
        cluster.admin(["scancel", *running, starting])
    assert settled.looks == settled.rpcs == settled.programs == 2
    assert hurried.looks == hurried.rpcs == hurried.programs
    assert 2 <= hurried.looks <= 4, (
        "at once, after a second, after two and a half more, and then after the interval"
    )
    assert settled.sudo == hurried.sudo == 0
    assert {command.argv[0].rpartition("/")[2] for command in follower.commands} == {"squeue"}
    assert seen == {"pending"}


def state(poller, job):  # type: ignore[no-untyped-def]
    """Return what was last heard of a job."""
    news = poller.news(job)
    return news.status.state if news else None
