"""What is free for a node type, and when a default job of it would start."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pangeo_hpc.errors import RequestRefused
from pangeo_hpc.jobs.plan import Ask, plan, scheduler_of
from pangeo_hpc.run import Runner, converse, run
from pangeo_hpc.schedulers.base import Node, NodeState, render
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
    counts = count(converse(scheduler.nodes(), runner), node)
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


def count(nodes: tuple[Node, ...], node_type: NodeType) -> dict[NodeState, int]:
    """Count by state the nodes on which a node type's jobs can run."""
    counts = dict.fromkeys(NodeState, 0)
    for node in nodes:
        if node_type.queue is not None and node.queues and node_type.queue not in node.queues:
            continue
        if node_type.constraint is not None and node_type.constraint not in node.features:
            continue
        counts[node.state] += 1
    return counts
