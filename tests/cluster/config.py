"""What a test cluster looks like, and the text of its configuration files."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Literal

TEMPLATES = Path(__file__).with_name("slurm_conf")
BASE = Path(os.environ.get("PANGEO_HPC_TEST_STATE", "/srv/pangeo-hpc-test"))
CPUS = 8
MEMORY_MB = 8000
GPUS = 2
CLUSTER_NAME = "pangeo"
NODE_PROGRAM = Path(__file__).with_name("node.py")
HIDDEN_COMMANDS = ("/usr/bin/sbatch", "/usr/bin/squeue", "/usr/bin/sacct", "/usr/bin/scancel")

MemoryLimits = Literal["cgroup", "polling"]


@dataclass(frozen=True)
class Shape:
    """Which nodes a cluster has: those that work, those that are down, the one with GPUs."""

    up: tuple[str, ...]
    down: tuple[str, ...]
    gpu: str

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return the names of all nodes."""
        return self.up + self.down


ONE_MACHINE = Shape(up=("c1", "c2", "c3", "c4"), down=("c5",), gpu="c4")
CONTAINERS = Shape(up=("c1", "c2", "c3"), down=("c4",), gpu="c3")
UP_NODES = ONE_MACHINE.up
NODES = ONE_MACHINE.nodes


@dataclass(frozen=True)
class Host:
    """Where a daemon listens: the name of its host, an address that leads there, its port."""

    name: str
    address: str
    port: int


@dataclass(frozen=True)
class Places:
    """Where the daemons of one cluster are, and where each keeps its files."""

    state: str
    munge_socket: str
    cgroup_mount: str
    controller: Host
    database: Host
    storage_host: str
    nodes: tuple[Host, ...]


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


def values(
    places: Places, shape: Shape, *, accounting: bool, limits: MemoryLimits, swap: str
) -> dict[str, str]:
    """Return what the templates are filled with; swap is the value of ConstrainSwapSpace."""
    return {
        "cluster_name": CLUSTER_NAME,
        "controller_host": places.controller.name,
        "controller_address": places.controller.address,
        "controller_port": str(places.controller.port),
        "database_host": places.database.name,
        "database_address": places.database.address,
        "database_port": str(places.database.port),
        "storage_host": places.storage_host,
        "munge_socket": places.munge_socket,
        "state": places.state,
        "cgroup_mount": places.cgroup_mount,
        "constrain_swap": swap,
        "node_lines": node_lines(places.nodes, shape),
        "up_nodes": ",".join(shape.up),
        "first_node": shape.up[0],
        "down_nodes": ",".join(shape.down),
        "gpu_node": shape.gpu,
        "accounting_lines": accounting_lines(accounting, places.database, places.munge_socket),
        **memory_lines(limits),
    }


def node_lines(nodes: Iterable[Host], shape: Shape) -> str:
    """Return the NodeName lines of the nodes that work and of those that are down."""
    lines = []
    for host in nodes:
        name = host.name
        words = [
            f"NodeName={name} NodeHostname={name} NodeAddr={host.address} Port={host.port}",
            f"CPUs={CPUS} Boards=1 SocketsPerBoard=1 CoresPerSocket={CPUS} ThreadsPerCore=1",
            f"RealMemory={MEMORY_MB}",
        ]
        if name == shape.gpu:
            words.append(f"Gres=gpu:{GPUS}")
        if name in shape.down:
            words.append('State=DOWN Reason="broken on purpose"')
        lines.append(" ".join(words))
    return "\n".join(lines)


def node_argv(setup: Mapping[str, object]) -> list[str]:
    """Return the command that becomes a node; node.py says what the setup may hold."""
    return ["/usr/bin/python3", "-I", str(NODE_PROGRAM), json.dumps(setup)]


def accounting_lines(accounting: bool, database: Host, munge_socket: str) -> str:
    """Return the accounting lines of slurm.conf.

    AccountingStoragePass is the munge socket towards slurmdbd; AuthInfo is not used there (22.05).
    """
    if not accounting:
        return "AccountingStorageType=accounting_storage/none"
    return "\n".join(
        [
            "AccountingStorageType=accounting_storage/slurmdbd",
            f"AccountingStorageHost={database.address}",
            f"AccountingStoragePort={database.port}",
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
