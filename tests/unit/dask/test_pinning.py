"""Worker processes stay on their NUMA node."""

import os
import subprocess
import sys

import pytest

from pangeo_hpc.dask.pinning import PROCESSES, place_of
from pangeo_hpc.dask.shape import shape_of
from pangeo_hpc.units import gib

TWO = [frozenset(range(18)), frozenset(range(18, 36))]


def test_as_many_on_each_node() -> None:
    """The processes of a job that was cut over two NUMA nodes fill them both."""
    shape = shape_of(36, gib(109), numa_nodes=2)
    places = [
        place_of(f"dask-1a2b-7-{number}", shape.threads, shape.processes, TWO)
        for number in range(shape.processes)
    ]
    for cpus in TWO:
        assert places.count(cpus) * shape.threads == 18
    assert len(places) == shape.processes > 2


@pytest.mark.parametrize(
    ("name", "threads", "processes", "nodes"),
    [
        ("dask-0-0", 3, 12, [frozenset(range(36))]),
        ("dask-0-0", 36, 1, TWO),
        ("dask-0-0", 12, 3, TWO),
        ("dask-0-0", 3, 12, [frozenset(range(4)), frozenset(range(4, 36))]),
        ("dask-0-12", 3, 12, TWO),
        ("tls://10.0.0.1:4000", 3, 12, TWO),
        (None, 3, 12, TWO),
    ],
    ids=["one node", "one process", "odd", "uneven", "another's number", "no name", "none"],
)
def test_else_anywhere(
    name: object, threads: int, processes: int, nodes: list[frozenset[int]]
) -> None:
    """Where processes do not fit into NUMA nodes nobody is kept on one."""
    assert place_of(name, threads, processes, nodes) is None


STAYS = """
import asyncio, os, sys
import dask
from distributed import Scheduler
from pangeo_hpc.dask import pinning
from pangeo_hpc.dask.servers import Worker

cpus = sorted(os.sched_getaffinity(0))
pinning.numa_nodes = lambda: [frozenset(cpus[:1]), frozenset(cpus[1:])]

async def main():
    with dask.config.set({"temporary-directory": sys.argv[1]}):
        async with Scheduler(dashboard=False, port=0, host="127.0.0.1") as scheduler:
            async with Worker(scheduler.address, name="w-0-1", nthreads=1, host="127.0.0.1") as it:
                # in the thread that runs tasks, in that of the worker, and in one of its programs
                loop = asyncio.get_running_loop()
                task = await loop.run_in_executor(it.executor, os.sched_getaffinity, 0)
                return task, os.sched_getaffinity(0)

if __name__ == "__main__":
    task, own = asyncio.run(main())
    print(sorted(task) == sorted(own) == cpus[1:])
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_a_worker_stays(tmp_path: object) -> None:
    """A real worker's tasks run on the CPUs of its NUMA node, if it was told of others."""
    for processes, stays in (("2", "True"), ("", "False")):
        done = subprocess.run(
            [sys.executable, "-c", STAYS, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
            env={**os.environ, PROCESSES: processes},
        )
        assert done.stdout.split() == [stays], done.stderr
