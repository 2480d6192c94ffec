"""Ids of jobs and of the elements of arrays: ``12`` and ``12_3``."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping

from pangeo_hpc.schedulers.base import JobState, JobStatus

# Arguments of one call stay far below what a system takes.
IDS_PER_CALL = 500
# More elements of an array are asked for by the array.
_FEW = 10


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


def with_whole_arrays(ids: Collection[str]) -> list[str]:
    """Return the ids with an array's in place of its elements where these are many."""
    count = Counter(array_of(job_id) for job_id in dict.fromkeys(ids) if is_id(job_id))
    named = (array_of(i) if count[array_of(i)] > _FEW else i for i in ids if is_id(i))
    return list(dict.fromkeys(named))


def grouped(ids: Iterable[str]) -> list[str]:
    """Return the words that name these jobs, elements of an array in one: ``12_[0-3,7]``."""
    words: list[str] = []
    elements: dict[str, set[int]] = {}
    for job_id in ids:
        array, mark, index = job_id.partition("_")
        if mark:
            elements.setdefault(array, set()).add(int(index))
        else:
            words.append(job_id)
    for array, found in elements.items():
        ranges = _ranges(sorted(found))
        words.append(f"{array}_{ranges}" if len(found) == 1 else f"{array}_[{ranges}]")
    return words


def ungrouped(word: str, ids: Collection[str]) -> list[str]:
    """Return those of the ids that a word of `grouped` or of scancel's answer is about."""
    array, mark, rest = word.partition("_")
    if not mark or word in ids:
        return [word]
    return [job_id for job_id in ids if array_of(job_id) == array] if "[" in rest else [word]


def _ranges(indices: list[int]) -> str:
    parts: list[list[int]] = []
    for index in indices:
        if parts and index == parts[-1][1] + 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


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
