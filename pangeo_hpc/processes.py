"""A process of this machine, known by pid and start time, so that a recycled pid is no one.

Together with the host and the boot it names a process for good, also in a file that outlives it.
"""

import ctypes
import os
import signal
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class ProcessId:
    """What names one process: `started` is in clock ticks after boot, as the kernel counts."""

    host: str
    boot: str
    pid: int
    started: int


@cache
def boot_id() -> str:
    """Return the kernel's id of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in ticks after boot; None if it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # the command's name stands in brackets and may itself hold brackets and blanks
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def identify(pid: int | None = None) -> ProcessId | None:
    """Return the identity of a process of this machine, by default our own; None if it is gone."""
    number = os.getpid() if pid is None else pid
    started = start_ticks(number)
    if started is None:
        return None
    return ProcessId(socket.gethostname(), boot_id(), number, started)


def is_alive(process: ProcessId) -> bool | None:
    """Tell whether exactly this process lives; None if it is on another host, where we can't see.

    A process of an earlier boot of this host is gone.
    """
    if process.host != socket.gethostname():
        return None
    return process.boot == boot_id() and start_ticks(process.pid) == process.started


def end_with(parent: int) -> None:
    """Let the kernel kill this process when its parent ends (Linux); at once if it has ended."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
