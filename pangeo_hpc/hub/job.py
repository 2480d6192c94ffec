"""The one program by which the hub acts as a user: `pangeo-hpc-hub-job submit`, `cancel` and so on.

It is started by one sudo rule, reads one order from its standard input, decides everything from the
root-owned site YAML itself, and answers in JSON. A hub in hostile hands can do with it what the
users of the hub can do at the hub, and no more.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pangeo_hpc import files, jobs, private, scratch
from pangeo_hpc.errors import (
    Exit,
    NotAllowed,
    PangeoHpcError,
    RequestRefused,
    SiteError,
    UnknownName,
    UsageError,
)
from pangeo_hpc.hub import choices as room
from pangeo_hpc.hub import login, owned, servers, tickets
from pangeo_hpc.hub import preview as looks
from pangeo_hpc.hub.tickets import PROBLEM
from pangeo_hpc.jobs.record import keep
from pangeo_hpc.schedulers import registry
from pangeo_hpc.schedulers.base import JobRequest, JobState, JobStatus, Scheduler
from pangeo_hpc.server import wording
from pangeo_hpc.site import Person, Site, current_person, load_site
from pangeo_hpc.texts import problem

SITE_FILE = Path("/etc/pangeo-hpc/site.yaml")
LOWEST_UID = 1000
# The account that owns nothing, on every Linux; its number is above those of system accounts.
NOBODY = 65534


def main(argv: Sequence[str] | None = None, *, site_file: Path | str = SITE_FILE) -> None:
    """Carry out one order and exit with the code that tells what happened."""
    words = sys.argv[1:] if argv is None else list(argv)
    code, answer = carry_out(words, sys.stdin.buffer.read(tickets.LARGEST + 1), Path(site_file))
    sys.stdout.write(json.dumps({"format": tickets.FORMAT, **answer}) + "\n")
    sys.stdout.flush()
    sys.exit(code)


def carry_out(words: Sequence[str], given: bytes, site_file: Path) -> tuple[int, Mapping[str, Any]]:
    """Return the exit code and the answer to one order; an error is an answer."""
    # the hub's says nothing of how a user's files should be; what is private says so itself
    os.umask(0o022)
    os.chdir("/")
    try:
        verb = _VERBS.get(words[0]) if len(words) == 1 else None
        if verb is None:
            raise UsageError(f"one of these is wanted: {', '.join(_VERBS)}")
        ticket = _ticket(given)
        owned.check(site_file)
        site = load_site(site_file, schedulers=registry.names())
        person = current_person(environ={})
        admit(site, person, ticket.user)
        return Exit.DONE, verb(site, person, ticket)
    except PangeoHpcError as error:
        return error.exit_code, {"error": plain_error(error)}
    except OSError as error:
        told = files.refused(None, error) or NotAllowed(f"{error.filename}: {error.strerror}")
        return told.exit_code, {"error": plain_error(told)}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # only what lies in the user's own folder is not what this program wrote there
        damaged = NotAllowed(f"a record of a server is damaged: {type(error).__name__}: {error}")
        return damaged.exit_code, {"error": plain_error(damaged)}


def admit(site: Site, person: Person, user: str) -> None:
    """Raise NotAllowed for a person whom the hub does not serve, whoever asks."""
    if person.uid < LOWEST_UID or person.uid == NOBODY:
        raise NotAllowed(f"{person.user} is a system account (uid {person.uid})")
    if person.user != user:
        raise NotAllowed(f"the order is for {user}, and this is {person.user}")
    if site.hub is None:
        raise NotAllowed(f"site {site.name} has no hub")
    if not servers.is_member(person, site.hub.allowed_groups):
        groups = ", ".join(site.hub.allowed_groups) or "none"
        raise NotAllowed(f"{user} is in none of the hub's groups: {groups}")


def submit(site: Site, person: Person, ticket: tickets.Ticket) -> dict[str, Any]:
    """Submit a server's job once; the same order again answers with the same job."""
    if not ticket.name:
        raise UsageError("submit wants a name")
    asked = room.read(ticket.choices)
    room.decide(site, asked, person)
    home = private.ensure_directory(servers.home(site, person))
    folder = home / ticket.name
    with files.lock(home / ".submit", timeout=60.0):
        job = _recovered(site, person, folder) or _new(site, person, ticket, asked, folder)
        servers.sweep(home, time.time())
    return _told(site, person, job)


