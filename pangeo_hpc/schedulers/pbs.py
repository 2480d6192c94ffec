"""OpenPBS and PBS Professional, as recorded from OpenPBS 23.06.06 (tests/recordings/pbs)."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from pangeo_hpc.errors import SchedulerError, SchedulerUnreachable, UsageError
from pangeo_hpc.run import Command, Conversation
from pangeo_hpc.schedulers import pbs_nodes, pbs_script
from pangeo_hpc.schedulers import pbs_words as words
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
from pangeo_hpc.schedulers.pbs_jobs import MANY, ask_jobs
from pangeo_hpc.schedulers.pbs_text import Record, key_of, parse_number, read_json, read_text

_ID_LINE = re.compile(r"\d+(\[\])?\.[A-Za-z0-9][A-Za-z0-9.-]*")

# One process on each host, whatever mpiprocs the job asked for (pbsdsh starts one for each line
# of the node file). The hosts are the first argument, then the program, then the command. Where
# that ends badly, the node is named at once, and the others go on.
_STEP = """\
hosts=$1 tmrsh=$2 status=0 pids=
shift 2
on_host() {
trap 'kill $there 2>/dev/null' TERM INT HUP
"$tmrsh" "$@" & there=$!
wait $there; code=$?
if kill -0 $there 2>/dev/null; then wait $there; code=$?; fi
[ $code = 0 ] || echo "pangeo-hpc step: $1: ended with exit status $code" >&2
exit $code
}
trap 'kill $pids 2>/dev/null' TERM INT HUP
for host in $hosts; do on_host "$host" "$@" & pids="$pids $!"; done
for pid in $pids; do wait "$pid" || status=$?; done
exit $status
"""


class PBS:
    """A PBS server, asked through its commands.

    `server` of the options names another one than the default: it is told to every command by
    PBS_SERVER, and stands behind the queue in job scripts.
    """

    kind = "pbs"
    # The recordings are of 23.06.06, some of the programs of 22.05.11; older ones down to 19 are
    # believed to answer alike, which nobody has tried.
    versions = Versions(oldest=(19,), tested=(23, 6), widths=(1, 2, 2))

    def __init__(self, options: SchedulerOptions) -> None:
        self.options = options

    def directives(self, request: JobRequest) -> tuple[str, ...]:
        """Return the ``#PBS`` lines. Raise RequestRefused for values that cannot stand there."""
        return pbs_script.directives(request, self.options)

    def submit(self, script: Path, request: JobRequest) -> Conversation[str]:
        """Submit a script and return the job's full id, with its server.

        Raise SubmitRefused if PBS said no, SchedulerUnreachable if it is not clear what it did.
        """
        del request
        command = self._call("qsub", str(script))
        mine = {**command.environment, "TZ": None, "LC_ALL": None}
        result = yield Command(command.argv, timeout=command.timeout, environment=mine)
        lines = [line.strip() for line in result.stdout.splitlines()]
        found = [line for line in lines if _ID_LINE.fullmatch(line)]
        if found:
            return found[-1]
        words.check(result)
        if result.returncode:
            raise words.refused(result)
        hint = "the job is looked up by its name; a -z in the site's `directives` hides the id"
        raise SchedulerUnreachable("qsub ended well, but printed no job id", hint=hint)

    def elements(self, job_id: str, count: int) -> tuple[str, ...]:
        """Return ``131[0].server``, ``131[1].server`` and so on."""
        number, _, server = job_id.partition("[]")
        return tuple(f"{number}[{index}]{server}" for index in range(count))

    def room(self, request: JobRequest, user: str) -> Conversation[Room]:
        """Return the least max_array_size and max_queued of the server and of the queue."""
        servers = yield from self._records("Server", "Server: ", "qstat", "-B", "-f")
        queues: Mapping[str, Record] = {}
        if request.queue:
            asked = ("qstat", "-Q", "-f", request.queue)
            queues = yield from self._records("Queue", "Queue: ", *asked)
        return pbs_nodes.room([*servers.values(), *queues.values()], user)

    def status(self, ids: Collection[str]) -> Conversation[dict[str, JobStatus]]:
        """Ask the live queue; a job it does not know is absent."""
        return ask_jobs(self._call, ids, history=False)

    def history(self, ids: Collection[str]) -> Conversation[dict[str, JobStatus]]:
        """Ask with -x, which prints nothing where the server keeps no history (its default)."""
        return ask_jobs(self._call, ids, history=True)

    def ends(self, job_id: str) -> Conversation[datetime | None]:
        """Return when a running job's walltime is over."""
        return ends_by_status(self, job_id)

    def find(self, name: str, user: str) -> Conversation[tuple[str, ...]]:
        """Return the ids of the jobs of that name, in the queue, else in history.

        A server without history knows nothing of a job that has ended.
        """
        owner = ("-u", user) if user else ()
        for flags in ((), ("-x",)):
            result = yield self._call("qselect", *flags, *owner, "-N", pbs_script.job_name(name))
            words.check(result)
            ids = tuple(line.strip() for line in result.stdout.splitlines() if key_of(line.strip()))
            if ids or words.history_off(result):
                return ids
            if result.returncode:
                raise words.unexpected(result)
        return ()

    def named(self, prefix: str, length: int) -> Conversation[dict[str, JobStatus]]:
        """Return the jobs of such a name: first all ids, then what is known of each.

        qselect finds exact names only. Arrays are left out, which would all be unfolded.
        """
        result = yield self._call("qselect")
        words.check(result)
        if result.returncode:
            raise words.unexpected(result)
        lines = [line.strip() for line in result.stdout.splitlines()]
        ids = [line for line in lines if key_of(line) and "[" not in line]
        known = yield from ask_jobs(self._call, ids, history=False)
        return {
            job_id: status
            for job_id, status in known.items()
            if status.name.startswith(prefix)
            and len(status.name) == length
            and not status.state.ended
        }

    def cancel(self, ids: Collection[str]) -> Conversation[dict[str, str]]:
        """Delete jobs and return what went wrong, by id; one that ended or is unknown is fine."""
        problems = {job_id: "not a job id of PBS" for job_id in ids if not key_of(job_id)}
        known = [job_id for job_id in dict.fromkeys(ids) if key_of(job_id)]
        for start in range(0, len(known), MANY):
            part = known[start : start + MANY]
            result = yield self._call("qdel", *part)
            words.check(result)
            problems |= words.cancel_problems(result, part)
        return problems

    def ahead(self, waiting: Collection[JobStatus]) -> Conversation[dict[str, int]]:
        """Return how many jobs that wait in the same queue were submitted before.

        PBS does not show in which order it looks at them.
        """
        found: dict[str, int] = {}
        for queue in sorted({status.queue for status in waiting if status.queue}):
            result = yield self._call("qselect", "-s", "Q", "-q", queue)
            words.check(result)
            if result.returncode:
                raise words.unexpected(result)
            keys = [key_of(line.strip()) for line in result.stdout.splitlines()]
            numbers = sorted(int(key[0]) for key in keys if key)
            for status in waiting:
                key = key_of(status.id)
                if key and status.queue == queue and int(key[0]) in numbers:
                    found[status.id] = numbers.index(int(key[0]))
        return found

    def estimate(self, script: Path, request: JobRequest) -> Conversation[datetime | None]:
        """Return None: PBS tells a start only of jobs that are queued (`estimated_start`)."""
        del script, request
        yield from ()
        return None

    def nodes(self) -> Conversation[tuple[Node, ...]]:
        """Return every host with its state and what of it is in use."""
        return pbs_nodes.nodes((yield from self._records("nodes", "", "pbsnodes", "-a")))

    def queues(self) -> Conversation[tuple[Queue, ...]]:
        """Return every queue with its limits and, for a routing queue, where it leads."""
        found = yield from self._records("Queue", "Queue: ", "qstat", "-Q", "-f")
        servers = yield from self._records("Server", "Server: ", "qstat", "-B", "-f")
        defaults = [record.get("default_queue", "") for record in servers.values()]
        return pbs_nodes.queues(found, defaults[0] if defaults else "")

    def accounts(self, user: str) -> Conversation[tuple[Account, ...]]:
        """Return nothing: PBS keeps no accounts, sites check them in a hook at submission."""
        del user
        yield from ()
        return ()

    def version(self) -> Conversation[tuple[int, ...]]:
        """Return the version, ``(23, 6, 6)``; empty for a build that calls itself otherwise.

        Raise SchedulerError if this is not PBS: Debian's slurm-wlm-torque installs a qstat too.
        """
        result = yield self._call("qstat", "--version")
        words.check(result)
        match = re.search(r"^pbs_version = (\S+)", result.stdout, re.MULTILINE)
        if match is None or result.returncode:
            program = result.argv[0] if result.argv else "qstat"
            hint = "set `bin` of this scheduler in the site YAML to the folder of PBS's commands"
            raise SchedulerError(f"{program} is not PBS: {words.said(result)}", hint=hint)
        numbers = re.match(r"\d+(\.\d+)*", match[1])
        return tuple(int(part) for part in numbers[0].split(".")) if numbers else ()

    def settings(self, user: str) -> Conversation[Settings]:
        """Return what the server says of query_other_jobs and job_history_enable."""
        servers = yield from self._records("Server", "Server: ", "qstat", "-B", "-f")
        return pbs_nodes.settings(next(iter(servers.values()), {}), user)

    def allocation(self, environ: Mapping[str, str]) -> AllocationFacts | None:
        """Return the job this process runs in. The environment does not tell when it ends.

        The node file is on the first host only; elsewhere the nodes stay unknown.
        """
        job_id = environ.get("PBS_JOBID")
        if not job_id:
            return None
        return AllocationFacts(
            job_id=job_id,
            nodes=_node_file(environ.get("PBS_NODEFILE", "")),
            cores=parse_number(environ.get("NCPUS", "")),
            array_index=parse_number(environ.get("PBS_ARRAY_INDEX", "")),
        )

    def step(
        self, command: Sequence[str], facts: AllocationFacts, *, cores: int, memory: int | None
    ) -> tuple[str, ...]:
        """Return the argv that runs a command once on every node, and ends when all have ended.

        The processes have the environment PBS gives a job, not that of the script, so the command
        must name its program in full. PBS cannot limit cores or memory of a step below the job's.
        """
        del cores, memory
        if not facts.nodes:
            hint = "start it from the job script, which runs on the first node"
            raise UsageError("the nodes of this PBS job are not known here", hint=hint)
        tmrsh = str(self.options.bin / "pbs_tmrsh") if self.options.bin else "pbs_tmrsh"
        return ("/bin/sh", "-c", _STEP, "pbs-step", " ".join(facts.nodes), tmrsh, *command)

    def _call(self, program: str, *arguments: str) -> Command:
        folder = self.options.bin
        environment: dict[str, str | None] = {}
        if self.options.server:
            environment["PBS_SERVER"] = self.options.server
        return Command(
            (str(folder / program) if folder else program, *arguments),
            timeout=self.options.timeout,
            environment=environment | dict(self.options.environment),
        )

    def _records(
        self, section: str, head: str, program: str, *arguments: str
    ) -> Conversation[Mapping[str, Record]]:
        """Ask in JSON, or in text where that cannot be read."""
        result = yield self._call(program, *arguments, "-F", "json")
        words.check(result)
        records = read_json(result.stdout, section)
        if records is None:
            result = yield self._call(program, *arguments)
            words.check(result)
            told = read_text(result.stdout, head)
            if not told.complete:
                raise words.cut_off(result)
            records = dict(told.records)
        if result.returncode and not records:
            raise words.unexpected(result)
        return records


def _node_file(path: str) -> tuple[str, ...]:
    """Return each host of a node file once, in order; it has a line for every MPI rank."""
    try:
        lines = Path(path).read_text().split() if path else []
    except OSError:
        return ()
    return tuple(dict.fromkeys(lines))
