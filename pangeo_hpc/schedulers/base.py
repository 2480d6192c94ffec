"""What is common to every batch system: requests, states, and the protocol of a scheduler.

A scheduler is argument lists and parsers. What it asks is a *conversation* (`pangeo_hpc.run`): a
generator that yields commands, is sent their results, and returns the answer. It may ask a second
question depending on the first answer, and it starts nothing itself.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from pangeo_hpc.run import Conversation


class JobState(StrEnum):
    """What a job is doing, in one word for every scheduler.

    UNKNOWN is a word of the scheduler's that we do not know: the job is still taken as there.
    LOST is a job of which neither queue nor history nor its own files know an end.
    """

    PENDING = "pending"
    HELD = "held"
    STARTING = "starting"
    RUNNING = "running"
    SUSPENDED = "suspended"
    ENDING = "ending"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out of memory"
    NODE_FAIL = "node fail"
    PREEMPTED = "preempted"
    LOST = "lost"
    UNKNOWN = "unknown"

    @property
    def ended(self) -> bool:
        """Tell whether the job will never run again."""
        return self in _ENDED

    @property
    def waiting(self) -> bool:
        """Tell whether the job has not begun."""
        return self in (JobState.PENDING, JobState.HELD)


_ENDED = {
    JobState.COMPLETED,
    JobState.FAILED,
    JobState.CANCELLED,
    JobState.TIMEOUT,
    JobState.OUT_OF_MEMORY,
    JobState.NODE_FAIL,
    JobState.PREEMPTED,
    JobState.LOST,
}


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """What a scheduler knows about one job.

    `id` is the full id, with the index for an array element (``123_4``, ``131[3].server``). Times
    are aware and in UTC; `memory_used` is in bytes; `word` is the scheduler's own state;
    `exit_code` is the script's, None while unknown or when a signal ended it.
    """

    id: str
    state: JobState
    word: str = ""
    name: str = ""
    user: str = ""
    queue: str = ""
    reason: str = ""
    nodes: tuple[str, ...] = ()
    exit_code: int | None = None
    signal: int | None = None
    submitted: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    estimated_start: datetime | None = None
    walltime: timedelta | None = None
    memory_used: int | None = None
    cores: int | None = None
    restarts: int = 0


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """One job, fully decided: the same for the hub, for Dask and for the workflow.

    `cores`, `memory` (bytes) and `gpus` are per node. `command` is run as it is, without a shell.
    `directives` are whole lines of the site, already filled in; `setup` are its shell lines.
    `name` already carries the nonce by which the job is found again; `scheduler` is the key of the
    site's scheduler that gets it. `exit_file` is where the job
    keeps its exit status. `array` is how many equal elements to submit, None for a single job.
    The job starts once those of `after` succeeded, those of `after_failure` ended otherwise, and
    those of `after_end` ended in any way; one that therefore can never start is cancelled by the
    scheduler, where it can.
    `output` receives what the job prints; it may hold the scheduler-neutral ``{id}`` and
    ``{index}``, and so may `exit_file`. In an array PANGEO_HPC_INDEX tells each element its index,
    from 0.
    """

    name: str
    command: tuple[str, ...]
    cores: int
    walltime: timedelta
    memory: int | None = None
    nodes: int = 1
    gpus: int = 0
    gpu_type: str | None = None
    node_type: str = ""
    scheduler: str = ""
    queue: str | None = None
    qos: str | None = None
    account: str | None = None
    constraint: str | None = None
    resources: Mapping[str, str] = field(default_factory=dict)
    exclusive: bool = False
    threads_per_core: int = 1
    omit: frozenset[str] = frozenset()
    directives: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: Path | None = None
    output: Path | None = None
    exit_file: Path | None = None
    after: tuple[str, ...] = ()
    after_failure: tuple[str, ...] = ()
    after_end: tuple[str, ...] = ()
    array: int | None = None
    requeue: bool = False
    made_by: str = "pangeo-hpc"


class NodeState(StrEnum):
    """Whether a node can take work."""

    IDLE = "idle"
    BUSY = "busy"
    PARTLY = "partly"
    DOWN = "down"


@dataclass(frozen=True, kw_only=True)
class Node:
    """A compute node as the scheduler reports it. Memory is in bytes.

    `sockets` is 0 where the scheduler does not tell; each has an equal part of the cores.
    """

    name: str
    state: NodeState
    queues: tuple[str, ...] = ()
    features: frozenset[str] = frozenset()
    cores: int = 0
    cores_used: int = 0
    sockets: int = 0
    memory: int = 0
    memory_used: int = 0
    gpus: int = 0
    gpus_used: int = 0
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A queue or partition and its limits; None is no limit, or none told.

    `routes` are the queues that a routing queue hands its jobs to.
    """

    name: str
    enabled: bool = True
    default: bool = False
    max_walltime: timedelta | None = None
    default_walltime: timedelta | None = None
    max_nodes: int | None = None
    max_cores: int | None = None
    max_memory: int | None = None
    users: tuple[str, ...] | None = None
    routes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account a user may charge, with the QOS names that go with it."""

    name: str
    qos: tuple[str, ...] = ()
    default: bool = False


@dataclass(frozen=True, kw_only=True)
class Qos:
    """A QOS, which some sites have instead of queues; no `max_walltime` is no limit."""

    name: str
    max_walltime: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a scheduler shows and keeps; None is not known.

    `private_jobs` tells whether plain users see only their own jobs, `overseer` whether the user
    who was asked about sees everybody's anyway. `history` is None, too, where it is on but does not
    answer. `qos` is None where there are none. The last two are what an administrator does.
    """

    private_jobs: bool | None = None
    overseer: bool | None = None
    history: bool | None = None
    qos: tuple[Qos, ...] | None = None
    to_see_all: str = ""
    to_keep_history: str = ""

    @property
    def sees_all(self) -> bool | None:
        """Tell whether the user sees everybody's jobs."""
        return True if self.private_jobs is False or self.overseer else self.overseer


