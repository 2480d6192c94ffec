"""The nodes on which worker jobs can run, and over how many of their sockets a job is spread."""

import math
from collections.abc import Iterable

from pangeo_hpc.jobs.outlook import fits
from pangeo_hpc.schedulers.base import JobRequest, Node

# Fewer cores than this are within one socket of a node that a job shares with others.
_SMALL = 4


def may_span(request: JobRequest) -> bool:
    """Tell whether a job is so large that it matters how its node is built."""
    return request.cores > 1 and (request.exclusive or request.cores >= _SMALL)


def candidates(request: JobRequest, nodes: Iterable[Node]) -> tuple[Node, ...]:
    """Return the nodes on which a job can run, as far as the batch system tells."""
    return tuple(
        node
        for node in nodes
        if (request.queue is None or not node.queues or request.queue in node.queues)
        and (request.constraint is None or fits(request.constraint, node.features))
        and (not node.cores or node.cores >= request.cores)
    )


def sockets_of(request: JobRequest, nodes: Iterable[Node]) -> int:
    """Return over how many sockets a job is spread, 1 where nobody tells.

    A job that takes a whole node has all of its sockets, others have the fewest that give them
    their cores. Where nodes differ it is the most, so that no process spans two on any of them.
    """
    if not may_span(request):
        return 1
    return max((_spread(request, node) for node in candidates(request, nodes)), default=1)


def _spread(request: JobRequest, node: Node) -> int:
    if not node.sockets or not node.cores:
        return 1
    if request.exclusive:
        return node.sockets
    return math.ceil(request.cores * node.sockets / node.cores)
