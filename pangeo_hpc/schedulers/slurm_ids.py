"""Ids of jobs and of the elements of arrays: ``12`` and ``12_3``."""

import re
from collections.abc import Iterable, Iterator, Mapping

from pangeo_hpc.schedulers.base import JobState, JobStatus

# Arguments of one call stay far below what a system takes.
IDS_PER_CALL = 500


def is_id(text: str) -> bool:
    """Tell whether this can be the id of a job or of an array's element."""
    return re.fullmatch(r"[0-9]+(_[0-9]+)?", text) is not None


def array_of(job_id: str) -> str:
    """Return the id of the array that an element belongs to; a job's own if it is none."""
    return re.split(r"[_+]", job_id)[0]


def chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    """Give the ids in groups, without those that cannot be ours: they must not become options."""
    ours = [job_id for job_id in dict.fromkeys(ids) if is_id(job_id)]
    for start in range(0, len(ours), IDS_PER_CALL):
        yield ours[start : start + IDS_PER_CALL]


def asked_for(known: Mapping[str, JobStatus], ids: Iterable[str]) -> dict[str, JobStatus]:
    """Return the jobs that were asked for, themselves or as elements of their array."""
    asked = set(ids)
    return {
        job_id: job for job_id, job in known.items() if job_id in asked or array_of(job_id) in asked
    }


def with_arrays(known: Iterable[str]) -> set[str]:
    """Return the ids of jobs, and of the arrays they are elements of."""
    return {name for job_id in known for name in (job_id, array_of(job_id))}


def ended(known: Mapping[str, JobStatus]) -> set[str]:
    """Return the jobs, and the arrays, of which nothing is left to run."""
    alive = [job_id for job_id, job in known.items() if not job.state.ended]
    return with_arrays(known) - with_arrays(alive)


def never_began(missing: Iterable[str], recorded: Iterable[str]) -> dict[str, JobStatus]:
    """Return the elements of known arrays of which Slurm keeps no record.

    Each element is in a row of sacct's, except one that was cancelled by itself before it began.
    """
    arrays = {array_of(job_id) for job_id in recorded if "_" in job_id}
    reason = "cancelled before it began"
    return {
        job_id: JobStatus(id=job_id, state=JobState.CANCELLED, reason=reason)
        for job_id in missing
        if "_" in job_id and array_of(job_id) in arrays
    }
