"""What the YAML lets users ask for, queues and nodes can give."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from pangeo_hpc.doctor.facts import Asked, Facts
from pangeo_hpc.doctor.finding import Finding, problem, skipped
from pangeo_hpc.schedulers.base import Node, Queue
from pangeo_hpc.site import NodeType
from pangeo_hpc.units import MIB, exact_memory, format_walltime

NAME = "limits"
TITLE = "queues and nodes can give what node types allow"

Amount = TypeVar("Amount", int, timedelta)
# Some sites do not tell the scheduler their nodes' memory; Slurm then counts 1 MB.
_NOT_TOLD = 64 * MIB


@dataclass(frozen=True)
class _Row:
    """One amount: what a job gets, the most a user may ask for, and who limits it how."""

    what: str
    default: int
    most: int
    of_queue: int | None
    of_nodes: int | None
    show: Callable[[int], str] = str


def judge(facts: Facts) -> Iterator[Finding]:
    """Compare the limits of each node type with those of its queue and of the nodes behind it."""
    for node in facts.site.node_types.values():
        asked = facts.asked(node)
        if not asked.answers:
            yield skipped(NAME, f"{asked.key} does not answer")
            continue
        queue, nodes = asked.queue_of(node), asked.nodes_for(node)
        if asked.nodes and not nodes and node.constraint is not None:
            text = f"no node of node type {node.name} has the feature {node.constraint}"
            remedy = "correct it: the scheduler lists the features of its nodes"
            yield problem(NAME, text, remedy, f"node_types.{node.name}.constraint")
            continue
        found = [*_time(node, asked, queue), *_amounts(node, asked, queue, nodes)]
        yield from found
        if nodes and not found and not any(_holds(each, node) for each in nodes):
            text = f"no node has the cores, memory and GPUs of node type {node.name} together"
            yield problem(NAME, text, "lower one of them", f"node_types.{node.name}")


def limit_of(
    asked: Asked, queue: Queue | None, limit: Callable[[Queue], Amount | None]
) -> Amount | None:
    """Return the limit of a queue; of one that leads elsewhere also the widest behind it."""
    if queue is None:
        return None
    own = limit(queue)
    behind = [limit(end) for end in asked.ends_of(queue)]
    widest = [amount for amount in behind if amount is not None]
    limits = [own] if own is not None else []
    if widest and len(widest) == len(behind):
        limits.append(max(widest))
    return min(limits, default=None)


def _time(node: NodeType, asked: Asked, queue: Queue | None) -> Iterator[Finding]:
    longest = limit_of(asked, queue, lambda each: each.max_walltime)
    if queue is None or longest is None or "walltime" in node.omit:
        return
    key, time = "walltime", node.walltime
    if time <= longest:
        key, time = "max_walltime", node.max_walltime
    if time > longest:
        where, limit = f"queue {queue.name}", format_walltime(longest)
        yield _beyond(node, key, format_walltime(time), where, limit)


def _amounts(
    node: NodeType, asked: Asked, queue: Queue | None, nodes: list[Node]
) -> Iterator[Finding]:
    """Compare each amount with the tighter of its two limits."""
    name = f"queue {queue.name}" if queue else ""
    for row in _rows(node, asked, queue, nodes):
        limits = [(row.of_queue, name), (row.of_nodes, f"any node of {name}" if name else "a node")]
        known = [(limit, where) for limit, where in limits if limit is not None]
        if not known:
            continue
        limit, where = min(known)
        if row.default > limit:
            yield _beyond(node, row.what, row.show(row.default), where, row.show(limit))
        elif row.most > limit:
            yield _beyond(node, f"max_{row.what}", row.show(row.most), where, row.show(limit))


def _rows(node: NodeType, asked: Asked, queue: Queue | None, nodes: list[Node]) -> tuple[_Row, ...]:
    sent = "memory" not in node.omit
    nodes_there = limit_of(asked, queue, lambda each: each.max_nodes)
    cores_there = limit_of(asked, queue, lambda each: each.max_cores)
    memory_there = limit_of(asked, queue, lambda each: each.max_memory) if sent else None
    cores = max((each.cores for each in nodes), default=0) or None
    memory = max((each.memory for each in nodes), default=0)
    gpus = max((each.gpus for each in nodes), default=None)
    return (
        _Row("nodes", 1, node.max_nodes, nodes_there, len(nodes) or None),
        _Row("cores", node.cores, node.max_cores, cores_there, cores),
        _Row(
            "memory",
            node.memory,
            node.max_memory,
            memory_there,
            memory if memory > _NOT_TOLD else None,
            exact_memory,
        ),
        _Row("gpus", node.gpus, node.max_gpus, None, gpus),
    )


def _holds(each: Node, node: NodeType) -> bool:
    told = each.memory > _NOT_TOLD
    fits = each.cores >= node.cores and each.gpus >= node.gpus
    return fits and (each.memory >= node.memory or not told)


def _beyond(node: NodeType, key: str, value: str, where: str, limit: str) -> Finding:
    path = f"node_types.{node.name}.{key}"
    text = f"{path} is {value}, which is more than {where} has or allows ({limit})"
    return problem(NAME, text, f"lower {path} to {limit}", path)
