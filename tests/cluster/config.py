"""What a test cluster looks like, and the text of its configuration files."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Literal

TEMPLATES = Path(__file__).with_name("slurm_conf")
BASE = Path(os.environ.get("PANGEO_HPC_TEST_STATE", "/srv/pangeo-hpc-test"))
UP_NODES = ("c1", "c2", "c3", "c4")
DOWN_NODES = ("c5",)
NODES = UP_NODES + DOWN_NODES
CPUS = 8
MEMORY_MB = 8000
GPU_NODE = "c4"
GPUS = 2
CLUSTER_NAME = "pangeo"
NODE_PROGRAM = Path(__file__).with_name("node.py")
HIDDEN_COMMANDS = ("/usr/bin/sbatch", "/usr/bin/squeue", "/usr/bin/sacct", "/usr/bin/scancel")

MemoryLimits = Literal["cgroup", "polling"]


@dataclass(frozen=True)
class ClusterConfig:
    """What can differ between test clusters.

    accounting: slurmdbd with accounts, QOS and their limits; without it there is no slurmdbd.
    hide_home: on the nodes /home is an empty directory.
    commands_on_nodes: sbatch, squeue, sacct and scancel exist on the nodes; srun always does.
    private_tmp: on the nodes /tmp is an empty directory of each node's own.
    memory_limits: None takes cgroups where the machine allows them.
    state_directory: None takes a fresh directory below /srv/pangeo-hpc-test.
    first_port: None takes free ports; else this one and the six after it.
    """

    accounting: bool = True
    hide_home: bool = False
    commands_on_nodes: bool = True
    private_tmp: bool = False
    memory_limits: MemoryLimits | None = None
    state_directory: Path | None = None
    first_port: int | None = None


def fill(name: str, values: Mapping[str, str]) -> str:
    """Return the text of a template in slurm_conf/ with every placeholder filled."""
    return Template((TEMPLATES / name).read_text()).substitute(values)


def node_lines(ports: Mapping[str, int]) -> str:
    """Return the NodeName lines: four nodes that work and one that is down."""
    lines = []
    for name in NODES:
        words = [
            f"NodeName={name} NodeHostname={name} NodeAddr=127.0.0.1 Port={ports[name]}",
            f"CPUs={CPUS} Boards=1 SocketsPerBoard=1 CoresPerSocket={CPUS} ThreadsPerCore=1",
            f"RealMemory={MEMORY_MB}",
        ]
        if name == GPU_NODE:
            words.append(f"Gres=gpu:{GPUS}")
        if name in DOWN_NODES:
            words.append('State=DOWN Reason="broken on purpose"')
        lines.append(" ".join(words))
    return "\n".join(lines)


def node_argv(setup: Mapping[str, object]) -> list[str]:
    """Return the command that becomes a node; node.py says what the setup may hold."""
    return ["/usr/bin/python3", "-I", str(NODE_PROGRAM), json.dumps(setup)]


def accounting_lines(accounting: bool, port: int, munge_socket: str) -> str:
    """Return the accounting lines of slurm.conf.

    AccountingStoragePass is the munge socket towards slurmdbd; AuthInfo is not used there (22.05).
    """
    if not accounting:
        return "AccountingStorageType=accounting_storage/none"
    return "\n".join(
        [
            "AccountingStorageType=accounting_storage/slurmdbd",
            "AccountingStorageHost=127.0.0.1",
            f"AccountingStoragePort={port}",
            f"AccountingStoragePass={munge_socket}",
            "AccountingStorageEnforce=associations,limits,qos",
            "AccountingStorageTRES=gres/gpu",
            "PriorityType=priority/multifactor",
            "PriorityWeightQOS=1000",
        ]
    )


def memory_lines(limits: MemoryLimits) -> dict[str, str]:
    """Return how slurm.conf limits memory: by cgroups, or by looking from time to time."""
    if limits == "cgroup":
        return {"proctrack": "proctrack/cgroup", "task_plugin": "task/cgroup", "memory_lines": ""}
    return {
        "proctrack": "proctrack/linuxproc",
        "task_plugin": "task/none",
        "memory_lines": "JobAcctGatherParams=OverMemoryKill",
    }
