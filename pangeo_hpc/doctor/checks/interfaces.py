"""The network interface of each node type is on its nodes."""

from collections.abc import Iterator, Mapping, Sequence

from pangeo_hpc.doctor.facts import Facts
from pangeo_hpc.doctor.finding import Finding, ok, problem, skipped

NAME = "interfaces"
TITLE = "the interfaces that node types name are on their nodes"


def judge(facts: Facts) -> Iterator[Finding]:
    """Judge each node type that names an interface: Dask workers listen there."""
    named = [node for node in facts.site.node_types.values() if node.interface is not None]
    if not named:
        yield ok(NAME, "no node type names an interface; Dask chooses")
    elif facts.silence:
        yield skipped(NAME, facts.silence)
    for node, canary, report in facts.reports():
        interface, seen = node.interface, report.get("interfaces", {})
        if interface is None or seen.get(interface):
            continue
        what = "has no IPv4 address" if interface in seen else "is not there"
        text = f"interface {interface} of node type {node.name} {what} on {canary.node}"
        path = f"node_types.{node.name}.interface"
        remedy = f"set it to one of {_usable(seen)}, or leave it out and Dask chooses"
        yield problem(NAME, text, remedy, path)


def _usable(seen: Mapping[str, Sequence[str]]) -> str:
    found = [f"{name} ({addresses[0]})" for name, addresses in seen.items() if addresses]
    return ", ".join(found) or "those with an address"
