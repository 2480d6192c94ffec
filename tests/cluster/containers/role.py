"""Become one part of the cluster; the first program of every container.

    python3 -m tests.cluster.containers.role database|slurmdbd|controller|node|login|probe

Nobody starts the containers in an order: each waits for those that it needs.
"""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.cluster import accounting, layout, machine
from tests.cluster.cgroups import CONTROLLERS
from tests.cluster.config import CONTAINERS
from tests.cluster.containers import places
from tests.cluster.containers.places import SECRETS, SLURM, STATE
from tests.cluster.daemons import Daemon, wait_for_socket, wait_until
from tests.cluster.errors import ClusterError

PATIENCE = 120.0
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "SLURM_CONF": str(SLURM / "slurm.conf"),
}


def database() -> list[str]:
    """Make the database once, and return the command of MariaDB."""
    folder = STATE / "db"
    STATE.mkdir(mode=0o755, exist_ok=True)
    if not folder.exists():
        password = shared_secret("database-password").decode()
        network = f"bind-address=0.0.0.0\nport={places.DATABASE_PORT}"
        accounting.make_database(folder, password, network=network, client="%")
    return accounting.mariadbd(folder)


def slurmdbd() -> list[str]:
    """Wait for the database, and return the command of slurmdbd."""
    password = shared_secret("database-password").decode()
    configure()
    accounting.write_slurmdbd_conf(SLURM, places.values(), password)
    wait_for(places.DATABASE, places.DATABASE_PORT)
    return ["/usr/sbin/slurmdbd", "-D"]


def controller() -> list[str]:
    """Make accounts and users known, and return the command of slurmctld."""
    configure()
    wait_for(places.ACCOUNTING.address, places.ACCOUNTING.port)
    argv = ["sacctmgr", "--noheader", "--parsable2", "show", "user", "alice"]
    if not machine.call(argv, env=ENVIRONMENT).strip():
        accounting.set_up(ENVIRONMENT)
    wait_for_names(CONTAINERS.up)
    return ["/usr/sbin/slurmctld", "-D"]


def node() -> list[str]:
    """Become a compute node, and return the command of slurmd."""
    configure()
    if places.memory_limits() == "cgroup":
        open_cgroups()
    wait_for_names([places.CONTROLLER.address, *CONTAINERS.up])
    return ["/usr/sbin/slurmd", "-D", "-N", socket.gethostname()]


def login() -> list[str]:
    """Give the users their directories on the shared volumes; nothing runs here but they."""
    configure()
    for name in machine.USERS:
        user = pwd.getpwnam(name)
        for path in (Path(user.pw_dir), places.SCRATCH / name):
            if not path.exists():
                shutil.copytree("/etc/skel", path, symlinks=True)
                machine.call(["chown", "--recursive", f"{name}:", str(path)])
                path.chmod(0o700)
    return ["/bin/sleep", "infinity"]


def probe() -> list[str]:
    """Fail unless a node in a container can limit memory by cgroups (version 1)."""
    open_cgroups()
    for name in CONTROLLERS:
        trial = places.CGROUPS / name / "probe"
        trial.mkdir()
        if name == "memory":
            (trial / "memory.limit_in_bytes").write_text("64M")
        trial.rmdir()
    return ["/bin/true"]


ROLES: dict[str, Callable[[], list[str]]] = {
    part.__name__: part for part in (database, slurmdbd, controller, node, login, probe)
}


def open_cgroups() -> None:
    """Make this container's own cgroups writable; Docker mounts them read-only."""
    for name in CONTROLLERS:
        machine.call(["mount", "--options=remount,bind,rw", str(places.CGROUPS / name)])


def configure() -> None:
    """Write what Slurm reads, and start munge."""
    names = ("log", "run", "munge", "slurmctld", "local", f"spool/{socket.gethostname()}")
    fresh = not STATE.exists()
    for name in names:
        (STATE / name).mkdir(mode=0o755, parents=True, exist_ok=True)
    (STATE / "local").chmod(0o1777)
    if fresh:
        layout.make_gpus(STATE)
    SLURM.mkdir(mode=0o755, exist_ok=True)
    layout.write_slurm_conf(SLURM, places.values())
    layout.write_secret(STATE / "munge" / "key", shared_secret("munge-key"))
    munged = Daemon("munged", layout.munged(STATE / "munge"), STATE / "log" / "munged.log")
    munged.start(ENVIRONMENT)
    wait_for_socket(munged, STATE / "munge" / "socket")


def shared_secret(name: str) -> bytes:
    """Return a secret, which the first container makes and all others read."""
    SECRETS.chmod(0o700)
    with machine.locked(SECRETS / "lock"):
        path = SECRETS / name
        if not path.exists():
            layout.write_secret(path, secrets.token_hex(64).encode())
        return path.read_bytes()


def wait_for(host: str, port: int) -> None:
    """Wait until another container takes connections."""

    def answers() -> bool:
        try:
            with socket.create_connection((host, port), timeout=2):
                return True
        except OSError:
            return False

    if not wait_until(answers, PATIENCE, every=0.2):
        raise ClusterError(f"{host} does not listen at port {port} after {PATIENCE:g} s")


def wait_for_names(names: Iterable[str]) -> None:
    """Wait until other containers have an address; Slurm asks for it only once."""
    for name in names:
        argv = ["getent", "hosts", name]

        def known(argv: list[str] = argv) -> bool:
            return subprocess.run(argv, capture_output=True, check=False).returncode == 0

        if not wait_until(known, PATIENCE, every=0.2):
            raise ClusterError(f"{name} has no address after {PATIENCE:g} s")


def main(words: list[str]) -> None:
    """Become what the command line says."""
    if len(words) != 1 or words[0] not in ROLES:
        sys.exit(f"error: say one of {', '.join(ROLES)}, not: {' '.join(words)}")
    try:
        argv = ROLES[words[0]]()
    except ClusterError as error:
        sys.exit(f"error: {words[0]}: {error}")
    os.chdir("/")
    os.execve(argv[0], argv, ENVIRONMENT)


if __name__ == "__main__":
    main(sys.argv[1:])
