"""The local queue, spoken to as if it were sbatch: argument lists and parsers.

The program behind it is `pangeo_hpc.localqueue`; it is called like any other batch system's.
"""

import re
import shlex
import socket
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pangeo_hpc.errors import Problem, RequestRefused, SubmitRefused
from pangeo_hpc.run import Command, Conversation
from pangeo_hpc.schedulers.base import (
    Account,
    AllocationFacts,
    JobRequest,
    JobStatus,
    Node,
    Queue,
    Room,
    SchedulerOptions,
    Settings,
    Versions,
    ends_by_status,
)
from pangeo_hpc.schedulers.local_answers import (
    QUEUE,
    entries,
    moment,
    node_of,
    parsed,
    statuses,
    unclear,
)
from pangeo_hpc.units import format_walltime, whole_mib

T = TypeVar("T")

_HERE = Path(__file__).resolve().parents[2]
_ID = re.compile(r"[0-9]{1,15}(_[0-9]{1,15})?")
_LONGEST_ARRAY = 10_000
# What the program ends with when it understood the job and will not have it.
_REFUSALS = (2, 4, 5)


def program(python: str) -> tuple[str, ...]:
    """Return the command that runs the queue's program with a Python of ours.

    With -P, so that a file of the current directory is never taken for a module.
    """
    return python, "-P", "-m", "pangeo_hpc.localqueue"


def package_environment() -> dict[str, str]:
    """Return the variables by which the program finds this package; none if it is installed."""
    if _HERE.name in ("site-packages", "dist-packages"):
        return {}
    return {"PYTHONPATH": str(_HERE)}


