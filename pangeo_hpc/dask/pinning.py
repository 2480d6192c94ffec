"""Each worker process of a job stays on one NUMA node, where its job was cut that way.

The kernel moves threads between NUMA nodes as it likes, and then their data are far away.
"""

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pangeo_hpc.machine import numa_nodes

# How many worker processes one job, or one node of an allocation, is cut into.
PROCESSES = "PANGEO_HPC_WORKER_PROCESSES"


def place_of(
    name: object, threads: int, processes: int, nodes: Sequence[frozenset[int]]
) -> frozenset[int] | None:
    """Return the CPUs for one worker of `processes`, whose name ends in its number among them.

    None where it may be anywhere: on a single NUMA node, or where not each of them has CPUs for
    the threads of as many processes, as in a job that was given what was left of a machine.
    """
    number = re.search(r"-(\d+)$", str(name))
    if number is None or int(number[1]) >= processes or len(nodes) < 2 or processes % len(nodes):
        return None
    if min(map(len, nodes)) < threads * (processes // len(nodes)):
        return None
    return nodes[int(number[1]) % len(nodes)]


def stay(name: object, threads: int, environ: Mapping[str, str]) -> None:
    """Keep this worker process on its NUMA node, with all threads that it has and will have."""
    told = environ.get(PROCESSES, "")
    cpus = place_of(name, threads, int(told), numa_nodes()) if told.isdecimal() else None
    if cpus is None:
        return
    for entry in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # a thread that has ended meanwhile
            os.sched_setaffinity(int(entry.name), cpus)
