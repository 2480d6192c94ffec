"""What the hub tells the program that acts as a user: a fixed set of keys, checked on both sides.

The hub writes it to the program's standard input as JSON; nothing of it stands in an argv.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pangeo_hpc.errors import Problem, RequestRefused, UsageError

FORMAT = 1
# All that the program does as a user; the sudo rule names exactly these.
VERBS = ("submit", "find", "status", "cancel", "logs", "servers", "preview", "soonest")
LARGEST = 1 << 20
NAME = re.compile(r"jupyter-[a-z0-9]{8}")
# Stands for a name where nothing is submitted.
NO_NAME = "jupyter-xxxxxxxx"
JOB_ID = re.compile(r"[0-9]+(?:[._\[\]A-Za-z0-9-]*)")
# What the program tells of each thing that is wrong.
PROBLEM = ("path", "text", "hint", "key", "hint_key", "values")
# What JupyterHub tells a single-user server; nothing else of the hub's environment goes there.
VARIABLE = re.compile(r"JUPYTERHUB_[A-Z_]+|JPY_API_TOKEN|MEM_LIMIT|CPU_LIMIT")


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """One order of the hub: `name` is the job's, which carries the nonce.

    `server` is the name of the server, empty for the default one. `choices` are those of
    `choices.Choices.plain`; `variables` are for the single-user server only, and secret. `jobs` are
    ids of the scheduler whose key is `scheduler`, empty for any; `lines` is how much of a log is
    wanted.
    """

    user: str
    name: str = ""
    server: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    jobs: tuple[str, ...] = ()
    scheduler: str = ""
    lines: int = 40

    def plain(self) -> dict[str, Any]:
        """Return what is written to the program: only what is said."""
        return {"format": FORMAT, **{key: value for key, value in asdict(self).items() if value}}


def parse(given: bytes) -> Ticket:
    """Return the ticket that was sent. Raise UsageError for what is no JSON, else as `read`."""
    if len(given) > LARGEST:
        raise UsageError("the order is too long")
    try:
        value = json.loads(given)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the order is not JSON: {error}") from None
    return read(value)


def read(given: Any) -> Ticket:
    """Return the ticket in a JSON value. Raise RequestRefused for anything that is not in place."""
    if not isinstance(given, dict) or given.get("format") != FORMAT:
        raise RequestRefused([Problem("format", f"is not {FORMAT}: hub and program differ")])
    rest = {key: value for key, value in given.items() if key != "format"}
    problems = [
        Problem(key, "there is no such key")
        for key in rest
        if key not in Ticket.__dataclass_fields__
    ]
    for key, fits in _FITS.items():
        if key in rest and not fits(rest[key]):
            problems.append(Problem(key, "is not what it has to be"))
    if "user" not in rest:
        problems.append(Problem("user", "is missing"))
    if problems:
        raise RequestRefused(problems)
    return Ticket(**{**rest, "jobs": tuple(rest.get("jobs", ()))})


def _is_text(value: Any, most: int = 1000) -> bool:
    return isinstance(value, str) and len(value) <= most and value.isprintable()


def _is_texts(value: Any, most: int) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= most
        and all(_is_text(k) and _is_text(v, 10_000) for k, v in value.items())
    )


_FITS: Mapping[str, Callable[[Any], bool]] = {
    "user": lambda value: _is_text(value, 64) and value != "",
    "name": lambda value: isinstance(value, str) and NAME.fullmatch(value) is not None,
    "server": lambda value: _is_text(value, 255) and "/" not in value,
    "choices": lambda value: _is_texts(value, 50),
    "variables": lambda value: (
        _is_texts(value, 60) and all(VARIABLE.fullmatch(name) for name in value)
    ),
    "jobs": lambda value: (
        isinstance(value, list)
        and len(value) <= 1000
        and all(isinstance(each, str) and JOB_ID.fullmatch(each) for each in value)
    ),
    "scheduler": lambda value: _is_text(value, 64),
    "lines": lambda value: type(value) is int and 0 <= value <= 1000,
}
