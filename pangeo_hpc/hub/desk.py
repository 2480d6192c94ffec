"""The hub's side of acting as a user: one program, started through one sudo rule.

The hub's own environment goes nowhere: the program gets a short fixed one, and its order by
standard input.
"""

import json
import os
import pwd
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pangeo_hpc.errors import SchedulerUnreachable
from pangeo_hpc.hub import answers, tickets
from pangeo_hpc.run import AsyncRunner, Command, arun
from pangeo_hpc.schedulers.base import JobStatus
from pangeo_hpc.site import Person

# Longer than the program itself waits for a scheduler that does not answer.
TIMEOUT = 120.0
# One user's program that gives no answer keeps everybody's news waiting.
NEWS_TIMEOUT = 20.0
# A user can stop the program with a debugger and say anything in its place.
MOST = 1 << 22
_QUOTED = 1000

T = TypeVar("T")


@dataclass(frozen=True)
class Submitted:
    """A server's job: its id and the key of the scheduler that has it."""

    job: str
    scheduler: str


@dataclass(frozen=True)
class Kept(Submitted):
    """A server's job with its name, which carries the nonce."""

    name: str


@dataclass(frozen=True)
class Log:
    """What a server's job left: its last lines, the exit status it kept, and a full place.

    `full` is where its user could write nothing any more just now, empty if there is room.
    """

    lines: tuple[str, ...]
    exit_code: int | None = None
    full: str = ""


