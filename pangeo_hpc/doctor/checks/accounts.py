"""The accounts and the QOS of the YAML are there, and the user may use them."""

from collections.abc import Iterator

from pangeo_hpc.doctor.facts import Asked, Facts
from pangeo_hpc.doctor.finding import Finding, note, problem, skipped, warning
from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.schedulers.base import Qos
from pangeo_hpc.site import NodeType, expand
from pangeo_hpc.units import format_walltime

NAME = "accounts"
TITLE = "accounts and QOS are there, and the user may use them"


def judge(facts: Facts) -> Iterator[Finding]:
    """Compare both ways; a QOS that no node type names is only a note."""
    for key, asked in facts.schedulers.items():
        if not asked.answers:
            yield skipped(NAME, f"{key} does not answer")
            continue
        nodes = [node for node in facts.site.node_types.values() if facts.asked(node) is asked]
        for node in nodes:
            yield from _account(facts, asked, node)
            if node.qos is not None:
                yield from _qos(facts, asked, node, node.qos)
        yield from _offered(facts, asked, {node.qos for node in nodes})


def _account(facts: Facts, asked: Asked, node: NodeType) -> Iterator[Finding]:
    defaults = facts.site.defaults
    person = facts.person.with_defaults(defaults.account, defaults.project)
    path, rule, account = f"node_types.{node.name}.account", node.account, person.account
    if rule == "none" or "account" in node.omit or not asked.accounts:
        return
    if rule not in ("required", "optional"):
        try:
            account = expand(rule, path, person)
        except PangeoHpcError:
            # the canary of this node type is refused for it
            return
    else:
        path = "defaults.account"
    may = [each.name for each in asked.accounts]
    if account is not None and account not in may:
        text = f"{person.user} may not charge {account} on {asked.key}"
        yield problem(NAME, text, f"accounts of {person.user}: {', '.join(may)}", path)


def _qos(facts: Facts, asked: Asked, node: NodeType, name: str) -> Iterator[Finding]:
    path, user = f"node_types.{node.name}.qos", facts.person.user
    every = asked.settings.qos if asked.settings else None
    if every is None:
        yield skipped(NAME, f"{asked.key} does not tell its QOS, and {path} names {name}")
        return
    found = next((each for each in every if each.name == name), None)
    names = ", ".join(each.name for each in every)
    if found is None:
        text = f"{asked.key} has no QOS {name}, which node type {node.name} names"
        yield problem(NAME, text, f"correct {path}; QOS there: {names}", path)
        return
    may = sorted({qos for account in asked.accounts or () for qos in account.qos})
    if may and name not in may:
        text = f"{user} may not use QOS {name} of node type {node.name}"
        yield problem(NAME, text, f"give it to their account; they may use: {', '.join(may)}", path)
    yield from _longest(node, found)


def _longest(node: NodeType, qos: Qos) -> Iterator[Finding]:
    longest = qos.max_walltime
    if longest is None or node.max_walltime <= longest or "walltime" in node.omit:
        return
    key = "max_walltime" if node.walltime <= longest else "walltime"
    path = f"node_types.{node.name}.{key}"
    time = format_walltime(node.max_walltime if key == "max_walltime" else node.walltime)
    limit = format_walltime(longest)
    text = f"{time} is more than QOS {qos.name} allows ({limit})"
    yield problem(NAME, text, f"lower {path} to {limit}", path)


def _offered(facts: Facts, asked: Asked, named: set[str | None]) -> Iterator[Finding]:
    user = facts.person.user
    if asked.accounts:
        told = (f"{a.name} (default)" if a.default else a.name for a in asked.accounts)
        yield note(NAME, f"{user} may charge {', '.join(told)} on {asked.key}")
        # the first of an account is what a job gets that names none
        others = {qos: None for account in asked.accounts for qos in account.qos[1:]}
        spare = [qos for qos in others if qos not in named]
        if spare:
            text = f"{user} may use QOS that no node type names: {', '.join(spare)}"
            yield note(NAME, text, "add a node type for those that people should use", "node_types")
    elif asked.accounts == () and asked.settings and asked.settings.qos is not None:
        text = f"{asked.key} keeps accounts, and {user} has none"
        yield warning(NAME, text, f"add {user} to an account of {asked.key}")
