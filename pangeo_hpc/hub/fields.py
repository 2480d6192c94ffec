"""What the form shows: from a site, a user and what is known, to plain values for the template."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pangeo_hpc.errors import Problem
from pangeo_hpc.hub.choices import BATCH, NAMES, OPTION
from pangeo_hpc.hub.conditions import Free
from pangeo_hpc.hub.usage import Used
from pangeo_hpc.schedulers.base import Account, NodeState
from pangeo_hpc.site import NodeType, Site
from pangeo_hpc.texts import Texts
from pangeo_hpc.units import exact_memory, format_memory, format_walltime

Values = Mapping[str, str]
# Seconds for which nobody cares how old a number is.
_NOW = 5


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the hub knows when it shows the form.

    `given` are the values of the fields as they were typed; `problems` are of them. `free` has the
    node types of which anything is known.
    """

    given: Values = field(default_factory=dict)
    problems: Sequence[Problem] = ()
    free: Mapping[str, Free] = field(default_factory=dict)
    accounts: Sequence[Account] = ()
    used: Sequence[Used] = ()


def context(site: Site, texts: Texts, seen: Seen) -> dict[str, Any]:
    """Return all that the template needs, as text that is not yet escaped."""
    nodes = offered(site)
    errors = beside(seen.problems, texts)
    chosen = seen.given.get("node_type") or site.node_type().name
    optional = _option_names(nodes)
    known = {*NAMES, *(f"{OPTION}{name}" for name in optional)}
    return {
        "given": {name: seen.given.get(name, "") for name in known},
        "errors": errors,
        "summary": [
            {"field": name if name in known else "", "label": label(texts, name), "text": text}
            for name, lines in errors.items()
            for text in lines
        ],
        "profiles": profiles(site, texts),
        "node_types": [
            {
                "name": node.name,
                "description": node.description,
                "checked": node.name == chosen,
                "default": node.default,
                "facts": facts(node, texts),
                "nodes": nodes_line(seen.free.get(node.name), texts),
            }
            for node in nodes
        ],
        "environments": [
            {"name": each.name, "description": each.description, "default": each.default}
            for each in site.environments.values()
        ],
        "accounts": accounts(seen, texts)
        if "account" in errors or any(map(_takes_account, nodes))
        else None,
        "gpus": "gpus" in errors or any(node.max_gpus for node in nodes),
        "options": [option(name, nodes, texts) for name in optional],
        "used": used_line(seen.used, texts),
        "data": {node.name: _data(node) for node in nodes},
    }


def offered(site: Site) -> list[NodeType]:
    """Return the node types on which a server may run, the default one first."""
    found = [node for node in site.node_types.values() if "notebook" in node.uses]
    return sorted(found, key=lambda node: not node.default)


def beside(problems: Iterable[Problem], texts: Texts) -> dict[str, list[str]]:
    """Return problems by the field that they belong to, empty for none of them."""
    found: dict[str, list[str]] = {}
    for each in map(texts.problem, problems):
        text = f"{each.text}; {each.hint}" if each.hint else each.text
        found.setdefault(field_of(each.path), []).append(text)
    return found


def field_of(path: str) -> str:
    """Return the field that a problem's path means: ``option begin`` is ``option.begin``."""
    if path.startswith("option "):
        return f"{OPTION}{path.removeprefix('option ')}"
    if path.startswith("node_types."):
        _, _, *rest = path.split(".")
        if rest[:1] == ["options"]:
            return f"{OPTION}{'.'.join(rest[1:])}"
        return rest[0] if rest and rest[0] in NAMES else ""
    return path if path in NAMES or path.startswith(OPTION) else ""


def label(texts: Texts, name: str) -> str:
    """Return how a field is called."""
    if name.startswith(OPTION):
        return name.removeprefix(OPTION)
    return texts(f"form.{name}") if name in NAMES else ""


def profiles(site: Site, texts: Texts) -> list[dict[str, str]]:
    """Return the kinds of servers, none if there is only one."""
    hub = site.hub
    if hub is None or len(hub.profiles) < 2:
        return []
    login = {"cores": hub.login.cores, "memory": format_memory(hub.login.memory)}
    return [
        {
            "name": name,
            "text": texts("form.profile_batch")
            if name == BATCH
            else texts("form.profile_login", **login),
        }
        for name in hub.profiles
    ]


