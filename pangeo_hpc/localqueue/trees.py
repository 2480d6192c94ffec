"""Trees of processes, their memory, and signals that reach exactly whom they are meant for.

Everything is read from /proc at the moment it is needed. A pid alone is never trusted, since the
kernel gives it to another process as soon as the first one is gone.
"""

import ctypes
import os
import signal
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pangeo_hpc.processes import ProcessId, boot_id, identify

_PROC = Path("/proc")
_PR_SET_CHILD_SUBREAPER = 36
_EXPENDABLE = 300


@dataclass(frozen=True)
class _Stat:
    pid: int
    state: str
    parent: int
    session: int
    started: int


def myself() -> ProcessId:
    """Return the identity of this process."""
    me = identify()
    if me is None:
        message = "/proc does not show this process"
        raise RuntimeError(message)
    return me


def is_here(who: ProcessId) -> bool:
    """Tell whether exactly this process runs on this machine, whatever the machine is called now.

    A laptop may change its name between two networks; its boot stays the same.
    """
    stat = _stat(who.pid)
    return (
        stat is not None
        and stat.started == who.started
        and stat.state not in "ZX"
        and who.boot == boot_id()
    )


def send(who: ProcessId, number: signal.Signals) -> bool:
    """Send a signal to exactly this process, and tell whether it was there.

    Where the kernel has pidfds (5.3), nothing can come between the look and the signal.
    """
    try:
        descriptor = os.pidfd_open(who.pid)
    except ProcessLookupError:
        return False
    except OSError:
        descriptor = None
    try:
        if not is_here(who):
            return False
        if descriptor is None:
            os.kill(who.pid, number)
        else:
            signal.pidfd_send_signal(descriptor, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        if descriptor is not None:
            os.close(descriptor)
    return True


def ancestors(pid: int) -> Iterator[int]:
    """Yield the parent of a process, the parent of that, and so on."""
    stat = _stat(pid)
    while stat and stat.parent > 0:
        yield stat.parent
        stat = _stat(stat.parent)


def descendants(pids: Iterable[int]) -> list[ProcessId]:
    """Return every process below the given ones, parents first."""
    found: dict[int, ProcessId] = {}
    waiting = [child for pid in pids for child in _children(pid)]
    while waiting:
        pid = waiting.pop(0)
        stat = _stat(pid)
        if stat and pid not in found:
            found[pid] = _known(stat)
            waiting += _children(pid)
    return list(found.values())


def of_job(variables: Iterable[str], leader: ProcessId | None) -> list[ProcessId]:
    """Return our processes that belong to a job whose supervisor is gone, but never ourselves.

    They carry all of the `variables` (``NAME=value``) in their environment, or are in the session
    of the job's script while that one is still there, or come from one of these.
    """
    marks = [b"\0" + os.fsencode(variable) + b"\0" for variable in variables]
    session = leader.pid if leader and is_here(leader) else None
    first: dict[int, ProcessId] = {}
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if entry.stat().st_uid != os.geteuid():
                continue
            environ = b"\0" + (entry / "environ").read_bytes()
        except OSError:
            continue
        stat = _stat(int(entry.name))
        if stat is None or stat.state in "ZX":
            continue
        if stat.session == session or all(mark in environ for mark in marks):
            first[stat.pid] = _known(stat)
    below = {who.pid: who for who in descendants(first)} if first else {}
    return [who for who in (first | below).values() if who.pid != os.getpid()]


def memory(tree: Iterable[ProcessId], *, above: int = 0) -> int:
    """Return the bytes of memory that a tree keeps from others: anonymous, shared and swapped.

    Pages that several processes share count once. Pages of files do not count: the kernel can drop
    them. Sharing is only looked into when the plain sum exceeds `above`, since that costs time.
    """
    pids = [who.pid for who in tree]
    rough = sum(_resident(pid) for pid in pids)
    return rough if rough <= above else sum(_proportional(pid) for pid in pids)


def adopt_orphans(wanted: bool) -> None:
    """Make this process the one to which orphans among its descendants return, or no longer."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def sacrifice(pid: int) -> None:
    """Make the kernel end a process and its children before us when memory is short."""
    try:
        ours = int((_PROC / "self/oom_score_adj").read_text())
        (_PROC / str(pid) / "oom_score_adj").write_text(str(min(1000, ours + _EXPENDABLE)))
    except (OSError, ValueError):
        return


def _known(stat: _Stat) -> ProcessId:
    return ProcessId(socket.gethostname(), boot_id(), stat.pid, stat.started)


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The name of the program stands in parentheses and may itself hold spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    if len(fields) < 20:
        return None
    return _Stat(pid, fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        tasks = list((_PROC / str(pid) / "task").iterdir())
    except OSError:
        return found
    for task in tasks:
        try:
            found += [int(word) for word in (task / "children").read_text().split()]
        except FileNotFoundError:
            if task.exists():
                return _children_by_search(pid)
        except OSError:
            continue
    return found


def _children_by_search(pid: int) -> list[int]:
    """Return the children of a process on a kernel built without CONFIG_PROC_CHILDREN."""
    pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    stats = (_stat(other) for other in pids)
    return [stat.pid for stat in stats if stat and stat.parent == pid]


def _resident(pid: int) -> int:
    table = _table(pid, "status")
    return sum(table.get(name, 0) for name in ("RssAnon", "RssShmem", "VmSwap"))


def _proportional(pid: int) -> int:
    table = _table(pid, "smaps_rollup")
    swapped = table.get("SwapPss", 0)
    if "Pss_Anon" in table:
        return table["Pss_Anon"] + table.get("Pss_Shmem", 0) + swapped
    if "Pss" in table:  # before Linux 5.2, files and all
        return min(table["Pss"] + swapped, _resident(pid))
    return _resident(pid)


def _table(pid: int, name: str) -> dict[str, int]:
    """Return the amounts in a file of /proc, in bytes."""
    try:
        lines = (_PROC / str(pid) / name).read_text(errors="replace").splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        words = line.split()
        if len(words) == 3 and words[2] == "kB" and words[1].isdigit():
            found[words[0].rstrip(":")] = int(words[1]) * 1024
    return found
