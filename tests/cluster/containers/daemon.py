"""A Docker daemon for the cluster: the one that answers, or one of our own."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from tests.cluster.daemons import Daemon, Process, wait_until
from tests.cluster.errors import ClusterError
from tests.cluster.machine import INSTALL, call

STATE = Path(os.environ.get("PANGEO_HPC_DOCKER_STATE", "/srv/pangeo-hpc-docker"))
"""Images, containers and volumes of our own daemon; images stay there for the next time."""
PACKAGES = ("docker.io", "docker-compose", "debootstrap", "iptables", "ca-certificates")

RUN = STATE / "run"
SOCKET = RUN / "docker.sock"
RECORD = STATE / "dockerd.json"
HOST = f"unix://{SOCKET}"


def find() -> str | None:
    """Return the address of the daemon that answers: our own, else the machine's, else None."""
    return next(
        (host for host in (HOST, os.environ.get("DOCKER_HOST", "")) if _answers(host)), None
    )


def ensure() -> str:
    """Return the address of a daemon that answers, '' for Docker's default one.

    Where none does, install Docker from Debian and start a daemon of our own, as root.
    """
    found = find()
    if found is not None:
        return found
    if os.geteuid() != 0:
        raise ClusterError("no Docker daemon answers, and only root can start one")
    if shutil.which("apt-get"):
        call([str(INSTALL), *PACKAGES], timeout=1200)
    elif not shutil.which("dockerd"):
        raise ClusterError(
            "no Docker daemon answers, and only on Debian we know how to install one"
        )
    STATE.mkdir(mode=0o711, parents=True, exist_ok=True)
    _sweep()
    daemon = _daemon()
    daemon.start(os.environ)
    RECORD.write_text(json.dumps(daemon.process.as_dict()))

    def ready() -> bool:
        daemon.check()
        return _answers(HOST)

    try:
        if not wait_until(ready, 60, every=0.2):
            raise ClusterError(f"dockerd does not answer\n{daemon.describe()}")
    except BaseException:
        end()
        raise
    return HOST


def end() -> bool:
    """End our own daemon, if there is one, and tell whether none answers any more; images stay.

    One that was started in another pid namespace is nobody's to end from here: it goes on, and so
    does its record, by which it is ended where it was started.
    """
    if RECORD.exists():
        daemon = _daemon()
        daemon.process = Process(**json.loads(RECORD.read_text()))
        daemon.stop(patience=60)
    if _answers(HOST):
        return False
    RECORD.unlink(missing_ok=True)
    if RUN.exists():
        _sweep()
    return True


def is_ours(host: str) -> bool:
    """Tell whether an address is that of our own daemon."""
    return host == HOST


def _daemon() -> Daemon:
    argv = [
        "/usr/sbin/dockerd",
        f"--data-root={STATE / 'data'}",
        f"--exec-root={RUN / 'exec'}",
        f"--pidfile={RUN / 'dockerd.pid'}",
        f"--host={HOST}",
    ]
    return Daemon("dockerd", argv, STATE / "dockerd.log")


def _answers(host: str) -> bool:
    if not shutil.which("docker") or (host == HOST and not os.access(SOCKET, os.R_OK)):
        return False
    env = {**os.environ, **({"DOCKER_HOST": host} if host else {})}
    argv = ["docker", "version", "--format={{.Server.Version}}"]
    try:
        return not subprocess.run(
            argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        return False


def _sweep() -> None:
    """Clear away what a daemon that was killed left: mounts, sockets, and files with pids.

    Its pids can be those of other processes by now, and a new daemon would believe them.
    """
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for place in sorted(mounts, reverse=True):
        if STATE in Path(place).parents:
            call(["umount", "--lazy", place])
    shutil.rmtree(RUN, ignore_errors=True)
    RUN.mkdir(mode=0o700, parents=True, exist_ok=True)
