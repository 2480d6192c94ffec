"""What following a hub's servers asks of Slurm, beside the rule of stock batchspawner.

Both are run for real, on the test cluster, and counted by Slurm's own sdiag:

    python -m benchmarks.hub_polling [--running 100] [--starting 10] [--seconds 60]

Ours: one office with its poller. Stock: batchspawner's SlurmSpawner.query_job_status for each job,
every 0.5 s while it starts (startup_poll_interval) and every 30 s once it runs (JupyterHub's
poll_interval), through sudo as its user. As all jobs wait in the same small cluster, "running"
servers are jobs that are followed as such; what a question costs does not depend on their state.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

from tests.cluster.polling import HUB, Cost, Follower, measure, queries, submit_sleepers
from tests.cluster.sites import SITE
from tests.cluster.slurm import SlurmCluster

STARTING, RUNNING = 0.5, 30.0


def site_file(cluster: SlurmCluster, interval: int) -> Path:
    """Write a site with a hub for the cluster."""
    path = cluster.directory / "bench-site.yaml"
    conf = json.dumps(cluster.environment())
    state = f"{cluster.directory}/shared/{{user}}/state"
    path.write_text(
        SITE.format(
            scratch=cluster.scratch_root,
            state=state,
            interface=cluster.interface,
            nodes=len(cluster.shape.up),
        )
        + f"schedulers:\n  slurm: {{type: slurm, environment: {conf}}}\n"
        + HUB.format(interval=interval)
    )
    return path


async def ours(
    cluster: SlurmCluster,
    running: Sequence[str],
    starting: Sequence[str],
    options: argparse.Namespace,
) -> tuple[Cost, Cost]:
    """Return what the first seconds cost, and as many once the pauses have grown."""
    follower = Follower(site_file(cluster, options.interval))
    office = follower.office()
    poller = office.poller("slurm")
    for job in running:
        office.follow("slurm", job, "alice", starting=False)
    await poller.next_answer()
    for job in starting:
        office.follow("slurm", job, "bob", starting=True)
    first = await measure(follower, cluster, poller, options.seconds)
    await poller.next_answer()
    settled = await measure(follower, cluster, poller, options.seconds)
    await poller.stop()
    return first, settled


async def stock(
    cluster: SlurmCluster, running: Sequence[str], starting: Sequence[str], seconds: float
) -> Cost:
    """Return what batchspawner's own questions cost in some seconds."""
    calls = 0

    async def follow(user: str, job: str, pause: float, wait: float) -> None:
        nonlocal calls
        spawner = spawner_of(user, job)
        await asyncio.sleep(wait)
        while True:
            calls += 1
            await spawner.query_job_status()
            await asyncio.sleep(pause)

    # running servers were started at different times, so their questions are spread
    share = RUNNING / max(1, len(running))
    tasks = [
        *(follow("alice", job, RUNNING, share * n) for n, job in enumerate(running)),
        *(follow("bob", job, STARTING, 0.05 * n) for n, job in enumerate(starting)),
    ]
    before = await asyncio.to_thread(queries, cluster)
    following = [asyncio.create_task(task) for task in tasks]
    await asyncio.sleep(seconds)
    rpcs, made = await asyncio.to_thread(queries, cluster) - before, calls
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)
    return Cost(seconds=seconds, looks=made, rpcs=rpcs, programs=made, sudo=made)


def spawner_of(user: str, job: str):  # type: ignore[no-untyped-def]
    """Return a stock spawner that follows a job of a user's."""
    from batchspawner import SlurmSpawner

    return SlurmSpawner(
        user=SimpleNamespace(name=user), orm_spawner=None, job_id=job,
        req_username=user, req_homedir="/", req_keepvars="",
    )  # fmt: skip


def tell(options: argparse.Namespace, first: Cost, settled: Cost, other: Cost) -> bool:
    """Print the table and tell whether ours keeps to one question per interval."""
    seconds = options.seconds
    whole = seconds / other.seconds
    name = f"batchspawner {version('batchspawner')}"
    scaled = "" if whole == 1 else f", measured for {other.seconds:.0f} s and scaled"
    rows = [
        ("pangeo-hpc, all ten waiting in the queue", settled.rpcs, settled.programs, settled.sudo),
        ("pangeo-hpc, all ten just submitted", first.rpcs, first.programs, first.sudo),
        (name + scaled, other.rpcs * whole, other.programs * whole, other.sudo * whole),
    ]
    print(
        f"{options.running} running servers and {options.starting} starting ones, {seconds:.0f} s:"
    )
    print(f"{'':55}{'query RPCs':>12}{'programs':>10}{'sudo':>8}")
    for words, rpcs, programs, sudo in rows:
        print(f"{words:55}{rpcs:12.0f}{programs:10.0f}{sudo:8.0f}")
    print(f"ratio of RPCs, stock to ours: {other.rpcs * whole / max(1, settled.rpcs):.0f}")
    most = int(seconds / options.interval)
    fits = settled.rpcs <= most and settled.rpcs == settled.looks
    said = "at most" if fits else "MORE than"
    print(
        f"ours: {settled.rpcs} in {most} intervals of {options.interval} s, {said} one per interval"
    )
    return fits


def main() -> int:
    """Start a cluster, measure both, and return 1 if ours asks too often."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--running", type=int, default=100)
    parser.add_argument("--starting", type=int, default=10)
    parser.add_argument("--interval", type=int, default=15, help="poll_interval, in seconds")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--stock-seconds", type=float, default=30.0)
    options = parser.parse_args()
    with SlurmCluster() as cluster:
        alice, bob = cluster.user("alice"), cluster.user("bob")
        running = submit_sleepers(alice, options.running)
        starting = submit_sleepers(bob, options.starting, "--begin=now+3600")
        began = time.monotonic()
        first, settled = asyncio.run(ours(cluster, running, starting, options))
        # stock batchspawner hands its whole environment on
        os.environ.update(cluster.environment())
        other = asyncio.run(stock(cluster, running, starting, options.stock_seconds))
        print(f"measured in {time.monotonic() - began:.0f} s on a test cluster of this machine")
        return 0 if tell(options, first, settled, other) else 1


if __name__ == "__main__":
    sys.exit(main())
