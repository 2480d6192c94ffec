"""The files, folders and daemons of one cluster, from its record."""

import os
import secrets
import shutil
import socket
import stat
from collections.abc import Mapping
from pathlib import Path

from tests.cluster import accounting, cgroups, machine
from tests.cluster.config import (
    GPUS,
    HIDDEN_COMMANDS,
    NODES,
    ONE_MACHINE,
    UP_NODES,
    Host,
    Places,
    fill,
    node_argv,
    values,
)
from tests.cluster.daemons import Daemon
from tests.cluster.record import Record

FOLDERS = ("log", "run", "slurmctld", "local", "munge", "scratch", "shared")


def environment(record: Record) -> dict[str, str]:
    """Return the environment of the daemons and of root's commands."""
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "SLURM_CONF": str(record.directory / "slurm.conf"),
        "MYSQL_UNIX_PORT": str(record.directory / "db" / "socket"),
    }


def make_folders(record: Record) -> None:
    """Make the folders and the munge key below the state directory."""
    top = record.directory
    for name in FOLDERS:
        (top / name).mkdir(mode=0o755, exist_ok=True)
    (top / "local").chmod(0o1777)
    for name in UP_NODES:
        (top / "spool" / name).mkdir(parents=True, exist_ok=True)
        (top / "overlay" / name).mkdir(parents=True, exist_ok=True)
    for controller in cgroups.CONTROLLERS:
        (top / "cgroup" / controller).mkdir(parents=True, exist_ok=True)
    make_gpus(top)
    for name in machine.USERS:
        for path in (top / "scratch" / name, top / "shared" / name):
            path.mkdir(mode=0o700, exist_ok=True)
            shutil.chown(path, name, name)
    write_secret(top / "munge" / "key", secrets.token_bytes(128))


def make_gpus(state: Path) -> None:
    """Make the devices that slurmd wants for its GPUs; ones like /dev/null do no harm."""
    for number in range(GPUS):
        os.mknod(state / f"gpu{number}", stat.S_IFCHR | 0o666, os.makedev(1, 3))


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only root reads."""
    path.touch(mode=0o600)
    path.write_bytes(content)


def write_configuration(record: Record) -> None:
    """Write what the daemons read: slurm.conf and its companions, the database's options."""
    filled = values(
        places(record),
        ONE_MACHINE,
        accounting=record.config.accounting,
        limits=record.memory_limits,
        swap=cgroups.constrain_swap(),
    )
    write_slurm_conf(record.directory, filled)
    if record.config.accounting:
        password = secrets.token_hex(16)
        accounting.make_database(record.directory / "db", password)
        accounting.write_slurmdbd_conf(record.directory, filled, password)


def write_slurm_conf(folder: Path, filled: Mapping[str, str]) -> None:
    """Write slurm.conf and its companions, which every daemon and every command reads."""
    for name in ("slurm.conf", "gres.conf", "cgroup.conf"):
        (folder / name).write_text(fill(name, filled))


def places(record: Record) -> Places:
    """Return where the daemons of a cluster on one machine are."""
    top, ports = record.directory, record.ports
    here = socket.gethostname().partition(".")[0]
    return Places(
        state=str(top),
        munge_socket=str(top / "munge" / "socket"),
        cgroup_mount=str(top / "cgroup"),
        controller=Host(here, "127.0.0.1", ports["slurmctld"]),
        database=Host(here, "127.0.0.1", ports["slurmdbd"]),
        storage_host="localhost",
        nodes=tuple(Host(name, "127.0.0.1", ports[name]) for name in NODES),
    )


def daemon(record: Record, name: str) -> Daemon:
    """Return one of the cluster's daemons, not started."""
    log = record.directory / "log"
    if name == "mariadbd":
        return accounting.database(record.directory)
    if name == "munged":
        return Daemon(name, munged(record.directory / "munge"), log / "munged.log")
    if name in NODES:
        return Daemon(name, node_argv(node_setup(record, name)), log / f"slurmd-{name}.log")
    return Daemon(name, [f"/usr/sbin/{name}", "-D"], log / f"{name}.log")


def munged(folder: Path) -> list[str]:
    """Return the command of a munged that keeps all its files in one folder."""
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed"}
    options = [f"--{option}={folder / file}" for option, file in files.items()]
    return ["/usr/sbin/munged", "--foreground", "--num-threads=4", *options]


def node_setup(record: Record, name: str) -> dict[str, object]:
    """Return the words that tell node.py what the node sees and does not see."""
    config = record.config
    empty = {}
    if config.hide_home:
        empty["/home"] = "mode=755,size=64m"
    if config.private_tmp:
        empty["/tmp"] = "mode=1777,size=2g"
    return {
        "name": name,
        "mark": f"{record.mark}-{name}",
        "local_disk": str(record.directory / "local"),
        "cgroups": cgroups.paths(record.mark) if record.memory_limits == "cgroup" else {},
        "cgroup_mount": str(record.directory / "cgroup"),
        "empty": empty,
        "hidden_commands": [] if config.commands_on_nodes else HIDDEN_COMMANDS,
        "overlay": str(record.directory / "overlay" / name),
        "argv": ["/usr/sbin/slurmd", "-D", "-N", name],
    }
