"""Which jobs of the asked shape could start sooner: on another node type, or for a shorter time.

Pure: what to ask about, and a guess from free nodes where no scheduler can be asked.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.hub.choices import Choices, decide
from pangeo_hpc.schedulers.base import JobRequest, Node, NodeState
from pangeo_hpc.site import NodeType, Person, Site
from pangeo_hpc.units import format_walltime

MOST = 8
# A shorter job fits a gap that the whole one does not.
SHORTER = 4
_SHORTEST = timedelta(minutes=15)


@dataclass(frozen=True)
class Candidate:
    """One job that the site allows."""

    choices: Choices
    request: JobRequest


@dataclass(frozen=True)
class Offer:
    """A candidate and its estimated start; `is_guess` says that no scheduler was asked."""

    choices: Choices
    node_type: str
    walltime: timedelta
    start: datetime
    is_guess: bool = False


def candidates(site: Site, asked: Choices, person: Person) -> list[Candidate]:
    """Return what to ask about: the asked shape on each node type, whole and shorter.

    The asked node type comes first. Cores, memory, GPUs and account stay as they were asked; a node
    type that does not allow them is left out, and options that it has not are dropped.
    """
    named = site.node_type(asked.node_type).name
    names = [named, *(name for name in site.node_types if name != named)]
    try:
        whole = decide(site, asked, person).walltime
    except PangeoHpcError:
        whole = site.node_type(named).walltime
    found: list[Candidate] = []
    for name in names:
        node = site.node_types[name]
        if "notebook" not in node.uses:
            continue
        longest = min(whole, node.max_walltime)
        for walltime in _times(longest):
            choices = _fitted(asked, node, walltime)
            try:
                request = decide(site, choices, person)
            except PangeoHpcError:
                continue
            found.append(Candidate(choices, request))
    return found[:MOST]


def best(offers: Iterable[Offer]) -> list[Offer]:
    """Return offers worth showing: the soonest first, and no shorter one that starts no sooner."""
    chosen: list[Offer] = []
    for offer in sorted(offers, key=lambda each: (each.start, -each.walltime)):
        if not any(
            other.node_type == offer.node_type and other.walltime >= offer.walltime
            for other in chosen
        ):
            chosen.append(offer)
    return chosen


def starts_now(request: JobRequest, nodes: Sequence[Node]) -> bool:
    """Guess from free resources whether enough nodes could take a job at once."""
    return sum(_has_room(node, request) for node in nodes) >= request.nodes


def _has_room(node: Node, request: JobRequest) -> bool:
    if node.state not in (NodeState.IDLE, NodeState.PARTLY):
        return False
    if request.exclusive and node.state is not NodeState.IDLE:
        return False
    return (
        node.cores - node.cores_used >= request.cores
        and node.memory - node.memory_used >= (request.memory or 0)
        and node.gpus - node.gpus_used >= request.gpus
    )


def _times(longest: timedelta) -> list[timedelta]:
    shorter = timedelta(seconds=longest.total_seconds() // SHORTER // 60 * 60)
    return [longest, shorter] if shorter >= _SHORTEST else [longest]


def _fitted(asked: Choices, node: NodeType, walltime: timedelta) -> Choices:
    return replace(
        asked,
        node_type=node.name,
        walltime=format_walltime(walltime),
        options={name: value for name, value in asked.options.items() if name in node.options},
    )
