"""Checks of the site as a whole: its defaults, its schedulers, its names."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from pangeo_hpc.site.checks.finding import Finding
from pangeo_hpc.site.model import Site
from pangeo_hpc.site.model.base import Entry
from pangeo_hpc.site.model.nodes import USES

# What only one type of scheduler understands, with the value that says nothing.
_ONLY = {
    "cluster": ("slurm", None),
    "server": ("pbs", None),
    "request": ("pbs", "select"),
    "account_option": ("pbs", "-A"),
}


def one_default(site: Site) -> list[Finding]:
    """Refuse a section of several entries without one default, or with two."""
    sections: tuple[tuple[str, Mapping[str, Entry]], ...] = (
        ("node_types", site.node_types),
        ("scratch", site.scratch),
        ("environments", site.environments),
    )
    found = []
    for section, entries in sections:
        keys = tuple(f"{section}.{name}.default" for name in entries)
        needs = (*keys, f"{section}.*")
        marked = [name for name, entry in entries.items() if getattr(entry, "default", False)]
        if len(entries) > 1 and not marked:
            text = "no entry is the default"
            hint = f"add `default: true` to one of {', '.join(entries)}"
            found.append(Finding(section, text, hint, needs=needs))
        for name in marked[1:]:
            text = f"{marked[0]} is the default already"
            hint = f"keep `default: true` in one of {' and '.join(marked)}"
            found.append(Finding(f"{section}.{name}.default", text, hint, needs=needs))
    return found


def names_meant_for_us(site: Site) -> list[Finding]:
    """Refuse names that mean something else in a command."""
    found = []
    if site.name == "local" and site.scheduler != "local":
        text = "local is the name of the built-in site"
        found.append(Finding("name", text, "choose another name", needs=("scheduler",)))
    for name in site.environments:
        if name == "current":
            text = "current is the name of the running Python"
            found.append(Finding(f"environments.{name}", text, "choose another name"))
    return found


def scheduler_types(site: Site, known: Collection[str]) -> list[Finding]:
    """Refuse batch systems that nothing here can speak to."""
    found = []
    for name, entry in site.schedulers.items():
        if entry.type in known:
            continue
        near = get_close_matches(entry.type, known, 1)
        listed = ", ".join(known)
        guess = f"did you mean {near[0]}?" if near else f"known are {listed}"
        # an entry that was never written has its type from the key `scheduler`
        implied = name == entry.type and name == site.scheduler
        path = "scheduler" if implied else f"schedulers.{name}.type"
        found.append(Finding(path, f"no scheduler of type {entry.type!r}", guess))
    return found


def scheduler_options(site: Site) -> list[Finding]:
    """Refuse options that a scheduler of that type does not have."""
    found = []
    for name, entry in site.schedulers.items():
        for option, (kind, nothing) in _ONLY.items():
            foreign = entry.type in ("slurm", "pbs", "local") and entry.type != kind
            if foreign and getattr(entry, option) != nothing:
                path = f"schedulers.{name}.{option}"
                text = f"a scheduler of type {entry.type} has no {option}"
                hint = f"remove it; it is for {kind}"
                needs = (f"schedulers.{name}.type", "scheduler")
                found.append(Finding(path, text, hint, needs=needs))
    return found


def node_type_schedulers(site: Site) -> list[Finding]:
    """Refuse node types of a scheduler that the site does not have."""
    found = []
    for name, node in site.node_types.items():
        if node.scheduler is None or node.scheduler in site.schedulers:
            continue
        near = get_close_matches(node.scheduler, site.schedulers, 1)
        guess = f"did you mean {near[0]}?" if near else f"add {node.scheduler} to schedulers"
        text = f"there is no {node.scheduler} in schedulers"
        path = f"node_types.{name}.scheduler"
        found.append(Finding(path, text, guess, needs=("scheduler", "schedulers.*")))
    return found


def defaults(site: Site) -> list[Finding]:
    """Refuse defaults that the site does not have."""
    found = []
    sections: tuple[tuple[str, str, Mapping[str, Entry]], ...] = (
        ("node_type", "node_types", site.node_types),
        ("environment", "environments", site.environments),
    )
    for key, section, entries in sections:
        name = getattr(site.defaults, key)
        if name is None or name in entries:
            continue
        near = get_close_matches(name, entries, 1)
        guess = f"did you mean {near[0]}?" if near else f"write one of {', '.join(entries)}"
        text = f"there is no {name} in {section}"
        found.append(Finding(f"defaults.{key}", text, guess, needs=(f"{section}.*",)))
    return found


def uses(site: Site) -> list[Finding]:
    """Refuse node types for nothing, and a site where a use has no node type at all."""
    found = []
    for name, node in site.node_types.items():
        if not node.uses:
            hint = f"write some of {', '.join(sorted(USES))}, or remove the key"
            found.append(Finding(f"node_types.{name}.uses", "it is for nothing", hint))
    needs = (*(f"node_types.{name}.uses" for name in site.node_types), "node_types.*", "hub")
    wanted = site.hub is not None and "batch" in site.hub.profiles
    if wanted and not any("notebook" in node.uses for node in site.node_types.values()):
        text = "no node type is for notebooks, and hub.profiles has batch"
        hint = "add notebook to the uses of one, or remove batch from hub.profiles"
        found.append(Finding("node_types", text, hint, needs=needs))
    return found
