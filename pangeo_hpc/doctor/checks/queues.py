"""The queues of the YAML and those of the scheduler are the same."""

from collections.abc import Iterator
from difflib import get_close_matches

from pangeo_hpc.doctor.facts import Asked, Facts
from pangeo_hpc.doctor.finding import Finding, note, problem, skipped, warning
from pangeo_hpc.site import NodeType

NAME = "queues"
TITLE = "the queues of the site are known to the scheduler"


def judge(facts: Facts) -> Iterator[Finding]:
    """Compare both ways; a queue that no node type names is only a note."""
    named: dict[str, set[str]] = {}
    for node in facts.site.node_types.values():
        asked = facts.asked(node)
        if asked.queues is not None:
            used = named.setdefault(asked.key, set())
            queue = asked.queue_of(node)
            used |= {node.queue or ""} | ({queue.name} if queue else set())
            yield from _node_type(facts, node, asked)
    for key, asked in facts.schedulers.items():
        if asked.queues is None:
            yield skipped(NAME, f"{key} does not tell its queues")
            continue
        led_to = {end.name for q in asked.queues if q.routes for end in asked.ends_of(q)}
        names = [queue.name for queue in asked.queues]
        missing = [name for name in names if name not in named.get(key, set()) | led_to]
        if missing:
            text = f"{key} has queues that no node type names: {', '.join(missing)}"
            yield note(NAME, text, "add a node type for those that people should use", "node_types")


def _node_type(facts: Facts, node: NodeType, asked: Asked) -> Iterator[Finding]:
    path = f"node_types.{node.name}.queue"
    queue = asked.queue_of(node)
    names = [each.name for each in asked.queues or ()]
    if queue is None and node.queue is not None and "queue" not in node.omit:
        near = get_close_matches(node.queue, names, 1)
        guess = f"did you mean {near[0]}? " if near else ""
        text = f"{asked.key} has no queue {node.queue}, which node type {node.name} names"
        yield problem(NAME, text, f"{guess}queues there: {', '.join(names)}", path)
    elif queue is None:
        text = f"node type {node.name} names no queue, and {asked.key} has no default one"
        yield problem(NAME, text, f"set {path} to one of: {', '.join(names)}", path)
    elif not queue.enabled:
        text = f"queue {queue.name} of node type {node.name} takes no jobs now, or starts none"
        yield warning(NAME, text, "start it, or take the node type out of the YAML", path)
    elif queue.users is not None and facts.person.user not in queue.users:
        text = f"queue {queue.name} of node type {node.name} is not for {facts.person.user}"
        yield warning(NAME, text, "let them use it, or tell who may in `description`", path)
