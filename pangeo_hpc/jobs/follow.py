"""Follow and end jobs: many with one question, and no news is never an end."""

import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from pangeo_hpc.errors import SchedulerUnreachable
from pangeo_hpc.jobs.record import Job, keep, revive
from pangeo_hpc.run import Runner, converse, run
from pangeo_hpc.schedulers.base import JobState, JobStatus, Scheduler

# A queue forgets a job a moment before the history knows it.
HISTORY_DELAY = timedelta(seconds=20)

_ELEMENT = re.compile(r"\d+(_\d|\[\d)")
_BY_FORCE = {
    JobState.CANCELLED,
    JobState.TIMEOUT,
    JobState.OUT_OF_MEMORY,
    JobState.NODE_FAIL,
    JobState.PREEMPTED,
}


def status(
    scheduler: Scheduler,
    ids: Collection[str],
    *,
    exit_files: Mapping[str, Path] | None = None,
    runner: Runner = run,
) -> dict[str, JobStatus]:
    """Return what is known of every job: from the queue, then the history, then its own file.

    One query for any number of jobs. A job nobody knows is LOST, never completed. Raise
    SchedulerUnreachable if the queue does not answer: no news is not an end.
    """
    if not ids:
        return {}
    known = converse(scheduler.status(ids), runner)
    elements = set(known)
    settled = [i for i in ids if not _answered(i, elements)]
    settled += [i for i in elements if known[i].state.ended]
    if settled:
        # the history knows more of an ended job: its exit code and the memory it used
        known |= converse(scheduler.history(settled), runner)
    for job_id in ids:
        if not _answered(job_id, known):
            known[job_id] = JobStatus(
                id=job_id,
                state=JobState.LOST,
                reason="neither the queue nor the history knows this job",
            )
    files_of = exit_files or {}
    return {i: _with_own_word(s, files_of.get(i)) for i, s in known.items()}


def status_of(
    scheduler: Scheduler, jobs: Sequence[Job], *, runner: Runner = run
) -> list[JobStatus]:
    """Return the state of each job in turn; an end, once known, is remembered and not asked again.

    Jobs without an id must have gone through `recover` first.
    """
    asked = [job for job in jobs if job.final is None and job.id]
    answers = status(scheduler, [job.id for job in asked if job.id], runner=runner)
    result = []
    for job in jobs:
        if job.final is not None:
            result.append(revive(job.final))
            continue
        answer = answers.get(job.id or "")
        if answer is None:
            answer = _without_id(job)
        else:
            # several attempts may run in one job, one after the other: each has its own file
            answer = _with_own_word(answer, job.exit_file, within=job.within)
        if job.id and answer.state.ended and answer.state is not JobState.LOST:
            replace(job, final=keep(answer)).write()
        result.append(answer)
    return result


def cancel(scheduler: Scheduler, ids: Collection[str], *, runner: Runner = run) -> dict[str, str]:
    """Cancel jobs in one call and return what went wrong, by id."""
    return converse(scheduler.cancel(ids), runner) if ids else {}


def wait(
    ask: Callable[[], JobStatus],
    *,
    on_change: Callable[[JobStatus], object] | None = None,
    enough: Callable[[JobStatus], bool] | None = None,
    longest: float = 15.0,
    timeout: float | None = None,
) -> JobStatus:
    """Ask until a job has ended, less and less often while nothing changes.

    `ask` gives the state, for example ``lambda: status_of(scheduler, [job])[0]``; `on_change` is
    told of each new one. An unreachable scheduler is no news. LOST is believed once the history
    had time to catch up. Return the last state when `timeout` seconds are over, or as soon as
    `enough` says so of it.
    """
    started, pause = time.monotonic(), 0.25
    seen: JobStatus | None = None
    lost_since: float | None = None
    while True:
        current: JobStatus | None = seen
        with suppress(SchedulerUnreachable):
            current = ask()
        moment = time.monotonic()
        if current is not None and current.state is JobState.LOST:
            lost_since = lost_since or moment
            believed = moment - lost_since > HISTORY_DELAY.total_seconds()
        else:
            lost_since, believed = None, current is not None
        if current is not None and believed:
            if seen is None or _face(current) != _face(seen):
                pause, seen = 0.25, current
                if on_change is not None:
                    on_change(current)
            if current.state.ended or (enough is not None and enough(current)):
                return current
        if timeout is not None and moment - started > timeout:
            return seen or JobStatus(id="", state=JobState.UNKNOWN, reason="no answer")
        time.sleep(pause)
        pause = min(pause * 1.5, longest)


def _face(status: JobStatus) -> tuple[object, ...]:
    return status.state, status.reason, status.nodes


def _answered(job_id: str, known: Collection[str]) -> bool:
    """Tell whether an id, or at least one element of an array's, is among the answers."""
    if job_id in known or _ELEMENT.match(job_id):
        return job_id in known
    plain = re.match(r"\d+", job_id)
    stem = re.compile(rf"{plain[0]}(_|\[)") if plain else None
    return stem is not None and any(stem.match(other) for other in known)


def _with_own_word(status: JobStatus, path: Path | None, *, within: bool = False) -> JobStatus:
    """Add what the job itself wrote down about its end.

    An attempt `within` a job of somebody's own has ended when it wrote so, whatever that job does
    then; only where the job was ended by force may the scheduler know better why.
    """
    if path is None or not (within or status.state.ended or status.state is JobState.UNKNOWN):
        return status
    try:
        code = int(path.read_text())
    except (OSError, ValueError):
        return status
    if status.state in _BY_FORCE and (code > 128 or not within):
        return status
    ended = JobState.COMPLETED if code == 0 else JobState.FAILED
    if status.state is JobState.FAILED and not within:
        ended = JobState.FAILED
    reason = "" if status.state is JobState.LOST else status.reason
    return replace(status, state=ended, exit_code=code, signal=None, reason=reason)


def _without_id(job: Job) -> JobStatus:
    """Return the state of a submission that the scheduler gave no id, as far as it is known."""
    if job.state == "ended":
        return _with_own_word(JobStatus(id="", state=JobState.LOST, name=job.name), job.exit_file)
    if job.state == "submitting":
        reason = "not clear yet whether the scheduler took this job"
        return JobStatus(id="", state=JobState.UNKNOWN, name=job.name, reason=reason)
    reason = f"the scheduler {'refused' if job.state == 'refused' else 'did not take'} this job"
    return JobStatus(id="", state=JobState.FAILED, name=job.name, reason=reason)
