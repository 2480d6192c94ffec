"""The built-in site: this machine alone, with no file at all."""

import os
from dataclasses import dataclass
from pathlib import Path

from pangeo_hpc.units import MIB


@dataclass(frozen=True)
class Machine:
    """What this process may use: cores, and memory in bytes."""

    cores: int
    memory: int


def this_machine() -> Machine:
    """Return the cores this process may run on, and the memory it may use."""
    import psutil

    total = int(psutil.virtual_memory().total)
    limits = [total, *_cgroup_limits()]
    return Machine(len(os.sched_getaffinity(0)), min(limits))


def local_yaml(machine: Machine) -> str:
    """Return the built-in site as YAML.

    A tenth of the memory, at least 512 MiB, is left for the rest of the machine; a job that asks
    for nothing gets all the others.
    """
    most = max(machine.memory - max(machine.memory // 10, 512 * MIB), 256 * MIB) // MIB
    return f"""\
name: local
description: This machine, without any site file
scheduler: local
node_types:
  local:
    description: A job on this machine
    cores: {machine.cores}
    memory: {most} MiB
    walltime: "1-00:00:00"
    max_walltime: "30-00:00:00"
scratch:
  scratch:
    path: ~/pangeo-scratch
"""


def _cgroup_limits() -> list[int]:
    """Return the memory limits of the control groups this process is in, both versions."""
    found = []
    for path in _cgroup_files():
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < 2**60:
            found.append(int(text))
    return found


def _cgroup_files() -> list[Path]:
    root = Path("/sys/fs/cgroup")
    files = [root / "memory.max", root / "memory" / "memory.limit_in_bytes"]
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return files
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            folder = root / group.lstrip("/")
            files += [level / "memory.max" for level in (folder, *folder.parents) if level != root]
    return [path for path in files if path.is_relative_to(root)]
