"""What pydantic found, in our words and with the lines of the file."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pangeo_hpc.errors import Problem
from pangeo_hpc.site.lookup import keys_at
from pangeo_hpc.site.model.base import Part
from pangeo_hpc.site.reading import Wrong, shown
from pangeo_hpc.site.tree import Tree, join

_SECRETS = {
    "access_key", "access_key_id", "account_key", "api_key", "aws_access_key_id",
    "aws_secret_access_key", "aws_session_token", "client_secret", "connection_string", "key",
    "passphrase", "password", "passwd", "pin", "private_key", "sas_token", "secret",
    "secret_access_key", "secret_key", "session_token", "token",
}  # fmt: skip


# a value that is drawn from others was not looked at, since one of those is broken
FOLLOWS = "default_factory_not_called"


def dotted(location: Iterable[str | int]) -> str:
    """Return where an error is as a dotted path."""
    path = ""
    for part in location:
        if part != "[key]":
            path = join(path, part)
    return path


def explain(error: ValidationError, tree: Tree, model: type[Part]) -> list[Problem]:
    """Return every error as a problem with its line; one mistake is told once."""
    details = error.errors(include_url=False)
    unknown = {
        detail["loc"]: _near(detail, model)
        for detail in details
        if detail["type"] == "extra_forbidden"
    }
    meant = {(*where[:-1], near) for where, near in unknown.items() if near}
    problems = []
    for detail in details:
        where = detail["loc"]
        if detail["type"] == FOLLOWS or (detail["type"] == "missing" and where in meant):
            continue
        path = dotted(where)
        hint: str | None
        if where in unknown:
            text, hint = _unknown_key(detail, unknown[where], model)
        else:
            text, hint = _words(detail)
        of_key = detail["type"] in ("extra_forbidden", "missing") or where[-1:] == ("[key]",)
        problems.append(Problem(path, text, hint, line=tree.line(path, of_key=of_key)))
    return problems


def _near(detail: ErrorDetails, model: type[Part]) -> str | None:
    known = keys_at(model, detail["loc"][:-1])
    near = get_close_matches(str(detail["loc"][-1]), known, 1, cutoff=0.7)
    return near[0] if near else None


def _unknown_key(detail: ErrorDetails, near: str | None, model: type[Part]) -> tuple[str, str]:
    key = str(detail["loc"][-1])
    if near:
        return "unknown key", f"did you mean {near}?"
    if key.lower().replace("-", "_") in _SECRETS:
        hint = "name a file that holds it, as in credentials: ~/.aws/credentials"
        return "a secret does not belong in this file, which others read", hint
    known = keys_at(model, detail["loc"][:-1])
    return "unknown key", f"known here are {', '.join(known)}"


def _words(detail: ErrorDetails) -> tuple[str, str | None]:
    kind, value = detail["type"], detail["input"]
    context: Mapping[str, Any] = detail.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, Wrong):
        return cause.text, cause.hint
    if kind == "missing":
        return "this key is required", f"add a line `{detail['loc'][-1]}: …`"
    if kind == "literal_error":
        return _choice(value, str(context["expected"]))
    if kind in ("model_type", "model_attributes_type", "dict_type", "mapping_type"):
        text = f"{shown(value)} stands where a mapping must" if value is not None else "it is empty"
        return text, "write `key: value` lines below it"
    if kind in ("tuple_type", "list_type", "frozen_set_type"):
        item = f'"{value}"' if isinstance(value, str) else "…"
        return f"{shown(value)} stands where a list must", f"write it as [{item}]"
    if kind == "too_short":
        return "it is empty", "add at least one entry"
    if kind == "too_long":
        return f"it has {context['actual_length']} items", f"write {context['max_length']}"
    message = detail["msg"].rstrip(".")
    return message[:1].lower() + message[1:], None


def _choice(value: object, expected: str) -> tuple[str, str]:
    words = expected.replace("'", "").replace(" or ", ", ").split(", ")
    near = get_close_matches(str(value).lower(), words, 1)
    listed = f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
    return (
        f"{shown(value)} is not {listed}",
        f"did you mean {near[0]}?" if near else f"write {listed}",
    )
