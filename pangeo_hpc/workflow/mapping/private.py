"""Read a file that may be executed, as a pickle may: only where nobody else could have put it."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from pangeo_hpc.errors import NotAllowed

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def read(root: Path, parts: Sequence[str]) -> bytes:
    """Return the content of a file below a folder, both of ours alone.

    The folder, every folder on the way and the file are opened one from the other and looked at
    while they are open; links are not followed. Raise NotAllowed if one of them belongs to somebody
    else or can be written by others, and FileNotFoundError if there is none.
    """
    here = root
    descriptor = _open(root, None, _DIRECTORY)
    try:
        _check(here, os.fstat(descriptor), directory=True)
        for part in parts[:-1]:
            here = here / part
            below = _open(here, descriptor, _DIRECTORY)
            os.close(descriptor)
            descriptor = below
            _check(here, os.fstat(descriptor), directory=True)
        here = here / parts[-1]
        with os.fdopen(_open(here, descriptor, _FILE), "rb") as file:
            _check(here, os.fstat(file.fileno()), directory=False)
            return file.read()
    finally:
        os.close(descriptor)


def _open(path: Path, directory: int | None, flags: int) -> int:
    try:
        return os.open(path if directory is None else path.name, flags, dir_fd=directory)
    except FileNotFoundError:
        raise
    except OSError as error:
        # a link gives ELOOP, or ENOTDIR where a directory is asked for
        raise _refused(path, f"is a link, or cannot be opened ({error.strerror})") from error


def _check(path: Path, found: os.stat_result, *, directory: bool) -> None:
    wanted = stat.S_ISDIR if directory else stat.S_ISREG
    if not wanted(found.st_mode):
        raise _refused(path, f"is no plain {'folder' if directory else 'file'}")
    if found.st_uid != os.geteuid():
        raise _refused(path, f"belongs to user id {found.st_uid}")
    if found.st_mode & 0o022:
        raise _refused(path, f"can be written by others (mode {stat.S_IMODE(found.st_mode):04o})")


def _refused(path: Path, why: str) -> NotAllowed:
    text = f"a kept result is not loaded, since loading a pickle runs it: {path} {why}"
    hint = "if nobody else was there: chmod go-w; otherwise remove it, and it is computed again"
    return NotAllowed(text, hint=hint)
