"""The one program by which the hub acts as a user: `pangeo-hpc-hub-job submit`, `cancel` and so on.

It is started by one sudo rule, reads one order from its standard input, decides everything from the
root-owned site YAML itself, and answers in JSON. A hub in hostile hands can do with it what the
users of the hub can do at the hub, and no more.
"""

import json
import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pangeo_hpc import files, jobs, private, scratch
from pangeo_hpc.errors import (
    Exit,
    NotAllowed,
    PangeoHpcError,
    Problem,
    RequestRefused,
    SiteError,
    UnknownName,
    UsageError,
)
from pangeo_hpc.hub import choices as room
from pangeo_hpc.hub import preview as looks
from pangeo_hpc.hub import servers, tickets
from pangeo_hpc.jobs.record import keep
from pangeo_hpc.run import converse
from pangeo_hpc.schedulers import registry
from pangeo_hpc.schedulers.base import JobRequest
from pangeo_hpc.site import Person, Site, current_person, load_site

SITE_FILE = Path("/etc/pangeo-hpc/site.yaml")
LOWEST_UID = 1000


def main(argv: Sequence[str] | None = None, *, site_file: Path | str = SITE_FILE) -> None:
    """Carry out one order and exit with the code that tells what happened."""
    words = sys.argv[1:] if argv is None else list(argv)
    code, answer = carry_out(words, sys.stdin.buffer.read(tickets.LARGEST + 1), Path(site_file))
    sys.stdout.write(json.dumps({"format": tickets.FORMAT, **answer}) + "\n")
    sys.stdout.flush()
    sys.exit(code)


def carry_out(words: Sequence[str], given: bytes, site_file: Path) -> tuple[int, Mapping[str, Any]]:
    """Return the exit code and the answer to one order; an error is an answer."""
    try:
        verb = _VERBS.get(words[0]) if len(words) == 1 else None
        if verb is None:
            raise UsageError(f"one of these is wanted: {', '.join(_VERBS)}")
        ticket = _ticket(given)
        check_file(site_file)
        site = load_site(site_file, schedulers=registry.names())
        person = current_person(environ={})
        admit(site, person, ticket.user)
        os.umask(0o077)
        os.chdir("/")
        return Exit.DONE, verb(site, person, ticket)
    except PangeoHpcError as error:
        return error.exit_code, {"error": plain_error(error)}
    except OSError as error:
        told = files.refused(None, error) or NotAllowed(f"{error.filename}: {error.strerror}")
        return told.exit_code, {"error": plain_error(told)}


def check_file(path: Path) -> None:
    """Raise NotAllowed unless only root can change a file and the folders it lies in."""
    for place in (path, *path.resolve().parents):
        status = place.stat()
        sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        if status.st_uid != 0 or (status.st_mode & 0o022 and not sticky):
            text = f"{place} can be changed by others than root"
            raise NotAllowed(text, hint=f"chown root {place}; chmod go-w {place}")


def admit(site: Site, person: Person, user: str) -> None:
    """Raise NotAllowed for a person whom the hub does not serve, whoever asks."""
    if person.uid < LOWEST_UID or person.user == "root":
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
    home = files.make_directory(servers.home(site, person), mode=0o700)
    folder = home / ticket.name
    with files.lock(home / ".submit", timeout=60.0):
        job = _recovered(site, person, folder) or _new(site, person, ticket, asked, folder)
    return {"job": job.id, "scheduler": job.request["scheduler"]}


def find(site: Site, person: Person, ticket: tickets.Ticket) -> dict[str, Any]:
    """Tell which job a submission became, of which the hub did not live to hear."""
    home = files.make_directory(servers.home(site, person), mode=0o700)
    with files.lock(home / ".submit", timeout=60.0):
        job = _recovered(site, person, home / ticket.name) if ticket.name else None
    if job is None:
        raise UnknownName(f"{person.user} has no server {ticket.name!r}")
    return {"job": job.id, "scheduler": job.request["scheduler"]}


def _recovered(site: Site, person: Person, folder: Path) -> jobs.Job | None:
    """Return the job that a folder remembers, looked up if its id is not known yet."""
    if not (folder / "job.json").exists():
        return None
    job = jobs.Job.read(folder)
    scheduler = jobs.scheduler_named(site, job.request["scheduler"], person)
    return jobs.recover(scheduler, job, user=person.user)


