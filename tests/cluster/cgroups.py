"""Cgroups of one test cluster: probe the machine, make a place for the cluster, clear it away.

Slurm 22.05 names its cgroups slurm_NODE, so two clusters with the same node names would meet.
Each cluster therefore gets a cgroup of its own in every hierarchy, and its nodes see that cgroup
as the root (a cgroup namespace), mounted in the cluster's state directory.
"""

import os
import subprocess
import tempfile
from functools import partial
from pathlib import Path

from tests.cluster.config import MemoryLimits, node_argv
from tests.cluster.daemons import wait_until
from tests.cluster.errors import ClusterError

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("freezer", "memory")


def probe() -> MemoryLimits:
    """Return 'cgroup' if this machine lets a node limit memory by cgroups (version 1).

    It becomes a node for a moment, in every respect but slurmd.
    """
    mark = f"pangeo-test-probe-{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="pangeo-hpc-probe-") as folder:
        for name in ("local", *CONTROLLERS):
            Path(folder, name).mkdir()
        limit = f"{folder}/memory/memory.limit_in_bytes"
        setup = {
            "name": "probe",
            "mark": mark,
            "local_disk": f"{folder}/local",
            "cgroups": paths(mark),
            "cgroup_mount": folder,
            "empty": {},
            "hidden_commands": [],
            "argv": ["/bin/dd", "if=/dev/stdin", f"of={limit}", "conv=notrunc", "status=none"],
        }
        try:
            create(mark)
            subprocess.run(
                node_argv(setup), input=b"64M", check=True, capture_output=True, timeout=30
            )
        except (OSError, subprocess.SubprocessError):
            return "polling"
        finally:
            remove(mark)
    return "cgroup"


def paths(mark: str) -> dict[str, str]:
    """Return the cluster's cgroup in every hierarchy that Slurm uses, by controller."""
    return {name: str(ROOT / name / mark) for name in CONTROLLERS}


def create(mark: str) -> None:
    """Make the cluster's cgroups."""
    for place in paths(mark).values():
        Path(place).mkdir(exist_ok=True)


def remove(mark: str) -> None:
    """Remove the cluster's cgroups; its processes must have ended."""
    for place in map(Path, paths(mark).values()):
        if place.exists() and not wait_until(partial(_rmdir, place), 5, every=0.02):
            raise ClusterError(f"{place} cannot be removed")


def constrain_swap() -> str:
    """Return the value of ConstrainSwapSpace: yes where the kernel counts swap."""
    return "yes" if (ROOT / "memory" / "memory.memsw.usage_in_bytes").exists() else "no"


def _rmdir(top: Path) -> bool:
    """Remove a cgroup and those below it; say whether it is gone."""
    for folder, _, _ in os.walk(top, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:
            return False
    return not top.exists()
