"""The files, folders and daemons of one cluster, from its record."""

import os
import secrets
import shutil
import socket
import stat

from tests.cluster import accounting, cgroups, machine
from tests.cluster.config import (
    CLUSTER_NAME,
    GPUS,
    HIDDEN_COMMANDS,
    NODES,
    UP_NODES,
    accounting_lines,
    fill,
    memory_lines,
    node_argv,
    node_lines,
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
    for number in range(GPUS):
        # slurmd wants a device; one like /dev/null does no harm.
        os.mknod(top / f"gpu{number}", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    for name in machine.USERS:
        for path in (top / "scratch" / name, top / "shared" / name):
            path.mkdir(mode=0o700, exist_ok=True)
            shutil.chown(path, name, name)
    key = top / "munge" / "key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))


def write_configuration(record: Record) -> None:
    """Write what the daemons read: slurm.conf and its companions, the database's options."""
    filled = values(record)
    for name in ("slurm.conf", "gres.conf", "cgroup.conf"):
        (record.directory / name).write_text(fill(name, filled))
    if record.config.accounting:
        accounting.prepare(record.directory, filled)


def values(record: Record) -> dict[str, str]:
    """Return what the templates in slurm_conf/ are filled with."""
    top, ports = record.directory, record.ports
    munge = str(top / "munge" / "socket")
    return {
        "cluster_name": CLUSTER_NAME,
        "controller_host": socket.gethostname().partition(".")[0],
        "controller_address": "127.0.0.1",
        "controller_port": str(ports["slurmctld"]),
        "database_port": str(ports["slurmdbd"]),
        "munge_socket": munge,
        "state": str(top),
        "cgroup_mount": str(top / "cgroup"),
        "constrain_swap": cgroups.constrain_swap(),
        "node_lines": node_lines(ports),
        "accounting_lines": accounting_lines(record.config.accounting, ports["slurmdbd"], munge),
        **memory_lines(record.memory_limits),
    }


def daemon(record: Record, name: str) -> Daemon:
    """Return one of the cluster's daemons, not started."""
    log = record.directory / "log"
    if name == "mariadbd":
        return accounting.database(record.directory)
    if name == "munged":
        folder = record.directory / "munge"
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed"}
        options = [f"--{option}={folder / file}" for option, file in files.items()]
        argv = ["/usr/sbin/munged", "--foreground", "--num-threads=4", *options]
        return Daemon(name, argv, log / "munged.log")
    if name in NODES:
        return Daemon(name, node_argv(node_setup(record, name)), log / f"slurmd-{name}.log")
    return Daemon(name, [f"/usr/sbin/{name}", "-D"], log / f"{name}.log")


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
