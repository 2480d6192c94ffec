"""What the hub's home page tells of each server of a user, in words that need no script."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.hub import facts
from pangeo_hpc.hub.port import spawners_of
from pangeo_hpc.hub.spawner import SiteSpawner
from pangeo_hpc.schedulers.base import JobRequest, JobState, JobStatus
from pangeo_hpc.server.clock import WARNINGS, Span
from pangeo_hpc.texts import LANGUAGE, Texts

_WORDS = {
    JobState.STARTING: "starting",
    JobState.RUNNING: "running",
    JobState.ENDING: "ending",
    JobState.SUSPENDED: "suspended",
}
_MINUTE = timedelta(minutes=1)


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


@dataclass(frozen=True)
class Table:
    """The servers of one user that are there or on their way, and the page's words and language."""

    rows: tuple[Row, ...] = ()
    words: dict[str, str] = field(default_factory=dict)
    language: str = ""


def servers(user: Any) -> Table:
    """Return what the page shows of a user's servers; nothing for nobody."""
    found = [pair for pair in spawners_of(user) if pair[0].active and pair[1].server_state]
    if not found:
        return Table()
    texts, now = found[0][1].office.texts, time.time()
    rows = tuple(_rows(user, found, texts, now))
    return Table(rows, texts.part("home"), texts(LANGUAGE))


def _rows(
    user: Any, found: list[tuple[Any, SiteSpawner]], texts: Texts, now: float
) -> Iterator[Row]:
    for outer, spawner in found:
        known, status = spawner.server_state, facts.status(spawner)
        try:
            request = facts.request(spawner)
        except PangeoHpcError:
            # the site has changed, and no longer offers this
            request = None
        word = state_word(status, ready=bool(outer.ready), stopping=outer.pending == "stop")
        yield Row(
            name=outer.name or texts("home.default_server"),
            url=user.server_url(outer.name),
            state=texts(f"home.states.{word}"),
            node_type=request.node_type if request else "",
            node=known.node if known else "",
            job=known.job if known else "",
            **clock(facts.span(spawner), request, now, texts),
        )


def state_word(status: JobStatus | None, *, ready: bool, stopping: bool) -> str:
    """Return what a server does: the end of a text's name."""
    if stopping:
        return "stopping"
    if status is None:
        return "running" if ready else "submitted"
    if status.state.waiting:
        return "waiting"
    if status.state is JobState.RUNNING and not ready:
        return "starting"
    if status.state.ended:
        return "ending"
    return _WORDS.get(status.state, "unknown")


def clock(span: Span, request: JobRequest | None, now: float, texts: Texts) -> dict[str, Any]:
    """Return what the page tells of time: the part of a row that ticks."""
    left = span.left(now)
    told: dict[str, Any] = {"ends": span.ends, "time_left": "", "soon": False}
    if left is not None:
        hours, minutes = divmod(left // _MINUTE, 60)
        text = "home.hours" if hours else "home.minutes"
        told["time_left"] = texts(text, hours=hours, minutes=minutes)
        told["soon"] = left <= max(WARNINGS)
    if request is not None and span.begun is not None:
        cores = request.cores * request.nodes
        ran = max(0.0, min(now, span.ends or now) - span.begun)
        whole = span.walltime or request.walltime.total_seconds()
        used, most = (f"{cores * each / 3600:.2f}" for each in (ran, whole))
        told["core_hours"] = texts("home.used", used=used, most=most)
    return told
