"""Node types of a draft, one from each queue and its nodes."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta

from pangeo_hpc.detect.survey import Survey
from pangeo_hpc.detect.words import one_line, plain_name, quoted
from pangeo_hpc.schedulers.base import Node, NodeState, Queue
from pangeo_hpc.units import GIB, MIB, format_walltime

_SHORT, _LONG = timedelta(hours=1), timedelta(days=7)


def default_first(queues: Iterable[Queue]) -> list[Queue]:
    """Return the queues, the default one first."""
    return sorted(queues, key=lambda queue: not queue.default)


def nodes_of(queue: Queue, survey: Survey) -> list[Node]:
    """Return the nodes that serve a queue."""
    names = {queue.name, *queue.routes}
    named = [node for node in survey.nodes if names & set(node.queues)]
    # PBS tells the queues of a node only where a node is bound to one
    return named or [node for node in survey.nodes if not node.queues]


def trouble(queue: Queue, nodes: list[Node]) -> str | None:
    """Return why a queue cannot take jobs now."""
    if not queue.enabled:
        return "it is down or disabled"
    if nodes and all(node.state is NodeState.DOWN for node in nodes):
        reasons = Counter(node.reason for node in nodes if node.reason)
        reason = f": {one_line(reasons.most_common(1)[0][0])}" if reasons else ""
        return f"all of its nodes are down{reason}"
    return None


def names_of(queues: Iterable[Queue]) -> dict[str, str]:
    """Return a name of its own for the node type of each queue."""
    names: dict[str, str] = {}
    for queue in queues:
        plain = name = plain_name(queue.name, "queue")
        number = 1
        while name in names.values():
            number += 1
            name = f"{plain[:60]}-{number}"
        names[queue.name] = name
    return names


def node_type(name: str, queue: Queue, survey: Survey, *, default: bool) -> Iterator[str]:
    """Yield the lines of the node type of a queue."""
    nodes = nodes_of(queue, survey)
    cores, memory, gpus = _shape(nodes)
    cores = min(cores, queue.max_cores or cores)
    memory = max(min(memory, queue.max_memory or memory), MIB)
    start = min(cores, 4)
    share = max(memory * start // cores, min(memory, GIB))
    longest = queue.max_walltime or _LONG
    usual = min(queue.default_walltime or _SHORT, longest)
    most_nodes = min(queue.max_nodes or len(nodes) or 1, len(nodes) or queue.max_nodes or 1)
    yield f"  {name}:"
    if default:
        yield "    default: true"
    if nodes:
        yield f"    # {len(nodes)} nodes; {_kinds(nodes)}"
    else:
        yield "    # the scheduler told nothing of its nodes: check cores and memory"
    yield f"    queue: {quoted(queue.name)}"
    yield f"    cores: {start}"
    yield f"    memory: {share // MIB} MiB"
    yield f"    max_cores: {cores}"
    yield f"    max_memory: {memory // MIB} MiB"
    yield f'    walltime: "{format_walltime(usual)}"'
    if queue.max_walltime is None:
        yield "    # the queue has no limit of its own"
    yield f'    max_walltime: "{format_walltime(longest)}"'
    if most_nodes > 1:
        yield f"    max_nodes: {most_nodes}"
    if gpus:
        yield "    gpus: 1"
        yield f"    max_gpus: {gpus}"
    yield f"    account: {_account_rule(survey)}"


def no_queues() -> Iterator[str]:
    """Yield a node type to be edited, for a scheduler that told no queues."""
    yield "  # the scheduler told no queues: check all of this"
    yield "  standard:"
    yield "    cores: 1"
    yield "    memory: 1 GiB"
    yield '    walltime: "01:00:00"'


def _shape(nodes: list[Node]) -> tuple[int, int, int]:
    """Return cores, memory and GPUs that most nodes have; what is down counts only if all is."""
    up = [node for node in nodes if node.state is not NodeState.DOWN] or nodes
    shapes = Counter((node.cores, node.memory, node.gpus) for node in up if node.cores)
    if not shapes:
        return 1, GIB, 0
    (cores, memory, gpus), _ = shapes.most_common(1)[0]
    return cores, max(memory, GIB), gpus


def _kinds(nodes: list[Node]) -> str:
    shapes = Counter((node.cores, node.memory // MIB, node.gpus) for node in nodes)
    texts = []
    for (cores, memory, gpus), number in shapes.most_common(3):
        more = f", {gpus} GPUs" if gpus else ""
        texts.append(f"{number} of {cores} cores, {memory} MiB{more}")
    return "; ".join(texts)


def _account_rule(survey: Survey) -> str:
    if not survey.accounts:
        return "optional"
    settled = len(survey.accounts) == 1 or any(account.default for account in survey.accounts)
    return "optional" if settled else "required"