@dataclass(frozen=True)
class Room:
    """How many elements one array may have, and how many jobs a user may have; None is not told."""

    elements: int | None = None
    jobs: int | None = None


@dataclass(frozen=True)
class Versions:
    """The oldest version that is supported, and the newest that was tested; empty is any.

    `widths` are the digits its makers write at least for each part: (1, 2) for ``22.05.8``.
    """

    oldest: tuple[int, ...] = ()
    tested: tuple[int, ...] = ()
    widths: tuple[int, ...] = ()

    def show(self, version: tuple[int, ...]) -> str:
        """Return a version as its makers write it."""
        widths = (*self.widths, *(1 for _ in version))
        return ".".join(f"{part:0{width}}" for part, width in zip(version, widths, strict=False))


@dataclass(frozen=True, kw_only=True)
class AllocationFacts:
    """What the environment of a running job says about it. Memory is bytes per node.

    `ends` is when the walltime is over, None where the environment does not tell. `nodes` has each
    host once, the one where the script runs first.
    """

    job_id: str
    nodes: tuple[str, ...]
    cores: int | None = None
    memory: int | None = None
    started: datetime | None = None
    ends: datetime | None = None
    restarts: int = 0
    array_index: int | None = None


@dataclass(frozen=True, kw_only=True)
class SchedulerOptions:
    """What a site says about one of its schedulers (`schedulers.NAME` in the YAML).

    `bin` is the folder of its commands, else they are found on PATH. `state` is used by the local
    queue only: the folder that holds it.
    """

    bin: Path | None = None
    cluster: str | None = None
    server: str | None = None
    request: str = "select"
    account_option: str = "-A"
    environment: Mapping[str, str] = field(default_factory=dict)
    state: Path | None = None
    timeout: float = 30.0


