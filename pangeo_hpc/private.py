"""Secrets between processes of one user: the one way a secret reaches a job on any scheduler.

A secret is a 0600 file in a 0700 directory. It never stands in an argv, an environment variable
that a scheduler stores, a script or a log: on PBS any user reads the variable list of any job.
"""

import os
import secrets
import stat
import time
from pathlib import Path

from pangeo_hpc.errors import NotAllowed

_LARGEST = 1 << 20


def ensure_directory(path: Path) -> Path:
    """Create a directory only its owner can enter, or check that one is so.

    Raise NotAllowed if it is a symlink, somebody else's, or open to others.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        _check(path, os.lstat(path), directory=True)
    return path


def check_directory(path: Path) -> None:
    """Raise NotAllowed unless a directory is there, is ours, and nobody else can enter it."""
    _check(path, os.lstat(path), directory=True)


def put(directory: Path, name: str, secret: str | bytes) -> Path:
    """Store a secret under a name nobody can guess, and return its path.

    The directory is made private first. The path may be told to a job; the content may not.
    """
    ensure_directory(directory)
    path = directory / f"{name}-{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret.encode() if isinstance(secret, str) else secret)
        file.flush()
        os.fsync(file.fileno())
    return path


def read(path: Path) -> bytes:
    """Return a secret that stays where it is, such as a key that many workers read.

    Raise NotAllowed unless the file is a plain one of ours that nobody else can read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        _check(path, os.fstat(file.fileno()), directory=False)
        return file.read(_LARGEST)


def take(path: Path) -> bytes:
    """Return a secret and remove it: it can be read once."""
    secret = read(path)
    path.unlink()
    return secret


def sweep(directory: Path, *, older_than: float, now: float | None = None) -> list[Path]:
    """Remove secrets whose reader never came, and return their paths. Age is in seconds."""
    moment = time.time() if now is None else now
    removed: list[Path] = []
    if not directory.is_dir():
        return removed
    _check(directory, os.lstat(directory), directory=True)
    for path in sorted(directory.iterdir()):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and moment - status.st_mtime > older_than:
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def _check(path: Path, status: os.stat_result, *, directory: bool) -> None:
    wanted = stat.S_ISDIR if directory else stat.S_ISREG
    kind = "directory" if directory else "file"
    if not wanted(status.st_mode):
        text = f"{path} is not a plain {kind}"
    elif status.st_uid != os.geteuid():
        text = f"{path} belongs to user id {status.st_uid}, not to you"
    elif status.st_mode & 0o077:
        text = f"{path} can be read by others (mode {stat.S_IMODE(status.st_mode):04o})"
    else:
        return
    raise NotAllowed(text, hint=f"remove it, or: chmod {'0700' if directory else '0600'} {path}")
