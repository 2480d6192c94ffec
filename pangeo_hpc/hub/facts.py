"""What the hub knows of a running server: its job's times, and what the job has."""

from typing import TYPE_CHECKING

from pangeo_hpc.hub import choices
from pangeo_hpc.hub.desk import person_of
from pangeo_hpc.schedulers.base import JobRequest, JobStatus
from pangeo_hpc.server.clock import Span

if TYPE_CHECKING:
    from pangeo_hpc.hub.spawner import SiteSpawner


def status(spawner: "SiteSpawner") -> JobStatus | None:
    """Return what was last heard of a server's job; nothing is asked."""
    state = spawner.server_state
    poller = spawner.office.poller(state.scheduler) if state and state.job else None
    news = poller.news(state.job) if state and poller else None
    return news.status if news else None


def span(spawner: "SiteSpawner") -> Span:
    """Return when a server's job began and ends: what the scheduler said last wins.

    A walltime may be changed while the job runs.
    """
    heard, state = status(spawner), spawner.server_state
    if heard is not None and heard.started is not None and heard.walltime is not None:
        begun = heard.started.timestamp()
        return Span(begun=begun, ends=begun + heard.walltime.total_seconds())
    return Span(begun=state.begun, ends=state.ends) if state else Span()


def request(spawner: "SiteSpawner") -> JobRequest | None:
    """Return what a server's job asked for, None for a user whom this host does not know.

    Raise RequestRefused or UnknownName if the site no longer offers that.
    """
    try:
        person = person_of(spawner.user.name)
    except KeyError:
        return None
    return choices.decide(spawner.office.site, choices.read(spawner.user_options), person)
