"""What this process may use of the machine it runs on."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_NUMA = Path("/sys/devices/system/node")
_CPU_PERIOD_FILES = ("cpu.cfs_quota_us", "cpu.cfs_period_us")


@dataclass(frozen=True)
class Machine:
    """Cores, and memory in bytes."""

    cores: int
    memory: int


def this_machine() -> Machine:
    """Return the cores and the memory this process may use: affinity, cgroups, what is there."""
    return Machine(_cores(), _memory())


def numa_nodes(folder: Path = _NUMA, mine: frozenset[int] | None = None) -> list[frozenset[int]]:
    """Return the CPUs of this process by NUMA node, those nodes only where it has some.

    One entry, of all its CPUs, where the machine does not tell. `mine` are the CPUs that it may
    use, else its affinity.
    """
    ours = frozenset(os.sched_getaffinity(0)) if mine is None else mine
    found = []
    for path in sorted(folder.glob("node[0-9]*"), key=lambda path: int(path.name[4:])):
        cpus = ours & _cpu_list(_read_word(path / "cpulist"))
        if cpus:
            found.append(cpus)
    return found if frozenset().union(*found) == ours else [ours]


def _cpu_list(text: str) -> frozenset[int]:
    """Return the numbers in a list of the kernel's, such as ``0-3,8``."""
    cpus: set[int] = set()
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        cpus |= set(range(int(first), int(last or first) + 1))
    return frozenset(cpus)


def _cores() -> int:
    """Return how many cores this process may use, at least 1."""
    cores = len(os.sched_getaffinity(0))
    for folder in _cgroups("cpu"):
        quota = _cpu_quota(folder)
        if quota is not None:
            cores = min(cores, math.floor(quota))
    return max(1, cores)


def _memory() -> int:
    """Return the bytes of memory this process may use."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for folder in _cgroups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _read_word(folder / name)
            if limit.isdigit():
                memory = min(memory, int(limit))
    return memory


def _cpu_quota(folder: Path) -> float | None:
    unified = _read_words(folder / "cpu.max")
    quota, period = unified or [_read_word(folder / name) for name in _CPU_PERIOD_FILES]
    if quota.isdigit() and period.isdigit() and int(period) > 0:
        return int(quota) / int(period)
    return None


def _cgroups(controller: str) -> Iterator[Path]:
    """Yield the folders of our cgroup and of those around it, in both versions."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            tops = [_CGROUPS, _CGROUPS / "unified"]
        elif controller in controllers.split(","):
            tops = [_CGROUPS / controller, _CGROUPS / controllers]
        else:
            continue
        for top in tops:
            folder = top / path.lstrip("/")
            yield folder
            for above in folder.parents:
                if not above.is_relative_to(top):
                    break
                yield above


def _read_words(path: Path) -> list[str]:
    try:
        words = path.read_text().split()
    except OSError:
        return []
    return words if len(words) == 2 else []


def _read_word(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
