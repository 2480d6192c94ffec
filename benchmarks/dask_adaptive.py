"""Adaptive scaling against a queue: ours beside stock dask-jobqueue.

Both are run for real, one after the other, on one test cluster whose jobs wait some seconds for
their start:

    python -m benchmarks.dask_adaptive [--queue 10] [--task 3] [--limit 90]

Workloads of some independent tasks, with jobs of 1, 2 and 4 workers and at most four jobs at once.
Slurm's accounting says how many jobs were submitted and how many were cancelled before the last
task had ended (or the limit was reached); the tasks themselves write down each time they begin.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tests.cluster import machine
from tests.cluster.adaptive import MOST, TASKS, Outcome, measure
from tests.cluster.sites import command_line
from tests.cluster.slurm import SlurmCluster

COLUMNS = ("done", "jobs", "cancelled", "starts", "s")


def tell(ours: Sequence[Outcome], stock: Sequence[Outcome], options: argparse.Namespace) -> None:
    """Print both side by side."""
    print(
        f"{options.queue} s in the queue, tasks of {options.task:g} s, at most {MOST} jobs, "
        f"{options.limit:g} s at most"
    )
    titles = "".join(f"{word:>10}" for word in COLUMNS)
    other = f"dask-jobqueue {version('dask-jobqueue')}"
    print(f"{'':>22}{'pangeo-hpc':^50}   {other:^50}")
    print(f"{'workers':>8}{'tasks':>6}{'needed':>8}{titles}   {titles}")
    for mine, its in zip(ours, stock, strict=True):
        print(
            f"{mine.processes:8}{mine.tasks:6}{mine.needed:8}{numbers(mine)}   {numbers(its)}",
        )
    for name, outcomes in (("pangeo-hpc", ours), (other, stock)):
        done, tasks = sum(o.done for o in outcomes), sum(o.tasks for o in outcomes)
        jobs, needed = sum(o.jobs for o in outcomes), sum(o.needed for o in outcomes)
        starts = sum(o.starts for o in outcomes)
        print(
            f"{name}: {done} of {tasks} tasks, {jobs} jobs where {needed} are needed, "
            f"{sum(o.cancelled for o in outcomes)} cancelled, "
            f"{starts / max(1, done):.2f} starts per task"
        )


def numbers(outcome: Outcome) -> str:
    """Return the columns of one workload."""
    done = f"{outcome.done}/{outcome.tasks}"
    counts = "".join(f"{n:10}" for n in (outcome.jobs, outcome.cancelled, outcome.starts))
    return f"{done:>10}{counts}{outcome.seconds:10.0f}"


def main() -> int:
    """Start a cluster, measure both, and return 1 if ours wastes jobs or tasks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--queue", type=int, default=10, help="seconds before a job may start")
    parser.add_argument("--task", type=float, default=3.0, help="seconds that a task takes")
    parser.add_argument("--limit", type=float, default=90.0, help="seconds for one workload")
    parser.add_argument("--tasks", type=int, nargs="+", default=TASKS)
    options = parser.parse_args()
    machine.ensure_venv(Path(__file__).parents[1])
    with SlurmCluster() as cluster:
        cli = command_line(cluster, cluster.user("alice"))
        began = time.monotonic()
        results = [
            measure(
                cli,
                cluster.interface,
                kind,
                queue=options.queue,
                task=options.task,
                limit=options.limit,
                tasks=tuple(options.tasks),
            )
            for kind in ("ours", "stock")
        ]
        tell(results[0], results[1], options)
        print(f"measured in {time.monotonic() - began:.0f} s on a test cluster of this machine")
        return 0 if all(outcome.fine for outcome in results[0]) else 1


if __name__ == "__main__":
    sys.exit(main())
