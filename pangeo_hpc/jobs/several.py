"""Jobs of any of a site's schedulers: one question to each, and one submission at a time."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pangeo_hpc import files
from pangeo_hpc.errors import RunBusy
from pangeo_hpc.jobs.follow import status_of
from pangeo_hpc.jobs.plan import scheduler_named
from pangeo_hpc.jobs.record import Job, revive
from pangeo_hpc.jobs.submit import recover
from pangeo_hpc.run import Runner, run
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.site import Person, Site


def statuses(
    site: Site,
    person: Person,
    found: Sequence[Job],
    *,
    runner: Runner = run,
    patience: float = 20.0,
) -> list[JobStatus]:
    """Return the state of each job in turn, with one question to each scheduler.

    A submission that never got its answer is looked up by its name first, for `patience` seconds.
    """
    by_key: dict[str, list[int]] = {}
    for index, job in enumerate(found):
        by_key.setdefault(str(job.request["scheduler"]), []).append(index)
    answers: dict[int, JobStatus] = {}
    for key, places in by_key.items():
        if key not in site.schedulers:
            answers.update({i: _of_no_scheduler(found[i]) for i in places})
            continue
        scheduler = scheduler_named(site, key, person)
        known = [
            recover(scheduler, found[i], user=person.user, runner=runner, patience=patience)
            for i in places
        ]
        told = status_of(scheduler, known, runner=runner)
        answers.update(zip(places, told, strict=True))
    return [answers[index] for index in range(len(found))]


def sparingly(ask: Callable[[], JobStatus], *, longest: float = 15.0) -> Callable[[], JobStatus]:
    """Return a function that asks the scheduler less and less often while nothing changes.

    In between it repeats the last answer, so that files beside the job can be looked at often.
    """
    last: JobStatus | None = None
    asked, pause = 0.0, 1.0

    def look() -> JobStatus:
        nonlocal last, asked, pause
        moment = time.monotonic()
        if last is None or moment - asked >= pause:
            asked, pause = moment, min(pause * 1.5, longest)
            before, last = last, ask()
            if before is None or (before.state, before.nodes) != (last.state, last.nodes):
                pause = 1.0
        return last

    return look


@contextmanager
def alone(place: Path, what: str, hint: str) -> Iterator[None]:
    """Let one submission into a folder go on at a time. Raise RunBusy if another takes too long."""
    try:
        with files.lock(place / ".submit", timeout=60.0):
            yield
    except TimeoutError as error:
        text = f"{what} is just being submitted by another command"
        raise RunBusy(text, hint=hint) from error


def _of_no_scheduler(job: Job) -> JobStatus:
    """Return the state of a job of a scheduler that the site no longer names."""
    if job.final is not None:
        return revive(job.final)
    reason = f"the site has no scheduler {job.request['scheduler']} any more"
    return JobStatus(id=job.id or "", name=job.name, state=JobState.UNKNOWN, reason=reason)
