"""How one job, or one machine, is cut into Dask worker processes and threads."""

import math
from dataclasses import dataclass, field

from pangeo_hpc.units import MIB, gib

# Bytes that the workers of one unit and the programs beside them share, as the client believes.
WHOLE = "PANGEO_HPC_WORKER_MEMORY"

# The host where client and scheduler are, if that is a node of the workers' too.
FIRST = "PANGEO_HPC_FIRST_NODE"

# Below this a process spends its memory on itself: fewer processes with more threads then.
_SMALLEST = gib(4)

# Still, rather than with threads on two NUMA nodes, a process has as little as this.
_SMALLEST_OF_NUMA = gib(2)


@dataclass(frozen=True)
class Shape:
    """Worker processes, threads in each, and the memory of each in bytes (None: no limit).

    `whole` are the bytes that they share with the programs that watch them.
    """

    processes: int
    threads: int
    memory: int | None
    whole: int | None = field(default=None, compare=False)

    def __str__(self) -> str:
        many = "processes" if self.processes > 1 else "process"
        thread = "threads" if self.threads > 1 else "thread"
        return f"{self.processes} {many} of {self.threads} {thread}"


def shape_of(
    cores: int,
    memory: int | None,
    *,
    threads_per_core: int = 1,
    told: tuple[int, int] | None = None,
    processes: int | None = None,
    numa_nodes: int = 1,
    scheduler_too: bool = False,
) -> Shape:
    """Return the shape of the workers on so many cores and bytes of memory.

    `cores` is what the batch system counts; Dask gets one thread for each real core. `told` are
    the processes and threads that a site says, taken where they fit into the cores, more than
    once where there are many; `processes` is a number that somebody wants whatever the cores are.
    `numa_nodes` is over how many NUMA nodes the cores are spread: no process has threads on more
    of them than it must. `scheduler_too` leaves memory for scheduler and client beside workers.
    """
    real = max(1, cores // threads_per_core)
    if processes:
        chosen = processes, max(1, real // processes)
    elif told and told[0] * told[1] <= cores:
        chosen = told[0] * max(1, real // (told[0] * told[1])), told[1]
    else:
        chosen = _cut_over(numa_nodes, real, memory)
    share = None
    if memory is not None:
        share = share_of(memory, chosen[0], scheduler_too=scheduler_too)
    return Shape(*chosen, share, memory)


def share_of(memory: int, processes: int, *, scheduler_too: bool = False) -> int:
    """Return the bytes of each of some worker processes that share so many."""
    return (memory - _set_aside(memory, scheduler_too=scheduler_too)) // processes


def _cut_over(numa_nodes: int, cores: int, memory: int | None) -> tuple[int, int]:
    """Return processes and threads that fit into NUMA nodes, where memory allows that many."""
    if numa_nodes > 1 and cores >= numa_nodes:
        part = None if memory is None else memory // numa_nodes
        if part is None or part >= _SMALLEST_OF_NUMA:
            processes, threads = _cut(cores // numa_nodes, part)
            return numa_nodes * processes, threads
    return _cut(cores, memory)


def _cut(cores: int, memory: int | None) -> tuple[int, int]:
    """Return about as many processes as threads, with as few idle cores as can be."""
    most = cores if memory is None else max(1, min(cores, memory // _SMALLEST))
    root = math.ceil(math.sqrt(cores))
    candidates = range(min(root, most), min(2 * root + 1, most) + 1)
    processes = min(candidates, key=lambda number: (cores % number, number))
    return processes, cores // processes


def _set_aside(memory: int, *, scheduler_too: bool) -> int:
    """Return the bytes that are not the workers': the programs that watch them need some."""
    share, least = (0.10, 512 * MIB) if scheduler_too else (0.05, 192 * MIB)
    return min(max(int(memory * share), least), memory // 4)