class Desk:
    """Give orders to the program that acts as users.

    `program` is its argv without the verb, `schedulers` the keys that an answer may name. A user
    who runs a hub of their own needs no sudo.
    """

    def __init__(
        self,
        program: Sequence[str],
        *,
        schedulers: Collection[str] | None = None,
        runner: AsyncRunner = arun,
    ) -> None:
        self._program = tuple(program)
        self._schedulers = schedulers
        self._runner = runner

    async def submit(
        self,
        user: str,
        *,
        name: str,
        server: str,
        choices: Mapping[str, str],
        variables: Mapping[str, str],
    ) -> Submitted:
        """Submit a server's job; the same name never makes a second one.

        Raise RequestRefused, SubmitRefused, or SchedulerUnreachable if it is not clear yet.
        """
        ticket = tickets.Ticket(
            user=user, name=name, server=server, choices=choices, variables=variables
        )
        found = await self._order("submit", ticket, self._submitted)
        if found is None:
            raise SchedulerUnreachable(f"it is not clear yet whether {name} was submitted")
        return found

    async def status(
        self, user: str, jobs: Collection[str], *, scheduler: str = ""
    ) -> dict[str, JobStatus]:
        """Return what a user may know of their own servers' jobs, on one scheduler or on any."""
        ticket = tickets.Ticket(user=user, jobs=tuple(jobs), scheduler=scheduler)

        def read(answer: Mapping[str, Any]) -> dict[str, JobStatus]:
            # what a user's program says counts for their own jobs only
            told = {job_id: answer["jobs"].get(job_id) for job_id in jobs}
            return {
                job_id: answers.state(job_id, kept)
                for job_id, kept in told.items()
                if kept is not None
            }

        return await self._order("status", ticket, read, seconds=NEWS_TIMEOUT)

    async def cancel(
        self, user: str, jobs: Collection[str], *, scheduler: str = ""
    ) -> dict[str, str]:
        """Cancel servers' jobs of a user and return what went wrong, by id."""
        ticket = tickets.Ticket(user=user, jobs=tuple(jobs), scheduler=scheduler)

        def read(answer: Mapping[str, Any]) -> dict[str, str]:
            return {str(job_id): str(text) for job_id, text in answer["problems"].items()}

        return await self._order("cancel", ticket, read)

    async def servers(self, user: str) -> tuple[Kept, ...]:
        """Return the server jobs of a user that have not ended, as their own files know them."""

        def read(answer: Mapping[str, Any]) -> tuple[Kept, ...]:
            found = answer["jobs"]
            return tuple(Kept(str(e["job"]), str(e["scheduler"]), str(e["name"])) for e in found)

        return await self._order("servers", tickets.Ticket(user=user), read)

    async def find(self, user: str, name: str) -> Submitted | None:
        """Return the job of a submission whose answer was lost; None if none was taken.

        Raise UnknownName if it never began, SchedulerUnreachable if nobody can say yet.
        """
        ticket = tickets.Ticket(user=user, name=name)

        def read(answer: Mapping[str, Any]) -> tuple[bool, Submitted | None]:
            return bool(answer.get("unclear")), self._submitted(answer)

        unclear, found = await self._order("find", ticket, read)
        if unclear:
            raise SchedulerUnreachable(f"it is not clear yet whether {name} was submitted")
        return found

    async def logs(self, user: str, name: str, lines: int = 40) -> Log:
        """Return the last lines of a server's log, and what else its job left."""

        def read(answer: Mapping[str, Any]) -> Log:
            code = answer["exit_code"]
            told = tuple(str(line) for line in answer["lines"])
            return Log(
                told[-lines:] if lines else (),
                code if type(code) is int else None,
                str(answer["full"])[:_QUOTED],
            )

        ticket = tickets.Ticket(user=user, name=name, lines=lines)
        return await self._order("logs", ticket, read)

    async def preview(self, user: str, choices: Mapping[str, str]) -> dict[str, Any]:
        """Return `script`, `start` (seconds since 1970, or None) and what else was `said`.

        Raise RequestRefused with the problems that only the user's own account can see.
        """

        def read(answer: Mapping[str, Any]) -> dict[str, Any]:
            start = answer["start"]
            return {
                "script": str(answer["script"]),
                "start": float(start) if start is not None else None,
                "said": str(answer["said"]),
            }

        return await self._order("preview", tickets.Ticket(user=user, choices=choices), read)

    async def soonest(self, user: str, choices: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return `choices` and `start` of jobs of the same shape that could start."""

        def read(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
            return [
                {"choices": dict(each["choices"]), "start": float(each["start"])}
                for each in answer["offers"]
            ]

        return await self._order("soonest", tickets.Ticket(user=user, choices=choices), read)

    def _submitted(self, answer: Mapping[str, Any]) -> Submitted | None:
        job, scheduler = answer["job"], answer["scheduler"]
        if job is None:
            return None
        if not tickets.JOB_ID.fullmatch(job):
            message = f"{job[:40]!r} is no job"
            raise ValueError(message)
        if self._schedulers is not None and scheduler not in self._schedulers:
            message = f"there is no scheduler {str(scheduler)[:40]!r}"
            raise ValueError(message)
        return Submitted(job, str(scheduler))

    async def _order(
        self,
        verb: str,
        ticket: tickets.Ticket,
        read: Callable[[Mapping[str, Any]], T],
        *,
        seconds: float = TIMEOUT,
    ) -> T:
        """Give one order and return what `read` makes of the answer, which may be anybody's."""
        argv = (*self._as_user(ticket.user), *self._program, verb)
        result = await self._runner(
            Command(
                argv,
                input=json.dumps(ticket.plain()),
                timeout=seconds,
                environment=_MINIMAL,
                cwd=Path("/"),
                most=MOST,
            )
        )
        try:
            answer: dict[str, Any] = json.loads(result.stdout)
            if "error" not in answer:
                return read(answer)
            error = answers.error(answer["error"])
        except answers.STRANGE as problem:
            said = (str(problem) if result.returncode == 0 else result.words)[:_QUOTED]
            text = f"the hub's program could not act as {ticket.user}: {said}"
            hint = "pangeo-hpc doctor --hub checks the sudo rule and the program"
            raise SchedulerUnreachable(text, hint=hint) from None
        raise error

    def _as_user(self, user: str) -> tuple[str, ...]:
        if pwd.getpwuid(os.getuid()).pw_name == user:
            return ()
        return ("/usr/bin/sudo", "-n", "-u", user, "--")


# arun passes a few variables on; sudo resets them, and nobody else needs them.
_MINIMAL = dict.fromkeys(
    ("HOME", "USER", "LOGNAME", "SHELL", "SLURM_CONF", "PBS_CONF_FILE", "PBS_SERVER")
) | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def person_of(user: str) -> Person:
    """Return a Unix user as a person of the site. Raise KeyError if there is none."""
    import grp

    entry = pwd.getpwnam(user)
    try:
        group = grp.getgrgid(entry.pw_gid).gr_name
    except KeyError:
        group = f"gid{entry.pw_gid}"
    return Person(user, entry.pw_uid, entry.pw_gid, group, Path(entry.pw_dir))
