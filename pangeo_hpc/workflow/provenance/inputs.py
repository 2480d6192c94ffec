"""What is told of an input: where it is, its size and its time, and what identifies it."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# A store of a million chunks is not looked at file by file on a busy filesystem.
MOST_FILES, MOST_SECONDS = 20_000, 3.0


def describe(name: str, identity: str) -> dict[str, Any]:
    """Return what is known of one input; sizes are in bytes, times are in UTC.

    `whole` is False where there are too many files to count: the size is then a lower bound.
    """
    told: dict[str, Any] = {"path": name, "identity": identity}
    if "://" in name:
        return told
    try:
        return told | measure(Path(name))
    except OSError as error:
        return told | {"error": error.strerror}


def measure(path: Path, *, clock: Callable[[], float] = time.monotonic) -> dict[str, Any]:
    """Return the size of a file or directory, its files, and when the newest was changed."""
    if not path.is_dir():
        status = path.stat()
        return _told(status.st_size, 1, status.st_mtime, whole=True)
    size, count, newest, began = 0, 0, path.stat().st_mtime, clock()
    for folder, _, names in os.walk(path):
        for name in names:
            if count >= MOST_FILES or clock() - began > MOST_SECONDS:
                return _told(size, count, newest, whole=False)
            status = os.stat(os.path.join(folder, name), follow_symlinks=False)  # noqa: PTH116, PTH118
            size, count, newest = size + status.st_size, count + 1, max(newest, status.st_mtime)
    return _told(size, count, newest, whole=True)


def _told(size: int, count: int, newest: float, *, whole: bool) -> dict[str, Any]:
    changed = datetime.fromtimestamp(newest, UTC).isoformat(timespec="seconds")
    return {"bytes": size, "files": count, "modified": changed, "whole": whole}
