"""Follow the attempts of runs, whether they are jobs or plain processes."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from pangeo_hpc import jobs, processes
from pangeo_hpc.jobs.record import revive
from pangeo_hpc.run import Runner, run
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.site import Person, Site


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
    by_key: dict[str | None, list[int]] = {}
    for index, job in enumerate(found):
        by_key.setdefault(job.request["scheduler"], []).append(index)
    answers: dict[int, JobStatus] = {}
    for key, places in by_key.items():
        if key is None:
            answers.update({i: _of_process(found[i]) for i in places})
            continue
        if key not in site.schedulers:
            answers.update({i: _of_no_scheduler(found[i]) for i in places})
            continue
        scheduler = jobs.scheduler_named(site, key, person)
        known = [
            jobs.recover(scheduler, found[i], user=person.user, runner=runner, patience=patience)
            for i in places
        ]
        statuses = jobs.status_of(scheduler, known, runner=runner)
        answers.update(zip(places, statuses, strict=True))
    return [answers[index] for index in range(len(found))]


def _of_no_scheduler(job: jobs.Job) -> JobStatus:
    """Return the state of a job of a scheduler that the site no longer names."""
    if job.final is not None:
        return revive(job.final)
    reason = f"the site has no scheduler {job.request['scheduler']} any more"
    return JobStatus(id=job.id or "", name=job.name, state=JobState.UNKNOWN, reason=reason)


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
