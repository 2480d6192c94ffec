"""What was gathered about a site, before anybody judges it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from pangeo_hpc.doctor.hub import HubFacts
from pangeo_hpc.doctor.look import PlaceState
from pangeo_hpc.envs.resolve import BROKEN
from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.jobs.outlook import fits
from pangeo_hpc.schedulers.base import (
    Account,
    JobState,
    JobStatus,
    Node,
    Queue,
    Settings,
    Versions,
    destinations,
)
from pangeo_hpc.site import NodeType, Person, Site


@dataclass(frozen=True)
class Failure:
    """An error of ours as a fact: its words and its hint."""

    text: str
    hint: str | None = None

    @classmethod
    def of(cls, error: PangeoHpcError) -> "Failure":
        """Return an error as a fact."""
        return cls(error.text, error.hint)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a scheduler answered; None is a question that failed or was not asked.

    `hub` are the settings as the hub's service user has them, where the site has a hub.
    """

    key: str
    kind: str
    versions: Versions = field(default_factory=Versions)
    version: tuple[int, ...] | None = None
    queues: tuple[Queue, ...] | None = None
    nodes: tuple[Node, ...] | None = None
    accounts: tuple[Account, ...] | None = None
    settings: Settings | None = None
    hub: Settings | None = None
    failures: Mapping[str, Failure] = field(default_factory=dict)

    @property
    def answers(self) -> bool:
        """Tell whether it can be worked with."""
        return self.queues is not None

    def queue_of(self, node: NodeType) -> Queue | None:
        """Return the queue that a node type's jobs are sent to; None if it is not known."""
        sent = None if "queue" in node.omit else node.queue
        for queue in self.queues or ():
            if queue.name == sent or (sent is None and queue.default):
                return queue
        return None

    def ends_of(self, queue: Queue) -> list[Queue]:
        """Return the queues in which jobs of a queue run: itself, or where it leads."""
        names = destinations(self.queues or (), queue.name) or {queue.name}
        return [each for each in self.queues or () if each.name in names and not each.routes]

    def nodes_for(self, node: NodeType) -> list[Node]:
        """Return the nodes on which a node type's jobs can run, whatever their state."""
        queue = self.queue_of(node)
        names = {queue.name, *(each.name for each in self.ends_of(queue))} if queue else set()
        return [
            each
            for each in self.nodes or ()
            if (not names or not each.queues or names & set(each.queues))
            and (node.constraint is None or fits(node.constraint, each.features))
        ]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A user's directory on scratch as it is here; `name` is empty where the site has none."""

    name: str
    path: Path | None = None
    state: PlaceState = PlaceState.REFUSED
    words: str = ""
    hint: str | None = None

    @property
    def key(self) -> str:
        """Return the key of the site YAML."""
        return f"scratch.{self.name}.path" if self.name else "scratch"


@dataclass(frozen=True, kw_only=True)
class Reached:
    """An object store or a catalog, by its key in the site YAML, and what became of a question.

    `entries` are those of a catalog. `credentials` tells that only the user's own are amiss.
    """

    key: str
    entries: int | None = None
    failure: Failure | None = None
    credentials: bool = False


class Outcome(StrEnum):
    """What became of a canary."""

    REFUSED = "refused"
    WAITED = "waited"
    UNFINISHED = "unfinished"
    REPORTED = "reported"
    NO_ENVIRONMENT = "no environment"
    NO_TRACE = "no trace"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Canary:
    """A small job that was sent through a node type, and what it saw on its node.

    `failures` say why it was not submitted. `traced` tells whether its node wrote anything into
    `folder`. `output` are the last lines it printed, `waited` the seconds it was given to start.
    """

    node_type: str
    failures: tuple[Failure, ...] = ()
    job: str | None = None
    cores: int | None = None
    memory: int | None = None
    status: JobStatus | None = None
    traced: bool = False
    output: tuple[str, ...] = ()
    report: Mapping[str, Any] | None = None
    folder: Path | None = None
    waited: float = 0.0

    @property
    def outcome(self) -> Outcome:
        """Return what became of it."""
        if self.failures:
            return Outcome.REFUSED
        if self.report is not None:
            return Outcome.REPORTED
        if self.status is None or self.status.state.waiting:
            return Outcome.WAITED
        if not self.status.state.ended:
            return Outcome.UNFINISHED
        if self.status.exit_code == BROKEN and self.complaint:
            return Outcome.NO_ENVIRONMENT
        if not self.traced and self.status.state in _QUIET_ENDS:
            return Outcome.NO_TRACE
        return Outcome.FAILED

    @property
    def complaint(self) -> str:
        """Return what the check at the head of the job said about its environment."""
        return next((line for line in self.output if "pangeo-hpc: environment" in line), "")

    @property
    def node(self) -> str:
        """Return the name of the node it was on."""
        if self.report is not None:
            return str(self.report.get("host", ""))
        return self.status.nodes[0] if self.status and self.status.nodes else ""


_QUIET_ENDS = (JobState.COMPLETED, JobState.FAILED, JobState.LOST)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that is known; `schedulers` by their key, `canaries` by node type.

    `unsent` says why there are no canaries. `broken` are environments that cannot be found, by
    name; `modules` are versions of the Python that runs this. `hub` is None where
    nobody asked about it.
    """

    site: Site
    person: Person
    schedulers: Mapping[str, Asked] = field(default_factory=dict)
    places: tuple[Place, ...] = ()
    canaries: Mapping[str, Canary] = field(default_factory=dict)
    unsent: str | None = None
    broken: Mapping[str, Failure] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)
    hub: HubFacts | None = None
    data: tuple[Reached, ...] = ()

    def asked(self, node: NodeType) -> Asked:
        """Return what the scheduler of a node type answered."""
        return self.schedulers[self.site.scheduler_of(node)[0]]

    def reports(self) -> Iterator[tuple[NodeType, Canary, Mapping[str, Any]]]:
        """Yield the node types whose canary reported, with what it saw."""
        for name, canary in self.canaries.items():
            if canary.report is not None:
                yield self.site.node_types[name], canary, canary.report

    @property
    def silence(self) -> str | None:
        """Return why nothing is known of any node; None if something is."""
        if any(canary.report is not None for canary in self.canaries.values()):
            return None
        return self.unsent or "no canary came back"