def _new(
    site: Site, person: Person, ticket: tickets.Ticket, asked: room.Choices, folder: Path
) -> jobs.Job:
    files.make_directory(folder, mode=0o700)
    files.write_json(folder / "site.json", load_site_with(site, asked).dump(), mode=0o600)
    secret = private.put(folder / "private", "server", json.dumps(dict(ticket.variables)))
    request = _request(site, person, asked, folder, secret)
    scheduler = jobs.scheduler_named(site, request.scheduler, person)
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
    return jobs.plan(
        site,
        asked.ask(),
        name=name,
        nonce=nonce,
        command=(sys.executable, "-I", "-m", "pangeo_hpc.hub.singleuser", str(secret)),
        use="notebook",
        person=person,
        environment={
            "PANGEO_HPC_SITE": str(folder / "site.json"),
            "PANGEO_HPC_NODE_TYPE": site.node_type(asked.node_type).name,
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
    return looks.preview(site, person, _request(site, person, asked, folder, looks.PLACEHOLDER))


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
    if not path.is_dir():
        hint = "choose one that is there, or leave it out for your home"
        raise RequestRefused([Problem("working_directory", f"{path} is not a directory", hint)])
    return path


def status(site: Site, person: Person, ticket: tickets.Ticket) -> dict[str, Any]:
    """Tell what queue and history know of jobs of this user's, where others may not ask."""
    found: dict[str, Any] = {}
    for key, ids in _by_scheduler(site, person, ticket.jobs).items():
        scheduler = jobs.scheduler_named(site, key, person)
        known = dict(converse(scheduler.status(ids)))
        unsure = [i for i in ids if i not in known or known[i].state.ended]
        if unsure:
            known |= converse(scheduler.history(unsure))
        found |= {job_id: keep(each) for job_id, each in known.items()}
    return {"jobs": found}


def cancel(site: Site, person: Person, ticket: tickets.Ticket) -> dict[str, Any]:
    """Cancel servers' jobs, and no other job of the user's."""
    problems: dict[str, str] = {}
    for key, ids in _by_scheduler(site, person, ticket.jobs).items():
        scheduler = jobs.scheduler_named(site, key, person)
        problems |= jobs.cancel(scheduler, ids)
    for folder in _folders(site, person):
        if jobs.Job.read(folder).id in ticket.jobs:
            private.sweep(folder / "private", older_than=0)
    return {"problems": problems}


def logs(site: Site, person: Person, ticket: tickets.Ticket) -> dict[str, Any]:
    """Tell the last lines of what a server printed, its exit status, and where no room is left."""
    folder = servers.home(site, person) / ticket.name
    if not ticket.name or not (folder / "job.json").exists():
        raise UnknownName(f"{person.user} has no server {ticket.name!r}")
    job = jobs.Job.read(folder)
    try:
        code: int | None = int(job.exit_file.read_text())
    except (OSError, ValueError):
        code = None
    full = [str(place) for place in (folder, person.home) if servers.is_full(place)]
    return {
        "lines": servers.tail(job.output, ticket.lines),
        "exit_code": code,
        "job": job.id,
        "full": full[0] if full else "",
    }


def _by_scheduler(site: Site, person: Person, wanted: Sequence[str]) -> dict[str, list[str]]:
    """Return ids by the scheduler that has them. Raise NotAllowed for one that is no server's."""
    known: dict[str, str] = {}
    for folder in _folders(site, person):
        job = jobs.Job.read(folder)
        if job.id is not None:
            known[job.id] = job.request["scheduler"]
    strange = [job_id for job_id in wanted if job_id not in known]
    if strange:
        raise NotAllowed(f"not the job of a server of {person.user}'s: {', '.join(strange)}")
    found: dict[str, list[str]] = {}
    for job_id in wanted:
        found.setdefault(known[job_id], []).append(job_id)
    return found


def _folders(site: Site, person: Person) -> list[Path]:
    home = servers.home(site, person)
    return [path.parent for path in sorted(home.glob("jupyter-*/job.json"))]


def _ticket(given: bytes) -> tickets.Ticket:
    if len(given) > tickets.LARGEST:
        raise UsageError("the order is too long")
    try:
        value = json.loads(given)
    except ValueError as error:
        raise UsageError(f"the order is not JSON: {error}") from error
    return tickets.read(value)


def plain_error(error: PangeoHpcError) -> dict[str, Any]:
    """Return an error as JSON-able values; `tickets.revive_error` takes it back."""
    told: dict[str, Any] = {"kind": type(error).__name__, "text": error.text, "hint": error.hint}
    if isinstance(error, RequestRefused | SiteError):
        told["problems"] = [
            {"path": each.path, "text": each.text, "hint": each.hint} for each in error.problems
        ]
    return told


_DO: Mapping[str, Callable[[Site, Person, tickets.Ticket], Mapping[str, Any]]] = {
    "submit": submit,
    "find": find,
    "status": status,
    "cancel": cancel,
    "logs": logs,
    "preview": preview,
    "soonest": soonest,
}
_VERBS = {verb: _DO[verb] for verb in tickets.VERBS}

if __name__ == "__main__":
    main()
