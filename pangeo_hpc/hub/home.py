"""What the hub's home page tells of each server of a user, in words that need no script."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.hub import facts
from pangeo_hpc.hub.port import spawners_of
from pangeo_hpc.schedulers.base import JobRequest, JobState, JobStatus
from pangeo_hpc.server.clock import WARNINGS, Span
from pangeo_hpc.units import format_duration

_WORDS = {
    JobState.RUNNING: "running",
    JobState.ENDING: "ending",
    JobState.SUSPENDED: "suspended by the scheduler",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One server as the page shows it; empty text where nothing is known yet.

    `ends` is in seconds since 1970, for the page's own clock; `soon` says that the time left is
    worth a warning.
    """

    name: str
    url: str
    state: str
    node_type: str = ""
    node: str = ""
    job: str = ""
    time_left: str = ""
    core_hours: str = ""
    ends: float | None = None
    soon: bool = False


def servers(user: Any) -> list[Row]:
    """Return the servers of a user that are there or on their way; nothing for nobody."""
    return list(_rows(user, time.time())) if user is not None else []


def _rows(user: Any, now: float) -> Iterator[Row]:
    for outer, spawner in spawners_of(user):
        known = spawner.server_state
        if known is None or not outer.active:
            continue
        span, status = facts.span(spawner), facts.status(spawner)
        try:
            request = facts.request(spawner)
        except PangeoHpcError:
            request = None
        is_up = bool(outer.ready)
        yield Row(
            name=outer.name or "default server",
            url=user.server_url(outer.name),
            state=state_words(status, ready=is_up, stopping=outer.pending == "stop"),
            node_type=request.node_type if request else "",
            node=known.node,
            job=known.job,
            **_clock(span, request, now),
        )


def state_words(status: JobStatus | None, *, ready: bool, stopping: bool) -> str:
    """Return what a server does, in words of every day."""
    if stopping:
        return "being stopped"
    if status is None:
        return "running" if ready else "handed to the scheduler"
    if status.state.waiting:
        return "waiting in the queue"
    if status.state is JobState.RUNNING and not ready:
        return "starting"
    return _WORDS.get(status.state, str(status.state))


def _clock(span: Span, request: JobRequest | None, now: float) -> dict[str, Any]:
    """Return what the page tells of time: the part of a row that ticks."""
    left = span.left(now)
    told: dict[str, Any] = {"ends": span.ends, "time_left": "", "soon": False}
    if left is not None:
        told["time_left"] = _minutes(left)
        told["soon"] = left <= max(WARNINGS)
    if request is not None and span.begun is not None:
        told["core_hours"] = core_hours(request, timedelta(seconds=max(0.0, now - span.begun)))
    return told


def _minutes(left: timedelta) -> str:
    """Return whole minutes, as nobody reads seconds on a page that stands still."""
    whole = timedelta(minutes=left // timedelta(minutes=1))
    return format_duration(whole) if whole else "less than a minute"


def core_hours(request: JobRequest, ran: timedelta) -> str:
    """Return what a job used so far, and what it may use at most."""
    cores = request.cores * request.nodes
    used, most = (cores * each.total_seconds() / 3600 for each in (ran, request.walltime))
    return f"{used:.2f} of at most {most:.2f}"
