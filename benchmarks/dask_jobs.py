"""Worker jobs from their submission to their end, ours beside stock dask-jobqueue.

Both are run for real, one after the other, on one test cluster:

    python -m benchmarks.dask_jobs [--jobs 200] [--workers 16] [--limit 60]

- Jobs that wait in the queue, and `close`: what is submitted and cancelled, counted by Slurm's own
  sdiag, and the programs that this takes on the login node.
- A worker job that ends at once: seconds from its end to an error that names it, in `result` and
  in `wait_for_workers`. Ours tries three times before it gives up.
- kill -9 of a script in an allocation of two nodes: seconds until the nodes are free. Stock is
  dask-jobqueue's SLURMRunner, started by plain `srun`, and once more with `--kill-on-bad-exit`.
- A finished workload: seconds from `scale` until all workers are connected, and all messages from
  `scale` to the end of `close`. Ours asks how its jobs are, at most every three seconds; one squeue
  is two or three messages. Stock never asks.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks._table import Row, table
from tests.cluster import machine
from tests.cluster.daemons import wait_until
from tests.cluster.dask_rig import jobs_of
from tests.cluster.dask_stock import KINDS, Rig, seconds_held
from tests.cluster.polling import JOB_QUERIES
from tests.cluster.sites import command_line
from tests.cluster.slurm import SlurmCluster

SUBMIT = ("REQUEST_SUBMIT_BATCH_JOB", "REQUEST_SUBMIT_BATCH_JOB_HET")
CANCEL = ("REQUEST_KILL_JOB", "REQUEST_CANCEL_JOB_STEP")
RELEASED = 15
"""Seconds within which ours has to give nodes back."""

CROWD = """
tell(None)
pause()
cluster.scale({jobs})
tell(None)
pause()
cluster.close()
tell(None)
os._exit(0)
"""

FAILS = """
from concurrent.futures import ThreadPoolExecutor

def named(wait):
    try:
        wait(timeout={limit})
    except TimeoutError:
        return None
    except Exception as error:
        return [type(error).__name__, time.time()]

future = cluster.get_client().submit(sum, [1, 2])
cluster.scale(1)
with ThreadPoolExecutor(2) as pool:
    waits = [future.result, lambda timeout: cluster.wait_for_workers(1, timeout=timeout)]
    tell(list(pool.map(named, waits)))
