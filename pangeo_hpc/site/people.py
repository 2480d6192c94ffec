"""The person a site is used by, and the placeholders that stand for them."""

import grp
import os
import pwd
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pangeo_hpc.errors import UsageError

# ${NAME} belongs to a shell and is left alone.
PLACEHOLDER = re.compile(r"(?<!\$)\{([^{}]*)\}")
# Some centres tell users where their directories are by a variable alone.
SESSION_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)(?=/|$)")
PLACEHOLDERS = frozenset({"user", "user[0]", "group", "project", "account"})
_VALUE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+:-]*")


@dataclass(frozen=True)
class Person:
    """A Unix user; `group` is their primary group, `project` and `account` are what they chose."""

    user: str
    uid: int
    gid: int
    group: str
    home: Path
    project: str | None = None
    account: str | None = None

    def with_defaults(self, account: str | None, project: str | None) -> "Person":
        """Return the same person, with an account and a project where they chose none."""
        return replace(self, account=self.account or account, project=self.project or project)


def current_person(environ: Mapping[str, str] | None = None) -> Person:
    """Return who runs this process. HOME of the environment counts, its USER does not."""
    ours = os.environ if environ is None else environ
    uid, gid = os.getuid(), os.getgid()
    try:
        entry = pwd.getpwuid(uid)
        user, gid, home = entry.pw_name, entry.pw_gid, entry.pw_dir
    except KeyError:
        user, home = f"uid{uid}", "/"
    try:
        group = grp.getgrgid(gid).gr_name
    except KeyError:
        group = f"gid{gid}"
    return Person(user, uid, gid, group, Path(ours.get("HOME") or home))


def placeholders(template: str) -> tuple[str, ...]:
    """Return the names of the placeholders in a text, in their order."""
    return tuple(PLACEHOLDER.findall(template))


def expand(template: str, key: str, person: Person, **more: str) -> str:
    """Return a template with every placeholder, and a leading ``~``, filled in.

    `more` are values that only this template has, such as ``value``. Raise UsageError, which names
    the key, for a placeholder that has no value or a value that does not belong in a path.
    """
    values = {
        "user": person.user,
        "user[0]": person.user[:1],
        "group": person.group,
        "project": person.project or person.account,
        "account": person.account,
    }
    for name in set(placeholders(template)) - set(more):
        value = values.get(name)
        if name not in values:
            known = ", ".join(f"{{{word}}}" for word in (*sorted(PLACEHOLDERS), *more))
            raise UsageError(f"{key}: {{{name}}} is not a placeholder", hint=f"known are {known}")
        if not value:
            raise UsageError(f"{key}: {{{name}}} has no value for {person.user}", hint=_hint(name))
        if not _VALUE.fullmatch(value) or ".." in value:
            text = f"{key}: {value!r} cannot stand for {{{name}}}"
            raise UsageError(text, hint="it must be one plain word")
    known_values = {**values, **more}
    text = PLACEHOLDER.sub(lambda match: str(known_values[match[1]]), template)
    if text == "~" or text.startswith("~/"):
        return str(person.home) + text[1:]
    return text


def expand_path(
    template: str, key: str, person: Person, environ: Mapping[str, str] | None = None
) -> Path:
    """Return a user's path: filled in like `expand`, from a variable of the session on.

    ``$SCRATCH/x`` begins with what SCRATCH is where this runs. Raise UsageError, which names the
    key, if it is not set to an absolute path.
    """
    text = expand(template, key, person)
    variable = SESSION_VARIABLE.match(text)
    if variable is None:
        return Path(text)
    value = (os.environ if environ is None else environ).get(variable[1], "")
    if not value.startswith("/"):
        hint = f"the centre sets it at login; or: export {variable[1]}=/path/of/yours"
        raise UsageError(f"{key}: {variable[0]} is not set to an absolute path", hint=hint)
    return Path(value + text[variable.end() :])


def _hint(name: str) -> str:
    if name in ("project", "account"):
        variable = f"PANGEO_HPC_{name.upper()}"
        what = "project, or account," if name == "project" else name
        return f"set {what} in ~/.config/pangeo-hpc/user.yaml, or the variable {variable}"
    return "ask your administrator: this user has no primary group"
