"""What a user's last servers really used, so that the next one asks for no more than it needs.

A small private file of the hub holds the last few servers of each user.
"""

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from pangeo_hpc import files
from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.schedulers.base import JobStatus

KEPT = 5
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Used:
    """What one server used: seconds of walltime, and bytes of memory where that is known."""

    job: str
    node_type: str
    seconds: float
    memory: int | None = None
    state: str = ""

    @classmethod
    def of(cls, status: JobStatus, node_type: str) -> "Used | None":
        """Return what an ended job used; None for one that never began."""
        if status.started is None or status.ended is None:
            return None
        return cls(
            job=status.id,
            node_type=node_type,
            seconds=max(0.0, (status.ended - status.started).total_seconds()),
            memory=status.memory_used,
            state=str(status.state),
        )


class Book:
    """The file of all users. Reading is cheap; writing goes to the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._users = _read(path)

    def last(self, user: str) -> tuple[Used, ...]:
        """Return a user's last servers, the newest last."""
        return self._users.get(user, ())

    def note(self, user: str, used: Used) -> None:
        """Remember one server; the same one told again is remembered once."""
        with self._lock:
            before = [each for each in self.last(user) if each.job != used.job]
            self._users[user] = (*before, used)[-KEPT:]
            plain = {name: [asdict(each) for each in last] for name, last in self._users.items()}
            files.write_json(self._path, {"format": _FORMAT, "users": plain}, mode=0o600)


@cache
def book(path: str) -> Book:
    """Return the book of this process for a file."""
    return Book(Path(path))


def last_of(spawner: Any) -> tuple[Used, ...]:
    """Return the last servers of a spawner's user; a wrapper finds the file in its settings."""
    path = getattr(spawner, "usage_file", "") or spawner.config.SiteSpawner.get("usage_file", "")
    return book(path).last(spawner.user.name) if path else ()


async def note(spawner: Any, status: JobStatus, node_type: str) -> None:
    """Remember what a spawner's job used, once it has ended."""
    used = Used.of(status, node_type)
    if used is None or not spawner.usage_file:
        return
    try:
        await asyncio.to_thread(book(spawner.usage_file).note, spawner.user.name, used)
    except PangeoHpcError as error:
        spawner.log.warning("what a server used is not remembered: %s", error.text)


def _read(path: Path) -> dict[str, tuple[Used, ...]]:
    """Return what a file says; one that is broken says nothing, and is written anew."""
    try:
        users = files.read_json(path)["users"]
        return {name: tuple(_revive(each) for each in last) for name, last in users.items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _revive(kept: Mapping[str, Any]) -> Used:
    names = {each.name for each in fields(Used)}
    return Used(**{key: value for key, value in kept.items() if key in names})
