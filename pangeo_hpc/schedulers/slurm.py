"""Slurm: every question this package asks of it."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from pangeo_hpc.errors import CommandMissing, SchedulerError, SchedulerUnreachable
from pangeo_hpc.run import Command, Conversation, Result
from pangeo_hpc.schedulers import (
    slurm_inside,
    slurm_named,
    slurm_order,
    slurm_parse,
    slurm_room,
    slurm_script,
    slurm_settings,
    slurm_site,
    slurm_words,
)
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
)
from pangeo_hpc.schedulers.slurm_ids import (
    array_of,
    asked_for,
    chunks,
    ended,
    grouped,
    never_began,
    ungrouped,
    with_arrays,
    with_whole_arrays,
)
from pangeo_hpc.schedulers.slurm_text import is_whole, moment

# How far back a job is looked for by its name.
FOUND_SINCE = "now-7days"
# Times come as seconds since 1970 whatever the zone, array tasks are never cut to "...".
ASKING = {"SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0"}


class Feature(StrEnum):
    """What not every Slurm in use can do."""

    SHARING_STEPS = "srun --overlap: steps that share the job's resources"


FEATURES: Mapping[Feature, tuple[int, ...]] = {
    Feature.SHARING_STEPS: (20, 11),
}
# The recordings are of 22.05; 21.08 has all features of the table and is believed to answer alike.
VERSIONS = Versions(oldest=(21, 8), tested=(22, 5), widths=(1, 2))


def lacking(version: tuple[int, ...]) -> frozenset[Feature]:
    """Return the features that a version of Slurm does not have."""
    return frozenset(feature for feature, since in FEATURES.items() if version < since)


class Slurm:
    """Slurm as a `Scheduler`: argument lists out, plain text in.

    `status` asks squeue once for up to 500 jobs, which knows an ended one for MinJobAge (5 minutes)
    and without the memory it used; `history` asks sacct, and squeue about what sacct does not know
    yet or at all. The names of jobs are never asked for.
    """

    kind = "slurm"
    versions = VERSIONS

    def __init__(self, options: SchedulerOptions) -> None:
        self.options = options

    def directives(self, request: JobRequest) -> tuple[str, ...]:
        """Return the ``#SBATCH`` lines. Raise RequestRefused for values that cannot stand there."""
        return slurm_script.directives(request)

    # -- jobs -------------------------------------------------------------------------------

    def submit(self, script: Path, request: JobRequest) -> Conversation[str]:
        """Submit a script and return its id; an array has one for all its elements.

        `request` is in the script already. sbatch hands its environment on to the job, so our own
        TZ and LC_ALL are taken out of it.
        """
        del request
        environment = {"TZ": None, "LC_ALL": None, **self.options.environment}
        result = yield Command(
            self._argv("sbatch", "--parsable", str(script)),
            timeout=self.options.timeout,
            environment=environment,
        )
        job_id = slurm_words.accepted(result)
        if job_id is not None:
            return job_id
        if not result.returncode or slurm_words.no_answer(result):
            raise slurm_words.unclear(result)
        raise slurm_words.refused(result)

    def elements(self, job_id: str, count: int) -> tuple[str, ...]:
        """Return ``12_0``, ``12_1`` and so on."""
        return tuple(f"{array_of(job_id)}_{index}" for index in range(count))

    def room(self, request: JobRequest, user: str) -> Conversation[Room]:
        """Return MaxArraySize and the least MaxSubmitJobs of the user's association and QOS."""
        result = yield self._ask("scontrol", "show", "config")
        config = slurm_settings.parse_config(_text(result))
        return (yield from slurm_room.ask(self._ask, config, request, user))

    def status(self, ids: Collection[str]) -> Conversation[dict[str, JobStatus]]:
        """Ask squeue about jobs, also those that ended in the last minutes."""
        return (yield from self._queue(ids))

    def history(self, ids: Collection[str]) -> Conversation[dict[str, JobStatus]]:
        """Ask sacct, then squeue about jobs of which sacct does not know the end.

        slurmdbd hears of a job some seconds late, and may be away. Raise SchedulerUnreachable if
        sacct failed and squeue does not know all jobs either.
        """
        recorded: dict[str, JobStatus] = {}
        failure: SchedulerUnreachable | None = None
        for chunk in chunks(ids):
            # Elements that never began are one row, and not found by their own ids.
            whole = ",".join(dict.fromkeys(map(array_of, chunk)))
            try:
                text = yield from self._accounting(f"--jobs={whole}", *_HISTORY)
            except SchedulerUnreachable as error:
                failure = error
            else:
                recorded |= slurm_parse.parse_history(text)
        known = asked_for(recorded, ids)
        unsure = {job_id for chunk in chunks(ids) for job_id in chunk} - ended(known)
        known |= yield from self._queue(sorted(unsure))
        missing = unsure - with_arrays(known)
        if failure and missing:
            raise failure
        return known | never_began(missing, recorded)

    def find(self, name: str, user: str) -> Conversation[tuple[str, ...]]:
        """Return the ids of a user's jobs of that name, from squeue, else from sacct's last week.

        Both compare names without regard to case, so the name is compared again.
        """
        wanted = slurm_script.job_name(name)
        mine = (f"--user={user}", f"--name={wanted}")
        result = yield self._ask("squeue", *_ALL, *mine, "-o", "%F|%j")
        text = _text(result)
        if f"|{wanted}\n" not in text:
            since = (f"--starttime={FOUND_SINCE}", "--allocations", "--format=JobID,JobName")
            text = yield from self._accounting(*mine, *since)
        rows = (line.partition("|") for line in text.splitlines())
        return tuple(dict.fromkeys(array_of(row[0]) for row in rows if row[2] == wanted))

    def named(self, prefix: str, length: int) -> Conversation[dict[str, JobStatus]]:
        """Return the jobs of such a name, from one question about the whole queue."""
        columns = ("-O", slurm_named.columns(length))
        result = yield self._ask("squeue", *_ALL, *columns)
        return slurm_named.parse(_text(result), prefix, length)

    def cancel(self, ids: Collection[str]) -> Conversation[dict[str, str]]:
        """Cancel jobs or elements of arrays, and return what went wrong, by id.

        scancel sends slurmctld a request for each of its words, so elements of an array are one.
        """
        problems: dict[str, str] = {}
        for chunk in chunks(ids):
            result = yield self._ask("scancel", *grouped(chunk))
            if slurm_words.no_answer(result):
                raise slurm_words.unreachable(result)
            told = slurm_words.cancel_problems(result, grouped(chunk))
            problems |= {job_id: told[word] for word in told for job_id in ungrouped(word, chunk)}
        return problems

    def ahead(self, waiting: Collection[JobStatus]) -> Conversation[dict[str, int]]:
        """Return how many jobs have a higher priority in the same partition, or came before.

        Where others' jobs are private (PrivateData=jobs), only those of the asker are counted.
        """
        ids = [job_id for chunk in chunks(status.id for status in waiting) for job_id in chunk]
        if not ids:
            return {}
        queues = sorted({name for status in waiting for name in status.queue.split(",") if name})
        of = (f"--partition={','.join(queues)}",) if queues else ()
        result = yield self._ask("squeue", "-h", "-a", "-t", "PD", *of, "-O", slurm_order.FORMAT)
        return slurm_order.ahead(_text(result), ids)

    def estimate(self, script: Path, request: JobRequest) -> Conversation[datetime | None]:
        """Return when a job would start as the queue is now; None for one that is refused."""
        del request
        result = yield self._ask("sbatch", "--test-only", str(script))
        if slurm_words.no_answer(result):
            raise slurm_words.unreachable(result)
        match = re.search(r"Job \d+ to start at (\d+) ", result.stderr)
        return moment(match[1]) if match else None

    def ends(self, job_id: str) -> Conversation[datetime | None]:
        """Return when the walltime of a running job is over, for Slurms that do not tell the job.

        scontrol is asked, since some sites have no squeue on their nodes.
        """
        result = yield self._ask("scontrol", "show", "job", job_id)
        if slurm_words.no_such_job(result):
            return None
        match = re.search(r"^ +StartTime=\S+ EndTime=(\d+)", _text(result), re.M)
        return moment(match[1]) if match else None

    # -- the cluster ------------------------------------------------------------------------

    def nodes(self) -> Conversation[tuple[Node, ...]]:
        """Return every node with its state and what of it is in use."""
        result = yield self._ask("scontrol", "--all", "--details", "--oneliner", "show", "node")
        return slurm_site.parse_nodes(_text(result))

    def queues(self) -> Conversation[tuple[Queue, ...]]:
        """Return every partition with its limits; `max_cores` and `max_memory` are per node."""
        result = yield self._ask("scontrol", "--all", "--oneliner", "show", "partition")
        return slurm_site.parse_queues(_text(result))

    def accounts(self, user: str) -> Conversation[tuple[Account, ...]]:
        """Return the accounts a user may charge on this cluster, none without slurmdbd."""
        columns = f"format={','.join(slurm_site.ACCOUNT_COLUMNS)}"
        asked = ("--noheader", "--parsable2", "show", "user", user, "withassoc", columns)
        try:
            result = yield self._ask("sacctmgr", *asked, with_cluster=False)
        except CommandMissing:
            return ()
        if slurm_words.storage_off(result):
            return ()
        text = _text(result)
        cluster = self.options.cluster
        if not cluster and len({row["Cluster"] for row in slurm_site.account_rows(text)}) > 1:
            answer = yield self._ask("scontrol", "show", "config")
            cluster = slurm_site.cluster_name(_text(answer))
        return slurm_site.parse_accounts(text, cluster)

    def version(self) -> Conversation[tuple[int, ...]]:
        """Return the version of sbatch. Raise SchedulerError if it is not Slurm's."""
        result = yield self._ask("sbatch", "--version", with_cluster=False)
        match = re.search(r"^slurm\S* (\d+(?:\.\d+)+)", _text(result), re.M)
        if not match:
            hint = "set `bin` of this scheduler in the site YAML to the folder of Slurm's commands"
            raise SchedulerError(f"sbatch: no version in {slurm_words.said(result)!r}", hint=hint)
        return tuple(int(number) for number in match[1].split("."))

    def settings(self, user: str) -> Conversation[Settings]:
        """Return what PrivateData, slurmdbd and its QOS say."""
        result = yield self._ask("scontrol", "show", "config")
        config = slurm_settings.parse_config(_text(result))
        return (yield from slurm_settings.ask(self._ask, config, user))

    # -- inside a job -----------------------------------------------------------------------

    def allocation(self, environ: Mapping[str, str]) -> AllocationFacts | None:
        """Return the job this process runs in, from its environment, or None outside any job."""
        return slurm_inside.allocation(environ)

    def step(
        self, command: Sequence[str], facts: AllocationFacts, *, cores: int, memory: int | None
    ) -> tuple[str, ...]:
        """Return the srun call that runs a command once on every node of the allocation."""
        program = self._argv("srun", with_cluster=False)[0]
        return slurm_inside.step(program, command, facts, cores=cores, memory=memory)

    # -- how --------------------------------------------------------------------------------

    def _queue(self, ids: Collection[str]) -> Conversation[dict[str, JobStatus]]:
        """Ask squeue about jobs in any state.

        Without ``-t all`` it hides some states, such as STAGE_OUT. An id it does not know is an
        error only if it was the only one.
        """
        known: dict[str, JobStatus] = {}
        for chunk in chunks(with_whole_arrays(ids)):
            columns = ("-O", slurm_parse.QUEUE_FORMAT)
            result = yield self._ask("squeue", *_ALL, "-r", "-j", ",".join(chunk), *columns)
            if not slurm_words.no_such_job(result):
                known |= asked_for(slurm_parse.parse_queue(_text(result)), ids)
        return known

    def _accounting(self, *asked: str) -> Conversation[str]:
        """Return sacct's answer, nothing where accounting is off or sacct is not there."""
        try:
            result = yield self._ask("sacct", "--noheader", "--parsable2", *asked)
        except CommandMissing:
            return ""
        return "" if slurm_words.storage_off(result) else _text(result)

    def _ask(self, program: str, *arguments: str, with_cluster: bool = True) -> Command:
        return Command(
            self._argv(program, *arguments, with_cluster=with_cluster),
            timeout=self.options.timeout,
            environment={**self.options.environment, **ASKING},
        )

    def _argv(self, program: str, *arguments: str, with_cluster: bool = True) -> tuple[str, ...]:
        path = str(self.options.bin / program) if self.options.bin else program
        cluster = self.options.cluster if with_cluster else None
        return (path, *((f"--clusters={cluster}",) if cluster else ()), *arguments)


_ALL = ("-h", "-a", "-t", "all")
_HISTORY = ("--noconvert", f"--format={','.join(slurm_parse.HISTORY_COLUMNS)}")


def _text(result: Result) -> str:
    """Return what a question was answered. Raise SchedulerUnreachable if it failed or was cut."""
    slurm_words.check(result)
    if not is_whole(result.stdout):
        raise slurm_words.cut_off(result)
    return result.stdout
