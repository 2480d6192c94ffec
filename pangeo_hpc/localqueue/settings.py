"""What can be set about the queue, and how large the machine is."""

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pangeo_hpc.errors import UsageError
from pangeo_hpc.units import parse_duration, parse_memory

PREFIX = "PANGEO_LOCALQUEUE_"
_CGROUPS = Path("/sys/fs/cgroup")
_CPU_PERIOD_FILES = ("cpu.cfs_quota_us", "cpu.cfs_period_us")


@dataclass(frozen=True)
class Capacity:
    """How much may be in use at once: cores, and memory in bytes."""

    cores: int
    memory: int


@dataclass(frozen=True)
class Settings:
    """Times in seconds, and the size of the machine where it shall not be measured.

    `idle` is how long the daemon stays without work, `kill_wait` the time between SIGTERM and
    SIGKILL, `keep` how long ended jobs are remembered, `sample` how often memory is looked at.
    """

    idle: float = 60.0
    kill_wait: float = 5.0
    keep: float = 14 * 86400.0
    sample: float = 0.5
    total_cores: int | None = None
    total_memory: int | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Settings":
        """Read ``PANGEO_LOCALQUEUE_IDLE``, ``_KILL_WAIT``, ``_KEEP``, ``_TOTAL_CORES`` and so on.

        Raise UsageError, naming the variable, for a value that means nothing.
        """
        found: dict[str, float] = {}
        for name in ("idle", "kill_wait", "keep", "sample", "total_cores", "total_memory"):
            variable = PREFIX + name.upper()
            if variable in environ:
                found[name] = _number(variable, environ[variable])
        cores, memory = found.pop("total_cores", None), found.pop("total_memory", None)
        return cls(
            total_cores=None if cores is None else int(cores),
            total_memory=None if memory is None else int(memory),
            **found,
        )

    def variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that hold these settings, to be passed to our own programs."""
        names = ("IDLE", "KILL_WAIT", "KEEP", "SAMPLE", "TOTAL_CORES", "TOTAL_MEMORY")
        return {PREFIX + n: environ[PREFIX + n] for n in names if PREFIX + n in environ}

    def capacity(self) -> Capacity:
        """Return what this process may use of the machine: affinity, cgroup and memory."""
        return Capacity(
            cores=self.total_cores or measured_cores(),
            memory=self.total_memory or measured_memory(),
        )


def _number(variable: str, text: str) -> float:
    try:
        if variable.endswith("_CORES"):
            number = float(int(text))
        elif variable.endswith("_MEMORY"):
            number = float(parse_memory(text))
        else:
            number = parse_duration(text).total_seconds()
        if number < 0 or (number == 0 and "TOTAL" in variable):
            raise ValueError(f"{text!r} is too small")
    except ValueError as error:
        message = f"{variable}: {error}"
        hint = "unset it, or write a duration such as 5 seconds, cores as 4, memory as 8 GiB"
        raise UsageError(message, hint=hint) from None
    return number


def measured_cores() -> int:
    """Return how many cores this process may use, at least 1."""
    cores = len(os.sched_getaffinity(0))
    for folder in _cgroups("cpu"):
        quota = _cpu_quota(folder)
        if quota is not None:
            cores = min(cores, math.floor(quota))
    return max(1, cores)


def measured_memory() -> int:
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
