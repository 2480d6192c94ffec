"""What the program that acts as a user does, one function for each verb of an order.

Everything is decided from the site, the person that this process is, and the ticket; the answers
are JSON-able.
"""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pangeo_hpc import files, jobs, private
from pangeo_hpc.errors import PangeoHpcError, UnknownName, UsageError
from pangeo_hpc.hub import choices, login, records, request, servers, tickets
from pangeo_hpc.hub import preview as looks
from pangeo_hpc.jobs.record import keep
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.server import wording
from pangeo_hpc.site import Person, Site


def submit(site: Site, person: Person, ticket: tickets.Ticket) -> dict[str, Any]:
    """Submit a server's job once; the same order again answers with the same job."""
    if not ticket.name:
        raise UsageError("submit wants a name")
    asked = choices.read(ticket.choices)
    choices.decide(site, asked, person)
    home = private.ensure_directory(servers.home(site, person))
    folder = home / ticket.name
    with files.lock(home / ".submit", timeout=60.0):
        job = records.recovered(site, person, folder) or _new(site, person, ticket, asked, folder)
        servers.sweep(home, time.time())
    return records.told(site, person, job)


def _new(
    site: Site, person: Person, ticket: tickets.Ticket, asked: choices.Choices, folder: Path
) -> jobs.Job:
    files.make_directory(folder, mode=0o700)
    files.write_json(folder / "site.json", request.site_of_server(site, asked).dump(), mode=0o600)
    wording.write(folder, site.hub.texts if site.hub else None)
    secret = private.put(folder / "private", "server", json.dumps(dict(ticket.variables)))
    wanted = request.of_server(site, person, asked, folder, secret)
    scheduler = records.scheduler_of(site, wanted.scheduler, person)
    try:
        return jobs.submit(scheduler, wanted, folder, user=person.user)
    except PangeoHpcError:
        job = jobs.Job.read(folder) if (folder / "job.json").exists() else None
        if job is None or job.state in ("refused", "not taken"):
            secret.unlink(missing_ok=True)
        raise


def find(site: Site, person: Person, ticket: tickets.Ticket) -> dict[str, Any]:
    """Tell which job a submission became, of which the hub did not live to hear."""
    home = private.ensure_directory(servers.home(site, person))
    with files.lock(home / ".submit", timeout=60.0):
        job = records.recovered(site, person, home / ticket.name) if ticket.name else None
    if job is None:
        raise UnknownName(f"{person.user} has no server {ticket.name!r}")
    return {**records.told(site, person, job), "unclear": job.state == "submitting"}


def status(site: Site, person: Person, ticket: tickets.Ticket) -> dict[str, Any]:
    """Tell what queue, history and their own files know of jobs of this user's.

    Others may not ask where job data are private, and some schedulers keep no history.
    """
    found: dict[str, Any] = {}
    for key, mine in records.by_scheduler(site, person, ticket).items():
        names = {job.id: public for public, job in mine.items() if job.id}
        exits = {job.id: job.exit_file for job in mine.values() if job.id}
        known = jobs.status(records.scheduler_of(site, key, person), list(names), exit_files=exits)
        for job_id, each in known.items():
            if job_id in names and each.state is not JobState.LOST:
                found[names[job_id]] = keep(replace(each, id=names[job_id]))
    return {"jobs": found}


def cancel(site: Site, person: Person, ticket: tickets.Ticket) -> dict[str, Any]:
    """Cancel servers' jobs, and no other job of the user's."""
    problems: dict[str, str] = {}
    for key, mine in records.by_scheduler(site, person, ticket).items():
        names = {job.id: public for public, job in mine.items() if job.id}
        said = jobs.cancel(records.scheduler_of(site, key, person), list(names))
        problems |= {names[job_id]: text for job_id, text in said.items()}
        for job in mine.values():
            private.sweep(job.folder / "private", older_than=0)
    return {"problems": problems}


def alive(site: Site, person: Person, ticket: tickets.Ticket) -> dict[str, Any]:
    """Tell every job of a server of this user's that has not ended, also one the hub forgot."""
    del ticket
    found = []
    known = [job for job in records.of_user(site, person) if job.id]
    states = jobs.statuses(login.prepared(site), person, known)
    for job, each in zip(known, states, strict=True):
        if not _is_over(each):
            found.append({**records.told(site, person, job), "name": job.name})
    return {"jobs": found}


def _is_over(status: JobStatus) -> bool:
    return status.state.ended or status.state is JobState.ENDING


def logs(site: Site, person: Person, ticket: tickets.Ticket) -> dict[str, Any]:
    """Tell the last lines of what a server printed, its exit status, and where no room is left."""
    folder = servers.home(site, person) / ticket.name
    if not ticket.name or not (folder / "job.json").is_file():
        raise UnknownName(f"{person.user} has no server {ticket.name!r}")
    job = jobs.Job.read(folder)
    code: int | None = None
    with suppress(OSError, ValueError):
        # a pipe in the place of a file would be waited for without end
        code = int(job.exit_file.read_text()) if job.exit_file.is_file() else None
    full = [str(place) for place in (folder, person.home) if servers.is_full(place)]
    return {
        "lines": servers.tail(job.output, ticket.lines),
        "exit_code": code,
        "job": job.id,
        "full": full[0] if full else "",
    }


def preview(site: Site, person: Person, ticket: tickets.Ticket) -> dict[str, Any]:
    """Tell what would be submitted, and when it would start; nothing is made or submitted."""
    asked = choices.read(ticket.choices)
    choices.decide(site, asked, person)
    folder = servers.home(site, person) / tickets.NO_NAME
    wanted = request.of_server(site, person, asked, folder, looks.PLACEHOLDER)
    return looks.preview(login.prepared(site), person, wanted)


def soonest(site: Site, person: Person, ticket: tickets.Ticket) -> dict[str, Any]:
    """Tell when jobs of the asked shape would start, on any node type; nothing is submitted."""
    return {"offers": looks.soonest(site, person, choices.read(ticket.choices))}


# The same as tickets.VERBS, which the sudo rule is made of.
VERBS: Mapping[str, Callable[[Site, Person, tickets.Ticket], Mapping[str, Any]]] = {
    "submit": submit,
    "find": find,
    "status": status,
    "cancel": cancel,
    "logs": logs,
    "servers": alive,
    "preview": preview,
    "soonest": soonest,
}
