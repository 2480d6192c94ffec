"""Nodes reach the hub, and the hub's host reaches servers on nodes."""

from collections.abc import Iterator

from pangeo_hpc.doctor.facts import Facts
from pangeo_hpc.doctor.finding import Finding, ok, problem, skipped

NAME = "hub-network"
TITLE = "nodes reach the hub, and this host reaches the servers on them"


def judge(facts: Facts) -> Iterator[Finding]:
    """Judge both ways for each node type on which notebooks run."""
    hub = facts.site.hub
    if hub is None:
        return
    if facts.silence:
        yield skipped(NAME, facts.silence)
    for node, canary, report in facts.reports():
        crossing = report.get("crossing")
        if "notebook" not in node.uses or not isinstance(crossing, dict):
            continue
        if crossing["hub"]:
            text = f"{canary.node} does not reach {hub.connect_url}: {crossing['hub']}"
            remedy = "start the hub; open its port for nodes, or correct the address"
            yield problem(NAME, text, remedy, "hub.connect_url")
        else:
            yield ok(NAME, f"{canary.node} reaches the hub at {hub.connect_url}")
        words, (first, last) = crossing["called"]["words"], hub.port_range
        if words:
            text = f"this host does not reach ports {first} to {last} of {canary.node}: {words}"
            remedy = "run doctor on the hub's host; open the range between it and the nodes"
            yield problem(NAME, text, remedy, "hub.port_range")
        else:
            yield ok(NAME, f"this host reaches a server on {canary.node}")