class Scheduler(Protocol):
    """A batch system: pure text in and out. One instance per `schedulers` entry of a site.

    Every conversation raises SchedulerUnreachable when the scheduler does not answer and
    CommandMissing when its commands are not there; "no such job" is never an error.
    """

    kind: str
    options: SchedulerOptions
    versions: Versions

    def directives(self, request: JobRequest) -> tuple[str, ...]:
        """Return the header lines of a job script, ``#SBATCH …`` or ``#PBS …`` and all."""
        ...

    def submit(self, script: Path, request: JobRequest) -> Conversation[str]:
        """Submit a script and return the job's full id.

        Raise SubmitRefused, quoting the scheduler, if it said no; SchedulerUnreachable if it gave
        no clear answer, so that the job may or may not exist.
        """
        ...

    def elements(self, job_id: str, count: int) -> tuple[str, ...]:
        """Return the ids of the elements of an array, in the order of their indices from 0."""
        ...

    def room(self, request: JobRequest, user: str) -> Conversation[Room]:
        """Return what limits arrays like this one; what cannot be read is not told."""
        ...

    def status(self, ids: Collection[str]) -> Conversation[dict[str, JobStatus]]:
        """Ask the live queue about any number of jobs in as few calls as possible.

        A job it does not know is absent from the answer. An array's id answers with its elements.
        """
        ...

    def history(self, ids: Collection[str]) -> Conversation[dict[str, JobStatus]]:
        """Ask about jobs that left the queue; absent where history is off or knows nothing."""
        ...

    def ahead(self, waiting: Collection[JobStatus]) -> Conversation[dict[str, int]]:
        """Return how many jobs of the same queue come before each of some that wait, by id.

        One call for all jobs of a queue. Absent where the scheduler does not show it.
        """
        ...

    def ends(self, job_id: str) -> Conversation[datetime | None]:
        """Return when a running job's walltime is over; None if the scheduler does not tell."""
        ...

    def find(self, name: str, user: str) -> Conversation[tuple[str, ...]]:
        """Return the ids of the jobs of that exact name, in the queue or in history."""
        ...

    def named(self, prefix: str, length: int) -> Conversation[dict[str, JobStatus]]:
        """Return all users' jobs in the queue whose name begins so and has so many letters.

        Arrays and jobs that have ended are left out. At least id, user, name and state are told.
        Where job data are private, the answer has only what the asking account may see.
        """
        ...

    def cancel(self, ids: Collection[str]) -> Conversation[dict[str, str]]:
        """Cancel jobs and return what went wrong, by id; one that already ended is no error."""
        ...

    def estimate(self, script: Path, request: JobRequest) -> Conversation[datetime | None]:
        """Return when such a job would start, without submitting it; None if nobody knows."""
        ...

    def nodes(self) -> Conversation[tuple[Node, ...]]:
        """Return every node with its state and what of it is in use."""
        ...

    def queues(self) -> Conversation[tuple[Queue, ...]]:
        """Return every queue with its limits."""
        ...

    def accounts(self, user: str) -> Conversation[tuple[Account, ...]]:
        """Return the accounts a user may charge; empty where the scheduler keeps none."""
        ...

    def version(self) -> Conversation[tuple[int, ...]]:
        """Return the version of the commands, for example ``(22, 5, 8)``."""
        ...

    def settings(self, user: str) -> Conversation[Settings]:
        """Return what a user sees of others' jobs, and whether ended jobs are remembered."""
        ...

    def allocation(self, environ: Mapping[str, str]) -> AllocationFacts | None:
        """Return the job this process runs in, from its environment, or None outside any job."""
        ...

    def step(
        self, command: Sequence[str], facts: AllocationFacts, *, cores: int, memory: int | None
    ) -> tuple[str, ...]:
        """Return the argv that runs a command once on every node of the allocation.

        `cores` and `memory` (bytes) are per node, and given to the step explicitly.
        """
        ...


def destinations(queues: Iterable[Queue], name: str) -> set[str]:
    """Return the queues a routing queue hands its jobs to, through any number of steps.

    A part ``@server`` of a name does not matter.
    """
    routes = {queue.name: queue.routes for queue in queues}
    found: set[str] = set()
    left = [name]
    while left:
        ahead = {route.partition("@")[0] for route in routes.get(left.pop(), ())} - found
        found |= ahead
        left += ahead
    return found


def ends_by_status(scheduler: Scheduler, job_id: str) -> Conversation[datetime | None]:
    """Return when a job's walltime is over, from its start and its walltime in the queue."""
    found = yield from scheduler.status([job_id])
    for status in found.values():
        if status.started is not None and status.walltime is not None:
            return status.started + status.walltime
    return None
