"""What the program that acts as a user says, which may be anybody's words: it runs as that user.

Each reader raises one of `STRANGE` for what is not in place.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pangeo_hpc import errors
from pangeo_hpc.errors import PangeoHpcError, Problem, RequestRefused, SiteError
from pangeo_hpc.jobs.record import revive
from pangeo_hpc.schedulers.base import JobStatus

STRANGE = (
    *(ArithmeticError, AttributeError, KeyError, OSError),
    *(RecursionError, TypeError, ValueError),
)
_LONGEST = 4000
# No job is longer, and no number of a job is larger.
_LONGEST_WALLTIME, _LARGEST = timedelta(days=36500), 1 << 63


def error(told: Mapping[str, Any]) -> PangeoHpcError:
    """Return the error that the program told of; one of an unknown kind is a plain one."""
    kind = getattr(errors, str(told.get("kind")), PangeoHpcError)
    text, hint = _line(str(told.get("text"))), told.get("hint")
    hint = None if hint is None else _line(str(hint))
    if not (isinstance(kind, type) and issubclass(kind, PangeoHpcError)):
        return PangeoHpcError(text, hint=hint)
    if issubclass(kind, RequestRefused | SiteError):
        return kind([_problem(each) for each in told["problems"]])
    return kind(text, hint=hint)


def _problem(told: Mapping[str, Any]) -> Problem:
    """Return one problem; a program of before does not name the texts of the catalogue."""
    hint = told["hint"]
    values = {_line(str(name)): _line(str(each)) for name, each in _named(told).items()}
    return Problem(
        _line(str(told["path"])),
        _line(str(told["text"])),
        None if hint is None else _line(str(hint)),
        key=_line(str(told.get("key") or "")),
        hint_key=_line(str(told.get("hint_key") or "")),
        values=values,
    )


def _named(told: Mapping[str, Any]) -> Mapping[str, Any]:
    values = told.get("values")
    return values if isinstance(values, dict) else {}


def _line(text: str) -> str:
    """Return what somebody said as one line of a log, not too long."""
    shown = "".join(char if char.isprintable() else " " for char in text[:_LONGEST])
    return " ".join(shown.split())


def state(job_id: str, kept: Mapping[str, Any]) -> JobStatus:
    """Return the state of a job; since pages of all servers show it, every type is checked."""
    status = revive(kept)
    texts = (status.word, status.name, status.user, status.queue, status.reason, *status.nodes)
    numbers = (status.exit_code, status.signal, status.memory_used, status.cores)
    times = (status.submitted, status.started, status.ended, status.estimated_start)
    if not (
        status.id == job_id
        and all(isinstance(each, str) and len(each) <= _LONGEST for each in texts)
        and all(
            type(each) is int and abs(each) < _LARGEST
            for each in (status.restarts, *(each for each in numbers if each is not None))
        )
        and all(each is None or each.tzinfo is not None for each in times)
        and (status.walltime is None or status.walltime < _LONGEST_WALLTIME)
    ):
        message = f"{job_id} has no such state"
        raise ValueError(message)
    return status
