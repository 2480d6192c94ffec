"""Why a worker job ended, whether another is started in its place, and what to do about it."""

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum

from pangeo_hpc.dask.program import said
from pangeo_hpc.errors import WorkerJobFailed
from pangeo_hpc.jobs import Job
from pangeo_hpc.schedulers.base import JobState, JobStatus

# After so many equal failures no more jobs are started.
MOST = 3
# A job that worked for so long did not fail at its start.
_YOUNG = timedelta(seconds=60)

_BAD_ENVIRONMENT = re.compile(
    r"ModuleNotFoundError|ImportError|No module named|bad interpreter"
    r"|cannot open shared object|python\S*: (No such file|command not found|Permission denied)"
)
_NOT_FOUND = (126, 127)

_ADVICE = {
    JobState.OUT_OF_MEMORY: "ask for more memory per job (memory=...), or a larger node type",
    JobState.TIMEOUT: "ask for a longer walltime (walltime=...)",
    JobState.CANCELLED: "somebody cancelled it: you, an administrator, or a limit of the site",
    JobState.NODE_FAIL: "its node failed; tell the centre if that goes on",
    JobState.PREEMPTED: "a more important job took its place; choose another queue or QOS",
    JobState.LOST: "the batch system forgot it; does it keep a history?",
}
_ENVIRONMENT = "the workers' Python or a package of it does not work on the node"


class Next(Enum):
    """What follows from an end: another job, none in its place, or no more jobs at all."""

    REPLACE = "replace"
    NOT_AGAIN = "not again"
    STOP = "stop"


@dataclass
class Ends:
    """Judges how jobs end, and counts equal failures until one that was started later works."""

    counts: Counter[tuple[object, ...]] = field(default_factory=Counter)

    def works(self) -> None:
        """Forget failures: a job that was submitted after the last of them has its workers."""
        self.counts.clear()

    def judge(self, job: Job, status: JobStatus, *, came: bool) -> tuple[Next, WorkerJobFailed]:
        """Return what follows from an end, and what to say of it; `came` if its workers did."""
        tail = said(job.output)
        bad = not came and (
            status.exit_code in _NOT_FOUND or _BAD_ENVIRONMENT.search(tail) is not None
        )
        error = _error(job, status, tail, _ENVIRONMENT if bad else _ADVICE.get(status.state))
        if bad:
            return Next.STOP, error
        if status.state is JobState.OUT_OF_MEMORY:
            return Next.NOT_AGAIN, error
        if came and (_is_old(status) or went_well(status)):
            return Next.REPLACE, error
        kind = (status.state, status.exit_code, status.signal)
        self.counts[kind] += 1
        if self.counts[kind] < MOST:
            return Next.REPLACE, error
        text = f"{MOST} worker jobs ended in the same way, so no more are started; {error.text}"
        return Next.STOP, WorkerJobFailed(text, hint=error.hint)


def _error(job: Job, status: JobStatus, tail: str, advice: str | None) -> WorkerJobFailed:
    code = f", exit code {status.exit_code}" if status.exit_code is not None else ""
    code = f", signal {status.signal}" if status.signal is not None else code
    reason = f" ({status.reason})" if status.reason else ""
    where = f" on {status.nodes[0]}" if status.nodes else ""
    text = f"worker job {job.id} ({job.name}) ended{where}: {status.state}{code}{reason}"
    output = f"all of its output: {job.output}"
    return WorkerJobFailed(text + tail, hint=f"{advice}; {output}" if advice else output)


def _is_old(status: JobStatus) -> bool:
    if status.started is None or status.ended is None:
        return True
    return status.ended - status.started >= _YOUNG


def went_well(status: JobStatus) -> bool:
    """Tell whether it ended as jobs do that have worked: by itself, at walltime or for another."""
    return status.state in (JobState.COMPLETED, JobState.TIMEOUT, JobState.PREEMPTED)
