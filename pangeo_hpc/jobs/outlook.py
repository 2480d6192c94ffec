"""What is free for a node type, and when a default job of it would start."""

import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from pangeo_hpc.errors import RequestRefused
from pangeo_hpc.jobs.plan import Ask, plan, scheduler_named
from pangeo_hpc.run import Runner, converse, run
from pangeo_hpc.schedulers.base import Node, NodeState, Queue, Scheduler, destinations
from pangeo_hpc.schedulers.script import render
from pangeo_hpc.site import NodeType, Person, Site


@dataclass(frozen=True)
class Outlook:
    """Nodes by state, the estimated start of a default job, and why there is none."""

    counts: Mapping[NodeState, int]
    start: datetime | None = None
    note: str | None = None


def outlooks(
    site: Site, node_types: Iterable[str], person: Person, *, runner: Runner = run
) -> dict[str, Outlook]:
    """Ask about node types: each scheduler once for its nodes, and once per type for a start.

    The estimate submits nothing. Raise SchedulerUnreachable if a scheduler does not answer.
    """
    nodes: dict[str, tuple[Node, ...]] = {}
    found = {}
    for name in node_types:
        node = site.node_type(name)
        key, _ = site.scheduler_of(node)
        scheduler = scheduler_named(site, key, person)
        if key not in nodes:
            nodes[key] = converse(scheduler.nodes(), runner)
        ask = partial(_queues, scheduler, runner)
        start, note = _estimate(site, node, person, scheduler, runner)
        found[name] = Outlook(
            count(nodes[key], node, queues_of(node, nodes[key], ask)), start, note
        )
    return found


def queues_of(
    node: NodeType, nodes: Sequence[Node], queues: Callable[[], Iterable[Queue]]
) -> set[str]:
    """Return the queues in which a node type's jobs can run; empty where none is named.

    `queues` is asked only where it matters.
    """
    if node.queue is None:
        return set()
    if any(n.queues for n in nodes) and not any(node.queue in n.queues for n in nodes):
        # a routing queue has no nodes of its own: its jobs run where it hands them to
        return {node.queue, *destinations(queues(), node.queue)}
    return {node.queue}


def _queues(scheduler: Scheduler, runner: Runner) -> tuple[Queue, ...]:
    return converse(scheduler.queues(), runner)


def _estimate(
    site: Site, node: NodeType, person: Person, scheduler: Scheduler, runner: Runner
) -> tuple[datetime | None, str | None]:
    """Return when a default job of a node type would start, and why that cannot be said."""
    try:
        request = plan(
            site,
            Ask(node_type=node.name),
            name="outlook",
            command=("true",),
            use=min(node.uses),
            person=person,
        )
    except RequestRefused as error:
        return None, error.problems[0].text
    with tempfile.TemporaryDirectory(prefix="pangeo-hpc-") as folder:
        script = Path(folder) / "job.sh"
        script.write_text(render(scheduler.directives(request), request))
        return converse(scheduler.estimate(script, request), runner), None


def fits(constraint: str, features: Collection[str]) -> bool:
    """Tell whether a node's features meet a constraint such as ``cpu``, ``gpu&hbm80g`` or ``a|b``.

    Forms with counts and brackets are about several nodes, so any node may be one of them.
    """
    if not re.fullmatch(r"[\w.:=-]+([&|][\w.:=-]+)*", constraint):
        return True
    return any(set(part.split("&")) <= set(features) for part in constraint.split("|"))


def count(
    nodes: Iterable[Node], node_type: NodeType, queues: Collection[str]
) -> dict[NodeState, int]:
    """Count by state the nodes on which a node type's jobs can run, through any of the queues."""
    counts = dict.fromkeys(NodeState, 0)
    for node in nodes:
        if queues and node.queues and not set(queues) & set(node.queues):
            continue
        if node_type.constraint is not None and not fits(node_type.constraint, node.features):
            continue
        counts[node.state] += 1
    return counts
