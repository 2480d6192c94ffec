"""The hub's side of acting as a user: one program, started through one sudo rule.

The hub's own environment goes nowhere: the program gets a short fixed one, and its order by
standard input.
"""

import json
import os
import pwd
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pangeo_hpc import errors
from pangeo_hpc.errors import PangeoHpcError, Problem, SchedulerUnreachable
from pangeo_hpc.hub import tickets
from pangeo_hpc.jobs.record import revive
from pangeo_hpc.run import AsyncRunner, Command, arun
from pangeo_hpc.schedulers.base import JobStatus
from pangeo_hpc.site import Person

# Longer than the program itself waits for a scheduler that does not answer.
TIMEOUT = 120.0


@dataclass(frozen=True)
class Submitted:
    """A server's job: its id and the key of the scheduler that has it."""

    job: str
    scheduler: str


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

    `program` is its argv without the verb. A user who runs a hub of their own needs no sudo.
    """

    def __init__(self, program: Sequence[str], *, runner: AsyncRunner = arun) -> None:
        self._program = tuple(program)
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
        answer = await self._order("submit", ticket)
        if not isinstance(answer.get("job"), str):
            raise SchedulerUnreachable(f"it is not clear yet whether {name} was submitted")
        return Submitted(answer["job"], str(answer["scheduler"]))

    async def status(self, user: str, jobs: Collection[str]) -> dict[str, JobStatus]:
        """Return what a user may know of their own servers' jobs."""
        answer = await self._order("status", tickets.Ticket(user=user, jobs=tuple(jobs)))
        return {job_id: revive(kept) for job_id, kept in answer["jobs"].items()}

    async def cancel(self, user: str, jobs: Collection[str]) -> dict[str, str]:
        """Cancel servers' jobs of a user and return what went wrong, by id."""
        answer = await self._order("cancel", tickets.Ticket(user=user, jobs=tuple(jobs)))
        return dict(answer["problems"])

    async def find(self, user: str, name: str) -> Submitted | None:
        """Return the job of a submission whose answer was lost; None if none was taken.

        Raise UnknownName if it never began.
        """
        answer = await self._order("find", tickets.Ticket(user=user, name=name))
        if not isinstance(answer.get("job"), str):
            return None
        return Submitted(answer["job"], str(answer["scheduler"]))

    async def logs(self, user: str, name: str, lines: int = 40) -> Log:
        """Return the last lines of a server's log, and what else its job left."""
        answer = await self._order("logs", tickets.Ticket(user=user, name=name, lines=lines))
        return Log(tuple(answer["lines"]), answer["exit_code"], answer["full"])

    async def preview(self, user: str, choices: Mapping[str, str]) -> dict[str, Any]:
        """Return `script`, `start` (seconds since 1970, or None) and what else was `said`.

        Raise RequestRefused with the problems that only the user's own account can see.
        """
        answer = await self._order("preview", tickets.Ticket(user=user, choices=choices))
        start = answer["start"]
        return {
            "script": str(answer["script"]),
            "start": float(start) if start is not None else None,
            "said": str(answer["said"]),
        }

    async def soonest(self, user: str, choices: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return `choices` and `start` of jobs of the same shape that could start."""
        answer = await self._order("soonest", tickets.Ticket(user=user, choices=choices))
        return [
            {"choices": dict(each["choices"]), "start": float(each["start"])}
            for each in answer["offers"]
        ]

    async def _order(self, verb: str, ticket: tickets.Ticket) -> dict[str, Any]:
        argv = (*self._as_user(ticket.user), *self._program, verb)
        result = await self._runner(
            Command(
                argv,
                input=json.dumps(ticket.plain()),
                timeout=TIMEOUT,
                environment=_MINIMAL,
                cwd=Path("/"),
            )
        )
        try:
            answer: dict[str, Any] = json.loads(result.stdout)
        except ValueError:
            text = f"the hub's program could not act as {ticket.user}: {result.words}"
            hint = "pangeo-hpc doctor --hub checks the sudo rule and the program"
            raise SchedulerUnreachable(text, hint=hint) from None
        if "error" in answer:
            raise revive_error(answer["error"])
        return answer

    def _as_user(self, user: str) -> tuple[str, ...]:
        if pwd.getpwuid(os.getuid()).pw_name == user:
            return ()
        return ("/usr/bin/sudo", "-n", "-u", user, "--")


# arun passes a few variables on; sudo resets them, and nobody else needs them.
_MINIMAL = dict.fromkeys(
    ("HOME", "USER", "LOGNAME", "SHELL", "SLURM_CONF", "PBS_CONF_FILE", "PBS_SERVER")
) | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def revive_error(told: Mapping[str, Any]) -> PangeoHpcError:
    """Return the error that the program told of; one of an unknown kind is a plain one."""
    kind = getattr(errors, str(told.get("kind")), PangeoHpcError)
    text, hint = str(told.get("text")), told.get("hint")
    if not (isinstance(kind, type) and issubclass(kind, PangeoHpcError)):
        return PangeoHpcError(text, hint=hint)
    if "problems" in told:
        problems = [Problem(each["path"], each["text"], each["hint"]) for each in told["problems"]]
        return kind(problems)  # type: ignore[arg-type]
    return kind(text, hint=hint)


def person_of(user: str) -> Person:
    """Return a Unix user as a person of the site. Raise KeyError if there is none."""
    import grp

    entry = pwd.getpwnam(user)
    try:
        group = grp.getgrgid(entry.pw_gid).gr_name
    except KeyError:
        group = f"gid{entry.pw_gid}"
    return Person(user, entry.pw_uid, entry.pw_gid, group, Path(entry.pw_dir))
