"""Where things are in the containers; the same paths in each of them."""

import os
from pathlib import Path

from tests.cluster import cgroups, config
from tests.cluster.config import CONTAINERS, Host, MemoryLimits, Places

SLURM = Path("/etc/slurm")
STATE = Path("/srv/pangeo-hpc-cluster")
"""What one daemon keeps: each container has its own."""
SECRETS = Path("/etc/pangeo-hpc-cluster")
"""The munge key and the password of the database: one volume of all containers, for root only."""
SCRATCH = Path("/scratch")
PROJECT = Path("/project")
"""The checkout, in the login container."""
CGROUPS = Path("/sys/fs/cgroup")

DATABASE = "database"
DATABASE_PORT = 3306
ACCOUNTING = Host("slurmdbd", "slurmdbd", 6819)
CONTROLLER = Host("controller", "controller", 6817)
# The nodes that are down have no container; Slurm must all the same find an address for them.
NODES = (
    *(Host(name, name, 6818) for name in CONTAINERS.up),
    *(Host(name, "127.0.0.1", 6818) for name in CONTAINERS.down),
)


def memory_limits() -> MemoryLimits:
    """Return what `up` found out about the cgroups of the machine below; by hand: polling."""
    return "cgroup" if os.environ.get("MEMORY_LIMITS") == "cgroup" else "polling"


def values() -> dict[str, str]:
    """Return what the templates are filled with; the same in every container."""
    places = Places(
        state=str(STATE),
        munge_socket=str(STATE / "munge" / "socket"),
        cgroup_mount=str(CGROUPS),
        controller=CONTROLLER,
        database=ACCOUNTING,
        storage_host=DATABASE,
        nodes=NODES,
    )
    return config.values(
        places,
        CONTAINERS,
        accounting=True,
        limits=memory_limits(),
        swap=cgroups.constrain_swap(),
    )
