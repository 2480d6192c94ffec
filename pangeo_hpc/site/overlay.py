"""What a user sets for themselves: account, project, node type and environment; never a limit."""

from collections.abc import Mapping
from difflib import get_close_matches
from enum import IntEnum
from typing import NamedTuple

from pydantic import Field, ValidationError

from pangeo_hpc.errors import Problem, SiteError, UnknownName, UsageError
from pangeo_hpc.site.explain import explain
from pangeo_hpc.site.find import read, user_folder
from pangeo_hpc.site.model import Site, UserDefaults
from pangeo_hpc.site.model.base import EMPTY, Lookup
from pangeo_hpc.site.tree import Tree, parse

KEYS = tuple(UserDefaults.model_fields)
PREFIX = "PANGEO_HPC_"


class Level(IntEnum):
    """Who said a value; a higher one wins."""

    DEFAULT = 0
    FILE = 1
    USER_FILE = 2
    ENVIRONMENT = 3
    FLAG = 4


class Origin(NamedTuple):
    """Where a value came from: who said it, and where that stands."""

    level: Level
    place: str


class UserFile(UserDefaults):
    """The file ~/.config/pangeo-hpc/user.yaml."""

    sites: Lookup[UserDefaults] = Field(
        default=EMPTY,
        description="The same four keys for one site only, by its name.",
        examples=[{"alpha": {"account": "abc123"}}],
    )


class Said(NamedTuple):
    """One value that a user set, and where."""

    value: str
    origin: Origin
    line: int | None = None
    file: str | None = None
    path: str = ""


def collect(
    site: str,
    environ: Mapping[str, str],
    overrides: Mapping[str, str],
    *,
    only_flags: bool = False,
) -> tuple[dict[str, Said], list[Problem]]:
    """Return what user file, environment and options say for a site, the highest level last.

    Problems are those of the user file. Raise UsageError for an override that is no default.
    """
    said, problems = ({}, []) if only_flags else _from_file(site, environ)
    for key in KEYS:
        variable = f"{PREFIX}{key.upper()}"
        if environ.get(variable) and not only_flags:
            origin = Origin(Level.ENVIRONMENT, f"variable {variable}")
            said[key] = Said(environ[variable], origin, path=variable)
    for key, value in overrides.items():
        if key not in KEYS:
            near = get_close_matches(key, KEYS, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(KEYS)}"
            raise UsageError(f"{key} cannot be overridden", hint=hint)
        if value:
            said[key] = Said(value, Origin(Level.FLAG, "option"), path=key)
    return said, problems


def lay_over(site: Site, said: Mapping[str, Said]) -> Site:
    """Return the site with a user's defaults in place of its own.

    Raise SiteError for names in the user file that the site does not have, UnknownName for those
    of a variable or an option.
    """
    problems = []
    for key, one in said.items():
        names = {"node_type": site.node_types, "environment": site.environments}.get(key)
        if names is None or one.value in names or (key == "environment" and not names):
            continue
        near = get_close_matches(one.value, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(names)}"
        text = f"site {site.name} has no {key.replace('_', ' ')} {one.value}"
        if one.file is None:
            raise UnknownName(f"{one.path}: {text}", hint=hint)
        if not one.path.startswith("sites."):
            hint += f"; what is for one site only goes below sites.{site.name}"
        problems.append(Problem(one.path, text, hint, one.file, one.line))
    if problems:
        raise SiteError(problems)
    values = site.defaults.model_dump() | {key: one.value for key, one in said.items()}
    try:
        defaults = UserDefaults.model_validate(values)
    except ValidationError as error:
        first = explain(error, Tree(None), UserDefaults)[0]
        where = said[first.path].path if first.path in said else first.path
        raise UsageError(f"{where}: {first.text}", hint=first.hint) from error
    return site.model_copy(update={"defaults": defaults})


def _from_file(site: str, environ: Mapping[str, str]) -> tuple[dict[str, Said], list[Problem]]:
    path = user_folder(environ) / "user.yaml"
    if not path.is_file():
        return {}, []
    source = read(path)
    tree = parse(source.text or "")
    if tree.problems:
        return {}, [problem.at(source.shown, problem.line) for problem in tree.problems]
    try:
        content = UserFile.model_validate(tree.value or {})
    except ValidationError as error:
        problems = [_no_limits(problem) for problem in explain(error, tree, UserFile)]
        return {}, [problem.at(source.shown, problem.line) for problem in problems]
    said = {}
    for part, prefix in ((content, ""), (content.sites.get(site), f"sites.{site}.")):
        for key in KEYS:
            value = getattr(part, key, None)
            if value:
                line = tree.line(prefix + key)
                origin = Origin(Level.USER_FILE, f"{source.shown}:{line}")
                said[key] = Said(value, origin, line, source.shown, prefix + key)
    return said, []


def _no_limits(problem: Problem) -> Problem:
    if problem.text != "unknown key" or "did you mean" in (problem.hint or ""):
        return problem
    hint = f"a user file sets {', '.join(KEYS)}, and sites; limits stay with the site"
    return Problem(problem.path, problem.text, hint, line=problem.line)
