"""A small job runs through each node type."""

from collections.abc import Iterator

from pangeo_hpc.doctor.facts import Canary, Facts, Outcome
from pangeo_hpc.doctor.finding import Finding, ok, problem, skipped, warning
from pangeo_hpc.schedulers.base import JobState, Node, NodeState
from pangeo_hpc.site import NodeType

NAME = "canary"
TITLE = "a small job runs through each node type"

# What another check says better.
_TOLD_ELSEWHERE = {Outcome.NO_TRACE: "state", Outcome.NO_ENVIRONMENT: "environments"}


def judge(facts: Facts) -> Iterator[Finding]:
    """Tell how each canary ended."""
    if facts.unsent is not None:
        yield skipped(NAME, facts.unsent)
    for name, canary in facts.canaries.items():
        node, path = facts.site.node_types[name], f"node_types.{name}"
        if canary.outcome is Outcome.REFUSED and facts.unsent is None:
            for failure in canary.failures:
                text = f"no job could be submitted to node type {name}: {failure.text}"
                yield problem(NAME, text, failure.hint, path)
        elif canary.outcome is Outcome.REPORTED:
            yield _reported(canary, path)
        elif canary.outcome is Outcome.WAITED:
            yield _waited(facts, node, canary)
        elif canary.outcome is Outcome.UNFINISHED:
            text = f"job {canary.job} on {_where(canary)} did not end, and was cancelled"
            yield problem(NAME, text, _look(canary), path)
        elif canary.outcome is Outcome.FAILED:
            yield problem(NAME, _end(canary), _look(canary), path)
        elif canary.outcome in _TOLD_ELSEWHERE:
            where = _TOLD_ELSEWHERE[canary.outcome]
            yield skipped(NAME, f"the job of node type {name} ended early; see {where}")


def _reported(canary: Canary, path: str) -> Finding:
    status = canary.status
    if status and status.state.ended and status.state not in (JobState.COMPLETED, JobState.LOST):
        return problem(NAME, _end(canary), _look(canary), path)
    return ok(NAME, f"a job of node type {canary.node_type} ran on {_where(canary)}")


def _waited(facts: Facts, node: NodeType, canary: Canary) -> Finding:
    """Return a problem if nodes are free, or all are down; a full queue is only worth a warning."""
    status, path = canary.status, f"node_types.{node.name}"
    reason = status.reason if status and status.reason else "the scheduler gives no reason"
    text = f"job {canary.job} of node type {node.name} did not start within {canary.waited:.0f} s"
    nodes = facts.asked(node).nodes_for(node)
    if nodes and all(each.state is NodeState.DOWN for each in nodes):
        why = next((each.reason for each in nodes if each.reason), "")
        text = f"{text}: every node of it is down{f' ({why})' if why else ''}; {reason}"
        return problem(NAME, text, f"bring a node back, or take {path} out of the YAML", path)
    if not nodes or any(_free(each, node) for each in nodes):
        remedy = "what the reason names keeps it from starting; correct it, or the node type"
        return problem(NAME, f"{text}, though nodes are free: {reason}", remedy, path)
    remedy = "every node is in use: try again later, or wait longer with --timeout"
    return warning(NAME, f"{text}: {reason}", remedy, path)


def _free(each: Node, node: NodeType) -> bool:
    """Tell whether a node could take a default job at once."""
    if each.state not in (NodeState.IDLE, NodeState.PARTLY):
        return False
    enough = each.cores - each.cores_used >= node.cores and each.gpus - each.gpus_used >= node.gpus
    return enough and (not each.memory or each.memory - each.memory_used >= node.memory)


def _where(canary: Canary) -> str:
    return canary.node or "an unknown node"


def _end(canary: Canary) -> str:
    status = canary.status
    words = [str(status.state)] if status else []
    if status and status.exit_code:
        words.append(f"exit code {status.exit_code}")
    if status and status.reason and not status.exit_code:
        words.append(status.reason)
    said = next((line for line in reversed(canary.output) if line.strip()), "")
    ending = f"; it said: {said.strip()}" if said else ""
    return (
        f"job {canary.job} of node type {canary.node_type} on {_where(canary)} ended badly "
        f"({', '.join(words)}){ending}"
    )


def _look(canary: Canary) -> str:
    return f"read what it printed: {canary.folder}/output.log, and its script job.sh beside it"