def find(site: Site, person: Person, ticket: tickets.Ticket) -> dict[str, Any]:
    """Tell which job a submission became, of which the hub did not live to hear."""
    home = private.ensure_directory(servers.home(site, person))
    with files.lock(home / ".submit", timeout=60.0):
        job = _recovered(site, person, home / ticket.name) if ticket.name else None
    if job is None:
        raise UnknownName(f"{person.user} has no server {ticket.name!r}")
    return {**_told(site, person, job), "unclear": job.state == "submitting"}


def _recovered(site: Site, person: Person, folder: Path) -> jobs.Job | None:
    """Return the job that a folder remembers, looked up if its id is not known yet."""
    if not (folder / "job.json").is_file():
        return None
    job = jobs.Job.read(folder)
    scheduler = _scheduler(site, job.request["scheduler"], person)
    return jobs.recover(scheduler, job, user=person.user)


def _new(
    site: Site, person: Person, ticket: tickets.Ticket, asked: room.Choices, folder: Path
) -> jobs.Job:
    files.make_directory(folder, mode=0o700)
    files.write_json(folder / "site.json", load_site_with(site, asked).dump(), mode=0o600)
    wording.write(folder, site.hub.texts if site.hub else None)
    secret = private.put(folder / "private", "server", json.dumps(dict(ticket.variables)))
    request = _request(site, person, asked, folder, secret)
    scheduler = _scheduler(site, request.scheduler, person)
    try:
        return jobs.submit(scheduler, request, folder, user=person.user)
    except PangeoHpcError:
        job = jobs.Job.read(folder) if (folder / "job.json").exists() else None
        if job is None or job.state in ("refused", "not taken"):
            secret.unlink(missing_ok=True)
        raise


def _request(
    site: Site, person: Person, asked: room.Choices, folder: Path, secret: Path
) -> JobRequest:
    """Return the whole job of a server; its name is that of its folder."""
    name, _, nonce = folder.name.rpartition("-")
    where, ask = room.planned(site, asked)
    is_login = room.profile(site, asked) == login.LOGIN
    return jobs.plan(
        where,
        ask,
        name=name,
        nonce=nonce,
        command=(
            *(sys.executable, "-I", "-m", "pangeo_hpc.hub.singleuser", str(secret)),
            *(("loopback",) if is_login else ()),
        ),
        use="notebook",
        person=person,
        environment={
            "PANGEO_HPC_SITE": str(folder / "site.json"),
            "PANGEO_HPC_NODE_TYPE": "" if is_login else site.node_type(asked.node_type).name,
            **scratch.variable(site, person),
        },
        working_directory=_directory(person, asked),
        folder=folder,
    )


def preview(site: Site, person: Person, ticket: tickets.Ticket) -> dict[str, Any]:
    """Tell what would be submitted, and when it would start; nothing is made or submitted."""
    asked = room.read(ticket.choices)
    room.decide(site, asked, person)
    folder = servers.home(site, person) / tickets.NO_NAME
    request = _request(site, person, asked, folder, looks.PLACEHOLDER)
    return looks.preview(login.prepared(site), person, request)


def soonest(site: Site, person: Person, ticket: tickets.Ticket) -> dict[str, Any]:
    """Tell when jobs of the asked shape would start, on any node type; nothing is submitted."""
    return {"offers": looks.soonest(site, person, room.read(ticket.choices))}


def load_site_with(site: Site, asked: room.Choices) -> Site:
    """Return the site whose defaults are what the user chose for this server."""
    defaults = site.defaults.model_copy(
        update={
            name: value
            for name in ("account", "environment")
            if (value := getattr(asked, name)) is not None
        }
    )
    return site.model_copy(update={"defaults": defaults})


def _directory(person: Person, asked: room.Choices) -> Path:
    text = asked.working_directory or "~"
    path = person.home / Path(text).expanduser() if text[0] != "~" else person.home / text[2:]
    if not path.is_dir() or not os.access(path, os.X_OK):
        keys = ("limits.no_directory", "limits.no_directory_hint")
        raise RequestRefused([problem("working_directory", *keys, value=str(path))])
    return path


def status(site: Site, person: Person, ticket: tickets.Ticket) -> dict[str, Any]:
    """Tell what queue, history and their own files know of jobs of this user's.

    Others may not ask where job data are private, and some schedulers keep no history.
    """
    found: dict[str, Any] = {}
    for key, mine in _by_scheduler(site, person, ticket).items():
        names = {job.id: public for public, job in mine.items() if job.id}
        exits = {job.id: job.exit_file for job in mine.values() if job.id}
        known = jobs.status(_scheduler(site, key, person), list(names), exit_files=exits)
        for job_id, each in known.items():
            if job_id in names and each.state is not JobState.LOST:
                found[names[job_id]] = keep(replace(each, id=names[job_id]))
    return {"jobs": found}


