"""Small items on the test cluster's Slurm: one job of ours, and one array of submitit's."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._table import Row
from tests.cluster import machine
from tests.cluster.dask_rig import PYTHON
from tests.cluster.dask_stock import Rig
from tests.cluster.sites import command_line
from tests.cluster.slurm import SlurmCluster

NODES, CORES = 2, 2

OURS = """\
import sys, time
from pangeo_hpc import workflow

tasks, sleep = int(sys.argv[1]), float(sys.argv[2])

def task(number):
    time.sleep(sleep)
    return number * number

with workflow.start() as run:
    assert sum(run.map(task, range(tasks))) == sum(n * n for n in range(tasks))
"""

STOCK = """\
import json, sys, time
import submitit

tasks, sleep, folder, width = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], int(sys.argv[4])

def task(number):
    time.sleep(sleep)
    return number * number

executor = submitit.SlurmExecutor(folder=folder)
executor.update_parameters(
    partition="compute", time=60, cpus_per_task=1, mem="300M", array_parallelism=width
)
jobs = executor.map_array(task, range(tasks))
assert sum(job.result() for job in jobs) == sum(n * n for n in range(tasks))
"""


@dataclass(frozen=True)
class Cost:
    """What a number of items took: seconds, messages to Slurm's controller, and files."""

    tasks: int
    seconds: float
    messages: int
    files: int


def measure(tasks: int, sleep: float) -> tuple[Cost, Cost]:
    """Return what so many items cost with ours, and with submitit.

    Both have four places: ours a job of two nodes with two threads each, submitit an array of which
    four elements run at once.
    """
    machine.ensure_venv(Path(__file__).parents[1])
    with SlurmCluster() as cluster:
        rig = Rig(cluster, command_line(cluster, cluster.user("alice")))
        return _ours(rig, tasks, sleep), _stock(rig, tasks, sleep)


def rows(mine: Cost, its: Cost) -> list[Row]:
    """Return both side by side."""
    return [
        Row(f"wall time of {mine.tasks} items", mine.seconds, its.seconds, "s"),
        Row("messages to slurmctld", mine.messages, its.messages),
        Row("files made", mine.files, its.files),
    ]


def _ours(rig: Rig, tasks: int, sleep: float) -> Cost:
    cli = rig.cli
    script = cli.script("bench_map.py", OURS)
    words = ["--node-type", "compute", "--nodes", str(NODES), "--cores", str(CORES), "--wait"]

    def go() -> None:
        cli("submit", str(script), *words, "--", str(tasks), str(sleep), timeout=1800)

    seconds, messages = _counted(rig, go)
    (run,) = cli.user.shared.parent.glob("**/runs/testcluster/bench_map")
    return Cost(tasks, seconds, messages, _files(run))


def _stock(rig: Rig, tasks: int, sleep: float) -> Cost:
    cli = rig.cli
    place, folder = cli.here / "submitit", cli.here / "stock"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(place)]
    subprocess.run([*install, "submitit"], check=True)
    script = cli.script("stock_map.py", STOCK)
    words = [PYTHON, script, tasks, sleep, folder, NODES * CORES]

    def go() -> None:
        environment = {"PYTHONPATH": str(place)}
        cli.user.run([str(w) for w in words], cwd=cli.here, env=environment, timeout=3600)

    seconds, messages = _counted(rig, go)
    rig.clear()
    return Cost(tasks, seconds, messages, _files(folder))


def _counted(rig: Rig, go: Callable[[], Any]) -> tuple[float, int]:
    """Return the seconds that something takes, and the user's messages to the controller."""
    before, began = rig.rpcs_of_user(), time.monotonic()
    go()
    return time.monotonic() - began, rig.rpcs_of_user() - before


def _files(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*") if path.is_file())