cluster.close()
os._exit(0)
"""

WORK = """
client = cluster.get_client()
tell(None)
pause()
begun = time.monotonic()
cluster.scale({workers})
client.wait_for_workers({workers}, timeout=300)
took = time.monotonic() - begun
assert client.gather(client.map(pow, range({tasks}), [2] * {tasks}))[-1] == ({tasks} - 1) ** 2
cluster.close()
tell(took)
os._exit(0)
"""


def both(measure: Callable[[str], Any]) -> tuple[Any, Any]:
    """Return what is measured of ours, then of stock."""
    ours, stock = (measure(kind) for kind in KINDS)
    return ours, stock


def crowd(rig: Rig, jobs: int) -> Iterator[Row]:
    """Scale to jobs that do not start, and close."""

    def measure(kind: str) -> list[float]:
        user = rig.cli.user
        directives = ("--begin=now+3600",)
        with rig.session(kind, CROWD.format(jobs=jobs), directives=directives) as python:
            python.told()
            before, begun = rig.rpcs(*SUBMIT), time.monotonic()
            python.go()
            assert wait_until(lambda: len(jobs_of(user)) == jobs, 300, every=0.5)
            took = time.monotonic() - begun
            python.told()
            submits, submitting = rig.rpcs(*SUBMIT) - before, rig.programs("sbatch")
            before = rig.rpcs(*CANCEL)
            python.go()
            python.told()
            assert wait_until(lambda: not jobs_of(user), 300, every=0.5)
            cancels, cancelling = rig.rpcs(*CANCEL) - before, rig.programs("scancel")
        figures = [submits, submitting.started, submitting.at_once, took]
        return [*figures, cancels, cancelling.started, cancelling.at_once]

    words = [
        f"scale to {jobs} jobs: submit RPCs", "  programs sbatch", "  most of them at once",
        "  until all are in the queue", "close, with all in the queue: cancel RPCs",
        "  programs scancel", "  most of them at once",
    ]  # fmt: skip
    for each, ours, stock in zip(words, *both(measure), strict=True):
        yield Row(each, ours, stock, "s" if "until" in each else "")


def fails(rig: Rig, limit: float) -> Iterator[Row]:
    """Wait for a job that ends at once."""
    note = rig.cli.here / "failed-at"

    def measure(kind: str) -> list[float | None]:
        note.unlink(missing_ok=True)
        setup = (f"date +%s.%N >> {note}; exit 7",)
        with rig.session(kind, FAILS.format(limit=limit), setup=setup) as python:
            errors = python.told()
        first, *more = (float(line) for line in note.read_text().split())
        names = [error and error[0] for error in errors]
        print(f"{kind}: {1 + len(more)} jobs ended at once, errors {names}")
        return [error and error[1] - first for error in errors]

    words = ("from a job's failure to an error in result()", "  in wait_for_workers()")
    for each, ours, stock in zip(words, *both(measure), strict=True):
        yield Row(each, ours, stock, "s")


def held(rig: Rig, limit: float) -> Iterator[Row]:
    """Kill a script in an allocation."""
    ours, stock = both(lambda kind: seconds_held(rig, kind, limit))
    yield Row("two nodes held after kill -9 of the client", ours, stock, "s")
    stock = seconds_held(rig, "stock", limit, "srun --kill-on-bad-exit")
    yield Row("  stock with srun --kill-on-bad-exit", ours, stock, "s")


def work(rig: Rig, workers: int) -> Iterator[Row]:
    """Connect workers, compute, and close."""

    def measure(kind: str) -> list[float]:
        with rig.session(kind, WORK.format(workers=workers, tasks=10 * workers)) as python:
            python.told()
            before = counts()
            python.go()
            took = python.told()
            return [took, *(after - n for after, n in zip(counts(), before, strict=True))]

    def counts() -> list[int]:
        kinds = (SUBMIT, CANCEL, JOB_QUERIES)
        return [rig.rpcs_of_user(), *(rig.rpcs(*names) for names in kinds)]

    words = [
        f"from scale to {workers} workers connected",
        f"the same with {10 * workers} tasks and close: RPCs", "  submit RPCs",
        "  cancel RPCs", "  RPCs that ask for jobs",
    ]  # fmt: skip
    for each, ours, stock in zip(words, *both(measure), strict=True):
        yield Row(each, ours, stock, "s" if "connected" in each else "")


def is_fine(rows: list[Row]) -> bool:
    """Tell whether ours submits once, names what failed, and gives nodes back."""
    nodes = next(row for row in rows if "kill -9" in row.words)
    is_told = all(row.ours is not None for row in rows)
    return is_told and rows[0].ours == 1 and (nodes.ours or 0) < RELEASED


def main() -> int:
    """Start a cluster, measure both, and return 1 if ours does not do what it promises."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=200, help="jobs of one scale")
    parser.add_argument("--workers", type=int, default=16, help="workers to wait for")
    parser.add_argument("--limit", type=float, default=60.0, help="when to give up, in seconds")
    options = parser.parse_args()
    machine.ensure_venv(Path(__file__).parents[1])
    with SlurmCluster() as cluster:
        rig = Rig(cluster, command_line(cluster, cluster.user("alice")))
        began = time.monotonic()
        rows = [
            *crowd(rig, options.jobs),
            *fails(rig, options.limit),
            *held(rig, options.limit),
            *work(rig, options.workers),
        ]
        other = f"dask-jobqueue {version('dask-jobqueue')}"
        print(table(rows, other, options.limit))
        print(f"measured in {time.monotonic() - began:.0f} s on a test cluster of this machine")
        return 0 if is_fine(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