def cancel(site: Site, person: Person, ticket: tickets.Ticket) -> dict[str, Any]:
    """Cancel servers' jobs, and no other job of the user's."""
    problems: dict[str, str] = {}
    for key, mine in _by_scheduler(site, person, ticket).items():
        names = {job.id: public for public, job in mine.items() if job.id}
        said = jobs.cancel(_scheduler(site, key, person), list(names))
        problems |= {names[job_id]: text for job_id, text in said.items()}
        for job in mine.values():
            private.sweep(job.folder / "private", older_than=0)
    return {"problems": problems}


def alive(site: Site, person: Person, ticket: tickets.Ticket) -> dict[str, Any]:
    """Tell every job of a server of this user's that has not ended, also one the hub forgot."""
    del ticket
    found = []
    known = [job for job in _records(site, person) if job.id]
    states = jobs.statuses(login.prepared(site), person, known)
    for job, each in zip(known, states, strict=True):
        if not _is_over(each):
            found.append({**_told(site, person, job), "name": job.name})
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


def _by_scheduler(
    site: Site, person: Person, ticket: tickets.Ticket
) -> dict[str, dict[str, jobs.Job]]:
    """Return the jobs of an order by the scheduler that has them, each under its id at the hub.

    Raise NotAllowed for one that is no server's.
    """
    found: dict[str, dict[str, jobs.Job]] = {}
    left = set(ticket.jobs)
    for job in _records(site, person):
        key = str(job.request["scheduler"])
        public = _at_the_hub(site, person, job)
        if public in ticket.jobs and ticket.scheduler in ("", key):
            found.setdefault(key, {})[public] = job
            left.discard(public)
    if left:
        text = f"not the job of a server of {person.user}'s: {', '.join(sorted(left))}"
        raise NotAllowed(text)
    return found


def _told(site: Site, person: Person, job: jobs.Job) -> dict[str, Any]:
    return {"job": _at_the_hub(site, person, job), "scheduler": job.request["scheduler"]}


def _at_the_hub(site: Site, person: Person, job: jobs.Job) -> str | None:
    """Return the id by which the hub knows a job: each user's local queue counts from 1."""
    entry = login.prepared(site).schedulers.get(str(job.request["scheduler"]))
    if job.id is None or entry is None or entry.type != "local":
        return job.id
    return f"{job.id}.{person.uid}"


def _scheduler(site: Site, key: str, person: Person) -> Scheduler:
    return jobs.scheduler_named(login.prepared(site), key, person)


def _records(site: Site, person: Person) -> Iterator[jobs.Job]:
    """Yield the jobs of a user's servers; the folder is theirs, so anything may lie there."""
    known = login.prepared(site).schedulers
    for path in sorted(servers.home(site, person).glob("jupyter-*/job.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            job = jobs.Job.read(path.parent) if path.is_file() else None
            if job is not None and job.request["scheduler"] in known:
                yield job


def _ticket(given: bytes) -> tickets.Ticket:
    if len(given) > tickets.LARGEST:
        raise UsageError("the order is too long")
    try:
        value = json.loads(given)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the order is not JSON: {error}") from None
    return tickets.read(value)


def plain_error(error: PangeoHpcError) -> dict[str, Any]:
    """Return an error as JSON-able values; `tickets.revive_error` takes it back."""
    told: dict[str, Any] = {"kind": type(error).__name__, "text": error.text, "hint": error.hint}
    if isinstance(error, RequestRefused | SiteError):
        told["problems"] = [
            {name: getattr(each, name) for name in PROBLEM} for each in error.problems
        ]
    return told


# The same verbs as tickets.VERBS, which the sudo rule is made of.
_DO: Mapping[str, Callable[[Site, Person, tickets.Ticket], Mapping[str, Any]]] = {
    "submit": submit,
    "find": find,
    "status": status,
    "cancel": cancel,
    "logs": logs,
    "preview": preview,
    "soonest": soonest,
    "servers": alive,
}
_VERBS = {verb: _DO[verb] for verb in tickets.VERBS}

if __name__ == "__main__":
    main()
