"""The jobs of a user's servers, as their own folder remembers them."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pangeo_hpc import jobs
from pangeo_hpc.errors import NotAllowed
from pangeo_hpc.hub import login, servers, tickets
from pangeo_hpc.schedulers.base import Scheduler
from pangeo_hpc.site import Person, Site


def recovered(site: Site, person: Person, folder: Path) -> jobs.Job | None:
    """Return the job that a folder remembers, looked up if its id is not known yet."""
    if not (folder / "job.json").is_file():
        return None
    job = jobs.Job.read(folder)
    scheduler = scheduler_of(site, job.request["scheduler"], person)
    return jobs.recover(scheduler, job, user=person.user)


def of_user(site: Site, person: Person) -> Iterator[jobs.Job]:
    """Yield the jobs of a user's servers; the folder is theirs, so anything may lie there."""
    known = login.prepared(site).schedulers
    for path in sorted(servers.home(site, person).glob("jupyter-*/job.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            job = jobs.Job.read(path.parent) if path.is_file() else None
            if job is not None and job.request["scheduler"] in known:
                yield job


def by_scheduler(
    site: Site, person: Person, ticket: tickets.Ticket
) -> dict[str, dict[str, jobs.Job]]:
    """Return the jobs of an order by the scheduler that has them, each under its id at the hub.

    Raise NotAllowed for one that is no server's.
    """
    found: dict[str, dict[str, jobs.Job]] = {}
    left = set(ticket.jobs)
    for job in of_user(site, person):
        key = str(job.request["scheduler"])
        public = at_the_hub(site, person, job)
        if public in ticket.jobs and ticket.scheduler in ("", key):
            found.setdefault(key, {})[public] = job
            left.discard(public)
    if left:
        text = f"not the job of a server of {person.user}'s: {', '.join(sorted(left))}"
        raise NotAllowed(text)
    return found


def told(site: Site, person: Person, job: jobs.Job) -> dict[str, Any]:
    """Return how the hub is told of a job."""
    return {"job": at_the_hub(site, person, job), "scheduler": job.request["scheduler"]}


def at_the_hub(site: Site, person: Person, job: jobs.Job) -> str | None:
    """Return the id by which the hub knows a job: each user's local queue counts from 1."""
    entry = login.prepared(site).schedulers.get(str(job.request["scheduler"]))
    if job.id is None or entry is None or entry.type != "local":
        return job.id
    return f"{job.id}.{person.uid}"


def scheduler_of(site: Site, key: str, person: Person) -> Scheduler:
    """Return a scheduler of the site, or the local queue of the hub's host."""
    return jobs.scheduler_named(login.prepared(site), key, person)
