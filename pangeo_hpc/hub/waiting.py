"""What a person who waits for a server is told: one event, which changes when something does."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pangeo_hpc.hub.poller import News, Poller
from pangeo_hpc.hub.state import ServerState
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.schedulers.reasons import Reason, explain
from pangeo_hpc.texts import Texts
from pangeo_hpc.units import format_walltime

if TYPE_CHECKING:
    from pangeo_hpc.hub.spawner import SiteSpawner

# So many intervals without an answer, and the scheduler is said to be quiet.
QUIET = 4
_PARTS = {
    JobState.HELD: ("held", 20),
    JobState.PENDING: ("pending", 20),
    JobState.STARTING: ("starting", 40),
    JobState.RUNNING: ("running", 60),
    JobState.SUSPENDED: ("suspended", 50),
    JobState.ENDING: ("ending", 90),
}
# Whose place in the queue is known by the order of submission only.
_BY_AGE = frozenset({"pbs"})


def event(spawner: "SiteSpawner") -> dict[str, Any]:
    """Return the one event that says how far a server is."""
    office, state = spawner.office, spawner.server_state
    if state is None or not state.job:
        return submitting(office.texts, state)
    poller = office.poller(state.scheduler)
    news = poller.news(state.job)
    waits = news is not None and news.status.state is JobState.PENDING
    line = office.lines.get(state.scheduler)
    return told(
        office.texts,
        state,
        news.status if news else None,
        kind=office.kind(state.scheduler),
        ahead=line.ahead(state.job) if waits and line else None,
        quiet=news is not None and is_quiet(poller, news),
    )


def page(spawner: "SiteSpawner", now: float) -> dict[str, Any]:
    """Return the event for a page that is made now, with its times as text.

    A browser without JavaScript shows these; the others count on from `now`.
    """
    told = event(spawner)
    asked, start = told.get("asked"), told.get("estimated_start")
    elapsed = format_walltime(timedelta(seconds=max(0, int(now - asked)))) if asked else ""
    estimated = f"{datetime.fromtimestamp(start, UTC):%Y-%m-%d %H:%M} UTC" if start else ""
    return told | {"now": now, "elapsed": elapsed, "estimated": estimated}


def submitting(texts: Texts, state: ServerState | None) -> dict[str, Any]:
    """Return the event of a server that has no job yet."""
    sentence = texts("waiting.submitting")
    asked = state.asked if state else None
    return {"progress": 5, "message": sentence, "line": [sentence], "asked": asked}


def told(
    texts: Texts,
    state: ServerState,
    status: JobStatus | None,
    *,
    kind: str,
    ahead: int | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Return an event: JupyterHub's `progress` and `message`, and what the page shows.

    `line` are the sentences of the one live line. Times are seconds since 1970, `estimated_start`
    too; `words` are the scheduler's own.
    """
    if status is None:
        sentence = texts("waiting.submitted", job=state.job)
        told: dict[str, Any] = {"progress": 10, "message": sentence, "line": [sentence]}
        return told | {"job": state.job, "asked": state.asked}
    name, progress = _part(status, reported=bool(state.port))
    sentence = texts(
        f"waiting.{name}",
        job=status.id,
        queue=status.queue or "?",
        nodes=_listed(status.nodes) or texts("waiting.somewhere"),
        state=texts(f"states.{status.state.name.lower()}"),
    )
    reason = explain(kind, status.reason) if status.state.waiting else Reason()
    because = texts.say(reason.sentence) if reason.sentence else reason.words
    line = [sentence, because, _ahead(texts, kind, ahead)]
    if quiet:
        line.append(texts("waiting.quiet"))
    line = [part for part in line if part]
    start = status.estimated_start
    return {
        "progress": progress,
        "message": " ".join(line),
        "line": line,
        "advice": texts.say(reason.advice) if reason.advice else "",
        "lasting": reason.lasting,
        "words": status.reason,
        "state": str(status.state),
        "job": status.id,
        "queue": status.queue,
        "nodes": list(status.nodes),
        "ahead": ahead,
        "restarts": status.restarts,
        "asked": state.asked,
        "estimated_start": start.timestamp() if start else None,
    }


def _part(status: JobStatus, *, reported: bool) -> tuple[str, int]:
    """Return which text fits, and how far a server is in percent."""
    if status.state is JobState.PENDING and status.restarts:
        return "again", 20
    if status.state is JobState.RUNNING and reported:
        return "reported", 90
    return _PARTS.get(status.state, ("other", 60))


def _ahead(texts: Texts, kind: str, ahead: int | None) -> str:
    """Return how many jobs come first; none is no news, for others may only not be shown."""
    if not ahead:
        return ""
    name = "earlier" if kind in _BY_AGE else "ahead"
    return (
        texts(f"waiting.{name}_one") if ahead == 1 else texts(f"waiting.{name}_many", count=ahead)
    )


def _listed(nodes: Iterable[str]) -> str:
    return ", ".join(nodes)


def is_quiet(poller: Poller, news: News) -> bool:
    """Tell whether nothing was heard of a job for much longer than usual."""
    return time.monotonic() - news.heard > QUIET * poller.interval
