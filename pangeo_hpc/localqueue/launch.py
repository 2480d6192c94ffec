"""Start our own programs: the daemon that outlives everybody, and the supervisor of each job."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from pangeo_hpc.errors import SchedulerUnreachable
from pangeo_hpc.files import refusals, write_json
from pangeo_hpc.localqueue import trees
from pangeo_hpc.localqueue.records import Element, identity_json, identity_of
from pangeo_hpc.localqueue.settings import Settings
from pangeo_hpc.localqueue.store import Store, read_record
from pangeo_hpc.machine import Machine
from pangeo_hpc.processes import ProcessId, boot_id, identify
from pangeo_hpc.schedulers.local import package_environment, program

_LARGEST_LOG = 1 << 20
_PASSED_ON = ("PATH", "HOME", "LANG")
_DETACH = '"$@" >&2 & echo $!'
# A daemon shows this often, in seconds, that it is alive; seen from another host it is taken as
# dead after some times that.
_HEARTBEAT = 20.0


def refuse_elsewhere(store: Store, *, now: float) -> None:
    """Raise SchedulerUnreachable if the queue is being run on another host.

    That happens where several hosts share a home: what runs there cannot be seen from here.
    """
    path = store.root / "daemon.json"
    try:
        who = identity_of(read_record(path)["process"])
        age = now - path.stat().st_mtime
    except (TypeError, KeyError, ValueError, OSError):
        return
    if who.host != socket.gethostname() and who.boot != boot_id() and age < 6 * _HEARTBEAT:
        message = f"the queue in {store.root} is being run on {who.host}"
        hint = f"run this on {who.host}, or set user_state in the site YAML to a folder of one host"
        raise SchedulerUnreachable(message, hint=hint)


def show_alive(store: Store) -> None:
    """Let other hosts see that the daemon is alive."""
    path = store.root / "daemon.json"
    if time.time() - path.stat().st_mtime > _HEARTBEAT:
        os.utime(path)


def daemon_of(store: Store) -> ProcessId | None:
    """Return the queue's daemon if it is alive."""
    record = read_record(store.root / "daemon.json")
    try:
        who = identity_of(record["process"])
    except (TypeError, KeyError, ValueError):
        return None
    return who if trees.is_here(who) else None


def capacity_of(store: Store, settings: Settings) -> Machine:
    """Return the size of the machine as the living daemon sees it, else as we do."""
    record = read_record(store.root / "daemon.json")
    if daemon_of(store) and isinstance(record, dict):
        cores, memory = record.get("cores"), record.get("memory")
        if isinstance(cores, int) and isinstance(memory, int):
            return Machine(cores, memory)
    return settings.capacity()


def register(store: Store, who: ProcessId, settings: Settings) -> None:
    """Write down which process is the daemon; the caller holds the lock."""
    size = settings.capacity()
    record = {
        "format": 1,
        "process": identity_json(who),
        "cores": size.cores,
        "memory": size.memory,
    }
    write_json(store.root / "daemon.json", record, mode=0o600)


def ensure_daemon(store: Store, settings: Settings, environ: Mapping[str, str]) -> None:
    """Start the daemon unless it is alive; the caller holds the lock.

    Inside one of our own jobs nothing is started, since it would be ended with the job: the job's
    supervisor does it.
    """
    if daemon_of(store):
        return
    above = set(trees.ancestors(os.getpid()))
    watchers = (e.standing.supervisor for e in store.active() if e.standing.active)
    if any(who and who.pid in above and trees.is_here(who) for who in watchers):
        return
    start_daemon(store, settings, environ)


def start_daemon(store: Store, settings: Settings, environ: Mapping[str, str]) -> None:
    """Start the daemon, detached from whoever starts it; the caller holds the lock."""
    argv = own_argv("serve", store)
    who = identify(_detach(argv, own_environment(settings, environ), log_of(store)))
    if who is not None:
        register(store, who, settings)


def own_argv(verb: str, store: Store, *arguments: str) -> list[str]:
    """Return the command that runs a verb of our own program on this queue."""
    return [*program(sys.executable), verb, "--state", str(store.root), *arguments]


def own_environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of our own programs: short, and without the marks of any job."""
    kept = {name: environ[name] for name in _PASSED_ON if name in environ}
    return kept | package_environment() | settings.variables(environ)


def log_of(store: Store) -> Path:
    """Return the log of the daemon and the supervisors, begun anew when it is large."""
    path = store.root / "daemon.log"
    try:
        if path.stat().st_size > _LARGEST_LOG:
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        pass
    return path


def start_supervisor(
    store: Store, element: Element, settings: Settings, environ: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start the process that will run one element, in a session of its own."""
    return subprocess.Popen(
        own_argv("supervise", store, element.id),
        stdin=subprocess.DEVNULL,
        env=own_environment(settings, environ),
        cwd="/",
        start_new_session=True,
    )


def _detach(argv: list[str], environ: Mapping[str, str], log: Path) -> int:
    """Start a program that belongs to nobody, in a session of its own, and return its pid.

    The shell in between leaves at once, so that the program returns to the first process of the
    machine and not to us.
    """
    with refusals(log):
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        shell = subprocess.Popen(
            ["/bin/sh", "-c", _DETACH, "sh", *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            env=dict(environ),
            cwd="/",
            start_new_session=True,
        )
        answer, _ = shell.communicate()
    finally:
        os.close(output)
    if not answer.strip().isdigit():
        message = "the queue's daemon could not be started: no process could be made"
        raise SchedulerUnreachable(message, hint="try again in a moment")
    return int(answer)
