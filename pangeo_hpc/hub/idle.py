"""When an idle server is stopped, and what its stop gives back: the decision, and a journal of it.

The journal is one JSON object per line, written by the hub alone; a reader may come at any moment.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from pangeo_hpc.hub import bodies

JOURNAL = "given-back.jsonl"
_LARGEST = 10_000
_MOST_WORK, _LONGEST = 20, 300
# Three years, in seconds; not a number and infinity are no less.
_FOR_EVER = 1e8


@dataclass(frozen=True)
class Report:
    """What a server said of itself: how long it has been idle, and what works in it."""

    idle: timedelta
    work: tuple[str, ...]


def read_report(body: bytes) -> Report | None:
    """Return the report in a request, None for anything that is not exactly one."""
    given = bodies.read(body, ("idle", "work"), longest=_LARGEST)
    if given is None:
        return None
    idle, work = given["idle"], given["work"]
    if type(idle) not in (int, float) or not 0 <= idle < _FOR_EVER:
        return None
    if not isinstance(work, list) or not all(isinstance(each, str) for each in work):
        return None
    return Report(timedelta(seconds=idle), tuple(each[:_LONGEST] for each in work[:_MOST_WORK]))


def time_to_stop(report: Report, after: timedelta | None) -> timedelta | None:
    """Return how long an idle server may go on, nothing or less if its time is up.

    None for a server that works, and where idle servers are left alone.
    """
    if after is None or report.work:
        return None
    return after - report.idle


@dataclass(frozen=True, kw_only=True)
class GivenBack:
    """One server that was stopped for being idle: `cores` for `seconds_left` of its walltime.

    `time` is in seconds since 1970.
    """

    time: float
    user: str
    server: str
    job: str
    node_type: str
    cores: int
    idle_seconds: float
    seconds_left: float

    @property
    def core_hours(self) -> float:
        """Return what others could use."""
        return self.cores * self.seconds_left / 3600


def note(path: Path, entry: GivenBack) -> None:
    """Add one line to the journal, readable for the hub's account only."""
    line = json.dumps({**asdict(entry), "core_hours": round(entry.core_hours, 4)}) + "\n"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        # the line of before may have been cut by a full disk
        file.write((line if file.read(1) in (b"", b"\n") else f"\n{line}").encode())
        file.flush()
        os.fsync(file.fileno())


def read(path: Path, since: float = 0.0) -> tuple[GivenBack, ...]:
    """Return the journal from a moment on, oldest first; nothing if there is none yet.

    A line that is not whole, as after a full disk, is left out.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        return ()
    return tuple(each for each in _entries(text) if each.time >= since)


def total(entries: Sequence[GivenBack]) -> float:
    """Return the core-hours that were given back together."""
    return sum(each.core_hours for each in entries)


def _entries(text: str) -> Iterator[GivenBack]:
    names = {each.name for each in fields(GivenBack)}
    for line in text.splitlines():
        try:
            given: Mapping[str, Any] = json.loads(line)
            yield GivenBack(**{key: value for key, value in given.items() if key in names})
        except (ValueError, TypeError, AttributeError):
            continue