def facts(node: NodeType, texts: Texts) -> list[str]:
    """Return what a node type gives and allows, in a few words each."""

    def said(what: str, number: object, most: object) -> str:
        if number == most:
            return texts(f"form.{what}_of", number=number)
        return texts(f"form.{what}_up_to", number=number, most=most)

    found = [
        said("cores", node.cores, node.max_cores),
        said("memory", exact_memory(node.memory), exact_memory(node.max_memory)),
        said("time", texts.duration(node.walltime), texts.duration(node.max_walltime)),
    ]
    if node.max_gpus:
        found.insert(2, said("gpus", node.gpus, node.max_gpus))
    if node.exclusive:
        found.append(texts("form.exclusive"))
    if not _takes_account(node) and node.account not in ("none", None):
        found.append(texts("form.charges", account=node.account))
    return found


def nodes_line(free: Free | None, texts: Texts) -> str:
    """Return how many nodes are idle, busy and down, and how old that is."""
    if free is None:
        return texts("form.nodes_unknown")
    counts = {str(state): free.counts.get(state, 0) for state in NodeState}
    age = texts.duration(timedelta(seconds=round(free.age)))
    when = texts("form.nodes_age", age=age) if free.age >= _NOW else texts("form.nodes_just")
    said = [texts("form.nodes_now", **counts), when]
    if free.failure:
        said.append(texts("form.nodes_failure"))
    return ", ".join(said)


def accounts(seen: Seen, texts: Texts) -> list[dict[str, str]]:
    """Return the accounts to choose from, none where a user has to type one."""
    if not seen.accounts:
        return []
    usual = next((each.name for each in seen.accounts if each.default), None)
    first = texts("form.account_default", name=usual) if usual else texts("form.account_none")
    names = list(dict.fromkeys(each.name for each in seen.accounts))
    typed = seen.given.get("account")
    if typed and typed not in names:
        names.append(typed)
    return [{"name": "", "text": first}, *({"name": name, "text": name} for name in names)]


def option(name: str, nodes: Sequence[NodeType], texts: Texts) -> dict[str, str]:
    """Return one line that users may fill, which some node types have."""
    having = [node for node in nodes if name in node.options]
    first = having[0].options[name]
    said = [f"{first.description.rstrip('.')}."] if first.description else []
    default = first.default
    said.append(
        texts("form.option_default", value=default) if default else texts("form.option_hint")
    )
    if len(having) < len(nodes):
        said.append(texts("form.option_only", names=", ".join(node.name for node in having)))
    return {"name": name, "field": f"{OPTION}{name}", "hint": " ".join(said)}


def used_line(used: Sequence[Used], texts: Texts) -> str:
    """Return what the last servers used at most, empty if nothing is known."""
    if not used:
        return ""
    time = texts.duration(timedelta(seconds=max(each.seconds for each in used)))
    memory = max((each.memory or 0 for each in used), default=0)
    if memory:
        return texts("form.used_both", memory=format_memory(memory), time=time)
    return texts("form.used_time", time=time)


def _takes_account(node: NodeType) -> bool:
    return node.account in ("required", "optional") or "{" in (node.account or "")


def _option_names(nodes: Iterable[NodeType]) -> list[str]:
    return list(dict.fromkeys(name for node in nodes for name in node.options))


def _data(node: NodeType) -> dict[str, Any]:
    """Return the limits of a node type for the page's script; walltimes in seconds."""
    return {
        "cores": [node.cores, node.max_cores],
        "gpus": [node.gpus, node.max_gpus],
        "memory": [exact_memory(node.memory), exact_memory(node.max_memory)],
        "walltime": [node.walltime.total_seconds(), node.max_walltime.total_seconds()],
        "walltime_text": [format_walltime(node.walltime), format_walltime(node.max_walltime)],
        "account": _takes_account(node),
        "options": list(node.options),
    }
