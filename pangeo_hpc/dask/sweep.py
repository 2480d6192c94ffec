"""What dead clusters left: their keys, and the place of their dashboards.

A cluster removes both when it is closed. One whose process was killed cannot; the next cluster of
the same user does it. That of another host is taken for dead once it gave no sign of life for a
day.
"""

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from pangeo_hpc import files, processes
from pangeo_hpc.errors import NotAllowed
from pangeo_hpc.processes import ProcessId
from pangeo_hpc.server.boards import DIRECTORY, RECORD, Board, check

OWNER = "process.json"
KEYS = "tls"
# Seconds between signs of life, and without one after which nobody lives.
EVERY, SILENT = 300.0, 86400.0

# A process in a container does not see those outside, though the host has the same name.
_NAMESPACE = Path("/proc/self/ns/pid")


def own(folder: Path) -> None:
    """Write down in a new cluster's folder which process it belongs to."""
    me = processes.identify()
    if me is not None:
        told = {"format": 1, "namespace": _namespace(), **asdict(me)}
        files.write_json(folder / OWNER, told, mode=0o600)


def sign(folder: Path) -> None:
    """Give a sign of life of a cluster."""
    with suppress(OSError):
        os.utime(folder / OWNER)


def disown(folder: Path) -> None:
    """Take back what `own` wrote: the cluster is closed and has left nothing."""
    with suppress(OSError):
        (folder / OWNER).unlink(missing_ok=True)


def sweep(
    clusters: Path,
    *,
    now: float | None = None,
    alive: Callable[[ProcessId], bool | None] = processes.is_alive,
) -> list[Path]:
    """Remove the keys and dashboards of clusters that are dead, and return their folders.

    Their logs stay. A folder that does not tell its process is left to `remove_old`.
    """
    moment = time.time() if now is None else now
    dead = [folder for folder in _folders(clusters) if _is_dead(folder, moment, alive)]
    for folder in dead:
        shutil.rmtree(folder / KEYS, ignore_errors=True)
        if _remove_board(folder):
            disown(folder)
    return dead


def remove_old(home: Path, days: float, now: float | None = None) -> None:
    """Remove the folders of clusters that ended, or died, so long ago."""
    oldest = (time.time() if now is None else now) - days * 86400
    for folder in home.iterdir() if home.is_dir() else ():
        if folder.is_dir() and not folder.is_symlink() and folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)


def _folders(clusters: Path) -> list[Path]:
    found = clusters.iterdir() if clusters.is_dir() else ()
    return sorted(each for each in found if each.is_dir() and not each.is_symlink())


def _is_dead(folder: Path, now: float, alive: Callable[[ProcessId], bool | None]) -> bool:
    path = folder / OWNER
    try:
        told, seen = files.read_json(path), path.stat().st_mtime
        known = ProcessId(told["host"], told["boot"], told["pid"], told["started"])
        lives = alive(known) if told["namespace"] == _namespace() else None
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return now - seen > SILENT if lives is None else not lives


def _remove_board(folder: Path) -> bool:
    """Remove the directory of a dead dashboard; tell whether none is left on any host."""
    try:
        board = Board.read(folder)
    except (OSError, ValueError, KeyError, NotAllowed):
        return True
    mine = processes.identify()
    if mine is None or board.host != mine.host:
        return False
    path = Path(board.socket)
    try:
        check(path)
        ours = path.parent.name.startswith(DIRECTORY)
    except (OSError, NotAllowed):
        ours = False  # gone already, or by now somebody else's
    if ours:
        shutil.rmtree(path.parent, ignore_errors=True)
    with suppress(OSError):
        (folder / RECORD).unlink(missing_ok=True)
    return True


def _namespace() -> str:
    try:
        return str(_NAMESPACE.readlink())
    except OSError:
        return ""
