"""What is free for a node type, and when a default job of it would start."""

import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pangeo_hpc.errors import RequestRefused
from pangeo_hpc.jobs.plan import Ask, plan, scheduler_of
from pangeo_hpc.run import Runner, converse, run
from pangeo_hpc.schedulers.base import Node, NodeState, destinations, render
from pangeo_hpc.site import NodeType, Person, Site


@dataclass(frozen=True)
class Outlook:
    """Nodes by state, the estimated start of a default job, and why there is none."""

    counts: Mapping[NodeState, int]
    start: datetime | None = None
    note: str | None = None


def outlook(site: Site, node_type: str, person: Person, *, runner: Runner = run) -> Outlook:
    """Ask the scheduler about one node type; the estimate needs no submission."""
    scheduler = scheduler_of(site, node_type, person)
    node = site.node_type(node_type)
    nodes = converse(scheduler.nodes(), runner)
    names = {node.queue} if node.queue else set()
    if names and any(n.queues for n in nodes) and not any(node.queue in n.queues for n in nodes):
        # a routing queue has no nodes of its own: its jobs run where it hands them to
        names |= destinations(converse(scheduler.queues(), runner), node.queue or "")
    counts = count(nodes, node, names)
    try:
        request = plan(
            site,
            Ask(node_type=node_type),
            name="outlook",
            command=("true",),
            use=min(node.uses),
            person=person,
        )
    except RequestRefused as error:
        return Outlook(counts, note=error.problems[0].text)
    with tempfile.TemporaryDirectory(prefix="pangeo-hpc-") as folder:
        script = Path(folder) / "job.sh"
        script.write_text(render(scheduler.directives(request), request))
        return Outlook(counts, converse(scheduler.estimate(script, request), runner))


def count(
    nodes: Iterable[Node], node_type: NodeType, queues: Collection[str]
) -> dict[NodeState, int]:
    """Count by state the nodes on which a node type's jobs can run, through any of the queues."""
    counts = dict.fromkeys(NodeState, 0)
    for node in nodes:
        if queues and node.queues and not set(queues) & set(node.queues):
            continue
        if node_type.constraint is not None and node_type.constraint not in node.features:
            continue
        counts[node.state] += 1
    return counts
