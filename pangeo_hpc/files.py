"""Files that are whole or not there: atomic writes and locks."""

import errno
import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pangeo_hpc.errors import NotAllowed

_REFUSALS = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ELOOP,
    errno.ENOLCK,
    errno.ENOSYS,
    errno.EOPNOTSUPP,
}
_HINTS = {
    errno.ENOSPC: "the disk is full: free some space and run the same command again",
    errno.EDQUOT: "your quota is used up: delete or move some of your files",
    errno.ENOTDIR: "a file is where a directory has to be",
    errno.EEXIST: "something else is already there",
    **dict.fromkeys(
        (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP),
        "this filesystem has no locks: put user_state of the site on one that has",
    ),
}


def refused(path: Path | str | None, error: OSError) -> NotAllowed | None:
    """Return NotAllowed, naming the path, for an error of permission, quota or space, else None."""
    if error.errno not in _REFUSALS:
        return None
    where = Path(path or error.filename or "a file")
    hint = _HINTS.get(error.errno, f"check who owns {where.parent}, and its permissions")
    return NotAllowed(f"{where} cannot be used: {error.strerror}", hint=hint)


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Turn a permission, quota or full-disk error into NotAllowed, which names the path."""
    try:
        yield
    except OSError as error:
        told = refused(path, error)
        if told is None:
            raise
        raise told from error


def write_atomic(
    path: Path,
    content: str | bytes,
    *,
    mode: int = 0o644,
    last: Callable[[], object] | None = None,
) -> None:
    """Write a file whole or not at all, and on the disk when this returns.

    The content goes to a new file beside it, is synced, and takes the name by one rename. `last` is
    called before that: what it raises leaves the file as it was. Raise NotAllowed for missing
    permission, quota or space.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    with refusals(path):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if last is not None:
                last()
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def write_json(
    path: Path, value: Any, *, mode: int = 0o644, last: Callable[[], object] | None = None
) -> None:
    """Write a value as readable JSON, whole or not at all; see `write_atomic`."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    write_atomic(path, text, mode=mode, last=last)


def read_json(path: Path) -> Any:
    """Return what a JSON file holds. Raise FileNotFoundError, or ValueError if it is broken."""
    return json.loads(path.read_text())


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path, *, mode: int = 0o755) -> Path:
    """Create a directory and its parents; NotAllowed where that is not permitted."""
    with refusals(path):
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    return path


@contextmanager
def lock(path: Path, *, timeout: float = 30.0) -> Iterator[None]:
    """Hold an exclusive lock on a file, among processes of one machine.

    Raise TimeoutError if somebody else keeps it for longer than `timeout` seconds.
    """
    with refusals(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + timeout
        while True:
            try:
                with refusals(path):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    message = f"{path} is held by another process"
                    raise TimeoutError(message) from None
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)
