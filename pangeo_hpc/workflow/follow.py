"""Follow the attempts of runs, whether they are jobs or plain processes."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from pangeo_hpc import jobs, processes
from pangeo_hpc.errors import SchedulerUnreachable
from pangeo_hpc.jobs.record import keep
from pangeo_hpc.run import Runner, run
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.site import Person, Site

# In an attempt's folder: where and why its program failed, in its own words.
REASON = "reason"

NEVER = "DependencyNeverSatisfied"
_IN_VAIN = re.compile(f"^{NEVER}|^its dependency can never be met")


def follow(
    site: Site,
    person: Person,
    found: Sequence[jobs.Job],
    *,
    runner: Runner = run,
    patience: float = 20.0,
) -> list[JobStatus]:
    """Return the state of jobs of any of the site's schedulers, with one question to each.

    A submission that never got its answer is looked up by its name first, for `patience` seconds.
    """
    in_jobs = [i for i, job in enumerate(found) if job.request["scheduler"] is not None]
    told = jobs.statuses(
        site, person, [found[i] for i in in_jobs], runner=runner, patience=patience
    )
    told = [
        _in_vain(site, person, found[i], status, runner)
        for i, status in zip(in_jobs, told, strict=True)
    ]
    answers = dict(zip(in_jobs, told, strict=True))
    return [
        _with_reason(answers[i] if i in answers else _of_process(job), job)
        for i, job in enumerate(found)
    ]


def standing(attempts: Iterable[tuple[jobs.Job, JobStatus]]) -> tuple[jobs.Job, JobStatus]:
    """Return the attempt that stands for its run: the newest that lives, else the last."""
    known = list(attempts)
    return ([pair for pair in known if not pair[1].state.ended] or known)[-1]


def _with_reason(status: JobStatus, job: jobs.Job) -> JobStatus:
    """Add what was written down about an end, which is more than a scheduler knows.

    A program that failed does so, and whoever cancels a job that waits in vain. The schedulers'
    words for such a job are put into words of ours.
    """
    failed = status.state is JobState.FAILED and status.signal is None
    if failed or (status.state is JobState.CANCELLED and status.started is None):
        with suppress(OSError):
            return replace(status, reason=(job.folder / REASON).read_text().strip())
    if _IN_VAIN.search(status.reason):
        told = "what it was to follow did not succeed"
        if status.state.waiting:
            told += ", so it waits for ever: cancel it"
        return replace(status, reason=f"{told} ({status.reason})")
    return status


def _in_vain(
    site: Site, person: Person, job: jobs.Job, status: JobStatus, runner: Runner
) -> JobStatus:
    """Add that a job waited in vain, where its scheduler dropped it and does not say why.

    Slurm 22.05 tells nothing of it until its history knows the job. Whom a person cancelled, that
    one is named, as in ``CANCELLED by 1001``; without a history, those before tell.
    """
    # an end that is remembered was looked at when it was first seen
    unsaid = job.final is None and status.state is JobState.CANCELLED and not status.reason
    before = job.request.get("after")
    if not unsaid or not before or status.started or " by " in status.word:
        return status
    scheduler = jobs.scheduler_named(site, str(job.request["scheduler"]), person)
    try:
        known = jobs.status(scheduler, before, runner=runner).values()
    except SchedulerUnreachable:
        return status
    kept = (JobState.COMPLETED, JobState.LOST)
    if not any(each.state.ended and each.state not in kept for each in known):
        return status
    status = replace(status, reason=NEVER)
    replace(jobs.Job.read(job.folder), final=keep(status)).write()
    return status


def _of_process(job: jobs.Job) -> JobStatus:
    """Return the state of an attempt that ran outside any job: of its process and its exit file."""
    kept = job.request["process"]
    begun = datetime.fromisoformat(job.submitted)
    status = JobStatus(id="", name=job.name, state=JobState.LOST, started=begun)
    if job.exit_file.exists():
        code = int(job.exit_file.read_text())
        ended = datetime.fromtimestamp(job.exit_file.stat().st_mtime, UTC)
        state = JobState.COMPLETED if code == 0 else JobState.FAILED
        return replace(status, state=state, exit_code=code, ended=ended)
    if kept is None:
        return replace(status, reason="it ended before it was written down")
    process = processes.ProcessId(**kept)
    alive = processes.is_alive(process)
    if alive is None:
        reason = f"runs, or ran, on {process.host}, which cannot be asked from here"
        return replace(status, state=JobState.UNKNOWN, nodes=(process.host,), reason=reason)
    if alive:
        return replace(status, state=JobState.RUNNING, nodes=(process.host,))
    return replace(status, reason="its process is gone and left no exit status")