class Local:
    """The queue of this user on this machine. It has one node and one queue, and no accounts."""

    kind = "local"
    versions = Versions()

    def __init__(self, options: SchedulerOptions) -> None:
        self.options = options

    def directives(self, request: JobRequest) -> tuple[str, ...]:
        """Return the ``#LOCAL`` lines of a job script.

        Raise RequestRefused for values that would not stay on their line.
        """
        wanted = {
            "--name": request.name,
            "--cores": _unless("cores", request, request.cores),
            "--memory": _unless("memory", request, _mib(request.memory)),
            "--walltime": _unless("walltime", request, format_walltime(request.walltime)),
            "--queue": _unless("queue", request, request.queue),
            "--nodes": request.nodes if request.nodes > 1 else None,
            "--gpus": request.gpus or None,
            "--output": request.output,
            "--after": ",".join(request.after) or None,
            "--after-failure": ",".join(request.after_failure) or None,
            "--after-end": ",".join(request.after_end) or None,
            "--array": request.array,
        }
        lines = [f"{option}={value}" for option, value in wanted.items() if value is not None]
        lines += ["--exclusive"] if request.exclusive else []
        lines += ["--requeue"] if request.requeue else []
        whole = [f"#LOCAL {shlex.quote(line)}" for line in lines]
        whole += [f"#LOCAL {line.removeprefix('#LOCAL ')}" for line in request.directives]
        problems = [
            Problem("", f"{line!r} is not one plain line", "leave out line breaks")
            for line in whole
            if not line.isprintable()
        ]
        if problems:
            raise RequestRefused(problems)
        return tuple(whole)

    def submit(self, script: Path, request: JobRequest) -> Conversation[str]:
        """Submit a script and return its id; all that is asked stands in its header."""
        result = yield self._command("submit", str(script))
        lines = [line.strip() for line in result.stdout.splitlines()]
        found = [line for line in lines if _ID.fullmatch(line)]
        if found and result.returncode == 0:
            return found[-1]
        if result.returncode in _REFUSALS:
            text = f"the local queue refused {request.name}: {result.words}"
            raise SubmitRefused(text, hint="ask for what this machine has: `pangeo-hpc nodes`")
        raise unclear("submit", result)

    def elements(self, job_id: str, count: int) -> tuple[str, ...]:
        """Return ``12_0``, ``12_1`` and so on."""
        return tuple(f"{job_id}_{index}" for index in range(count))

    def room(self, request: JobRequest, user: str) -> Conversation[Room]:
        """Return how many elements its program takes in one array."""
        del request, user
        yield from ()
        return Room(elements=_LONGEST_ARRAY)

    def status(self, ids: Collection[str]) -> Conversation[dict[str, JobStatus]]:
        """Ask about any number of jobs; the queue remembers ended ones for some days."""
        known = _ours(ids)
        if not known:
            return {}
        answer = yield from self._ask("status", *known)
        return statuses(answer)

    def history(self, ids: Collection[str]) -> Conversation[dict[str, JobStatus]]:
        """Ask about jobs that have ended; the queue and its history are one."""
        known = yield from self.status(ids)
        return {job_id: status for job_id, status in known.items() if status.state.ended}

    def ahead(self, waiting: Collection[JobStatus]) -> Conversation[dict[str, int]]:
        """Return nothing: all jobs of this queue are the user's own."""
        del waiting
        yield from ()
        return {}

    def ends(self, job_id: str) -> Conversation[datetime | None]:
        """Return when a running job's walltime is over."""
        return ends_by_status(self, job_id)

    def find(self, name: str, user: str) -> Conversation[tuple[str, ...]]:
        """Return the ids of the jobs of that exact name."""
        answer = yield from self._ask("status", f"--name={name}")
        found = [
            job_id.partition("_")[0]
            for job_id, status in statuses(answer).items()
            if status.name == name and status.user in (user, "")
        ]
        return tuple(dict.fromkeys(found))

    def named(self, prefix: str, length: int) -> Conversation[dict[str, JobStatus]]:
        """Return the jobs of such a name; other users have queues of their own."""
        answer = yield from self._ask("status")
        return {
            job_id: status
            for job_id, status in statuses(answer).items()
            if status.name.startswith(prefix)
            and len(status.name) == length
            and not status.state.ended
        }

    def cancel(self, ids: Collection[str]) -> Conversation[dict[str, str]]:
        """Cancel jobs; one that has ended, or that nobody knows, is no error."""
        known = _ours(ids)
        problems = dict.fromkeys(set(ids) - set(known), "not a job id of the local queue")
        if known:
            yield from self._ask("cancel", *known)
        return problems

    def estimate(self, script: Path, request: JobRequest) -> Conversation[datetime | None]:
        """Return when such a job would start, by the walltimes of those before it."""
        del request
        result = yield self._command("estimate", str(script))
        if result.returncode in _REFUSALS:
            return None
        return moment(parsed("estimate", result).get("start"))

    def nodes(self) -> Conversation[tuple[Node, ...]]:
        """Return this machine."""
        answer = yield from self._ask("nodes")
        return tuple(node_of(entry) for entry in entries(answer, "nodes"))

    def queues(self) -> Conversation[tuple[Queue, ...]]:
        """Return the one queue; its limits are the machine's."""
        nodes = yield from self.nodes()
        return tuple(
            Queue(
                name=QUEUE,
                default=True,
                max_nodes=1,
                max_cores=node.cores,
                max_memory=node.memory,
            )
            for node in nodes[:1]
        )

    def accounts(self, user: str) -> Conversation[tuple[Account, ...]]:
        """Return nothing: nobody is charged."""
        del user
        yield from ()
        return ()

    def version(self) -> Conversation[tuple[int, ...]]:
        """Return the version of the program."""
        result = yield self._command("--version", state=False)
        words = result.stdout.split()
        if result.returncode != 0 or not words:
            raise unclear("--version", result)
        return tuple(int(part) for part in words[-1].split(".")[:3] if part.isdigit())

    def settings(self, user: str) -> Conversation[Settings]:
        """Return that there is one user, and that ended jobs are remembered."""
        del user
        yield from ()
        return Settings(private_jobs=False, overseer=True, history=True)

    def allocation(self, environ: Mapping[str, str]) -> AllocationFacts | None:
        """Return the job this process runs in, or None."""
        job_id = environ.get("PANGEO_LOCALQUEUE_JOB")
        if not job_id:
            return None
        told = {
            name: environ.get(f"PANGEO_LOCALQUEUE_{name}", "")
            for name in ("CORES", "MEMORY", "STARTED", "ENDS", "RESTARTS", "INDEX", "NODE")
        }
        numbers = {name: int(text) for name, text in told.items() if text.isdigit()}
        return AllocationFacts(
            job_id=job_id,
            nodes=(told["NODE"] or socket.gethostname(),),
            cores=numbers.get("CORES"),
            memory=numbers.get("MEMORY"),
            started=moment(numbers.get("STARTED")),
            ends=moment(numbers.get("ENDS")),
            restarts=numbers.get("RESTARTS", 0),
            array_index=numbers.get("INDEX"),
        )

    def step(
        self, command: Sequence[str], facts: AllocationFacts, *, cores: int, memory: int | None
    ) -> tuple[str, ...]:
        """Return the command itself: there is one node, and the job is on it."""
        del facts, cores, memory
        return tuple(command)

    def _ask(self, verb: str, *arguments: str) -> Conversation[dict[str, Any]]:
        result = yield self._command(verb, *arguments)
        return parsed(verb, result)

    def _command(self, verb: str, *arguments: str, state: bool = True) -> Command:
        where: Iterable[str] = ()
        if state and self.options.state is not None:
            where = (f"--state={self.options.state}",)
        return Command(
            argv=(*program(sys.executable), verb, *where, *arguments),
            timeout=self.options.timeout,
            environment={**package_environment(), **self.options.environment},
        )


def _ours(ids: Collection[str]) -> list[str]:
    """Return what can be an id of this queue, each once; nothing else reaches a command line."""
    return [job_id for job_id in dict.fromkeys(ids) if _ID.fullmatch(job_id)]


def _unless(what: str, request: JobRequest, value: T | None) -> T | None:
    """Return a value, or None where the site omits it."""
    return None if what in request.omit else value


def _mib(memory: int | None) -> str | None:
    return None if memory is None else f"{max(whole_mib(memory), 1)}M"
