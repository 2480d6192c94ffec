"""Load a site: find it, read it, and tell everything that is wrong with it at once."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pangeo_hpc.errors import Problem, SiteError
from pangeo_hpc.machine import this_machine
from pangeo_hpc.site import builtin, checks
from pangeo_hpc.site.explain import explain
from pangeo_hpc.site.find import Source, find
from pangeo_hpc.site.mend import mend
from pangeo_hpc.site.model import Site
from pangeo_hpc.site.model.site import FORMAT
from pangeo_hpc.site.overlay import Level, Origin, Said, collect, lay_over
from pangeo_hpc.site.tree import Tree, parse

# The batch systems of this package; others are asked of the installed entry points.
OURS = ("slurm", "pbs", "local")


@dataclass(frozen=True)
class Loaded:
    """A site with where it was found and who said each of a user's defaults."""

    site: Site
    source: Source
    tree: Tree
    said: Mapping[str, Said] = field(default_factory=dict)

    def origin(self, path: str) -> Origin:
        """Return where the value of a dotted path came from."""
        section, _, key = path.partition(".")
        if section == "defaults" and key in self.said:
            return self.said[key].origin
        if self.source.text is None:
            return Origin(Level.DEFAULT, self.source.shown)
        mark = self.tree.marks.get(path)
        if mark is None:
            return Origin(Level.DEFAULT, "built-in default")
        return Origin(Level.FILE, f"{self.source.shown}:{mark.value}")


def load_site(
    where: str | Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
    schedulers: Collection[str] | None = None,
) -> Site:
    """Return the site that is asked for, or the first of the usual places.

    `where` is a path, the name of a shipped site, or ``local``. `overrides` are a user's options
    for account, project, node_type and environment. `schedulers` are the known types; None asks
    what is installed. Raise SiteError with every problem, or SiteNotFound.
    """
    return load(where, environ=environ, overrides=overrides, schedulers=schedulers).site


def load(
    where: str | Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
    schedulers: Collection[str] | None = None,
    own_defaults: bool = True,
) -> Loaded:
    """Return a site like `load_site`, with the origin of its values.

    Without `own_defaults`, the user's file and variables are not looked at.
    """
    ours = os.environ if environ is None else environ
    source = find(where, ours)
    text = builtin.local_yaml(this_machine()) if source.text is None else source.text
    site, tree, problems = read_site(text, source, environ=ours, schedulers=schedulers)
    # a site that was stored with a run already holds what its user chose then
    stored = is_stored(tree)
    said, wrong = collect(_name(tree), ours, overrides or {}, only_flags=stored or not own_defaults)
    problems = [*problems, *wrong]
    if problems or site is None:
        raise SiteError(problems)
    return Loaded(lay_over(site, said), source, tree, said)


def read_site(
    text: str,
    source: Source,
    *,
    environ: Mapping[str, str] | None = None,
    schedulers: Collection[str] | None = None,
) -> tuple[Site | None, Tree, list[Problem]]:
    """Return the site of a YAML text, or every problem in it, sorted by line."""
    tree = parse(text)
    if tree.value is None and not tree.problems:
        hint = "see `pangeo-hpc site sample`"
        return None, tree, [Problem("", "the file is empty", hint, source.shown, 1)]
    value = tree.value
    if isinstance(value, dict) and is_stored(tree):
        value = {key: item for key, item in value.items() if key != "format"}
    ours = os.environ if environ is None else environ
    context = {"base": source.folder or Path("/"), "home": ours.get("HOME")}
    site, problems = _validate(value, tree, context, schedulers) if value else (None, [])
    problems = [*tree.problems, *problems]
    problems = [each.at(source.shown, each.line) for each in problems]
    problems.sort(key=lambda each: each.line or 0)
    return (None if problems else site), tree, problems


def is_stored(tree: Tree) -> bool:
    """Tell whether a site was written by `Site.dump`."""
    return isinstance(tree.value, dict) and tree.value.get("format") == str(FORMAT)


def _validate(
    value: Any, tree: Tree, context: dict[str, Any], schedulers: Collection[str] | None
) -> tuple[Site | None, list[Problem]]:
    """Return the site and its problems; checks look at whatever of it could be read."""
    problems: list[Problem] = []
    broken: set[str] = set()
    try:
        site: Site | None = Site.model_validate(value, context=context)
    except ValidationError as error:
        problems = explain(error, tree, Site)
        site, broken = mend(value, error, context)
    if site is None:
        return None, problems
    known = _known_types(site) if schedulers is None else schedulers
    for finding in checks.check(site, known):
        if not checks.concerns(finding, broken):
            line = tree.line(finding.path)
            problems.append(Problem(finding.path, finding.text, finding.hint, line=line))
    return site, problems


def _known_types(site: Site) -> Collection[str]:
    if all(entry.type in OURS for entry in site.schedulers.values()):
        return OURS
    from importlib.metadata import entry_points

    return sorted({*OURS, *entry_points(group="pangeo_hpc.schedulers").names})


def _name(tree: Tree) -> str:
    return str(tree.value.get("name") or "") if isinstance(tree.value, dict) else ""
