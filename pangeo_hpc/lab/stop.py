"""End a lab: its job goes, then all that is remembered of it."""

from pangeo_hpc import jobs
from pangeo_hpc.errors import SchedulerError
from pangeo_hpc.lab.folder import LabFolder, Start
from pangeo_hpc.run import Runner, run
from pangeo_hpc.schedulers.base import JobStatus
from pangeo_hpc.site import Person, Site

# Schedulers give a job some seconds to end by itself before they kill it.
_PATIENCE = 120.0


def stop(
    site: Site,
    person: Person,
    folder: LabFolder,
    start: Start,
    *,
    patience: float = _PATIENCE,
    runner: Runner = run,
) -> tuple[JobStatus, bool]:
    """Cancel a lab's job, wait until it is gone, and forget the lab.

    Return its last state and whether there was something to cancel. Raise SchedulerError if the job
    is not cancelled, or still there after `patience` seconds; then the lab is remembered.
    """
    with jobs.alone(folder.path, f"lab {folder.name}", "try again in a moment"):
        status = jobs.statuses(site, person, [start.job], runner=runner)[0]
        job, there = start.job, not status.state.ended
        if there:
            if job.id is None:
                text = f"it is not clear yet whether lab {folder.name} was submitted"
                raise SchedulerError(text, hint="try again once the scheduler answers")
            scheduler = jobs.scheduler_named(site, str(job.request["scheduler"]), person)
            for words in jobs.cancel(scheduler, [job.id], runner=runner).values():
                raise SchedulerError(f"job {job.id} was not cancelled: {words}")
            status = jobs.wait(
                lambda: jobs.statuses(site, person, [job], runner=runner)[0],
                longest=2.0,
                timeout=patience,
            )
            if not status.state.ended:
                text = f"job {job.id} was cancelled but is still there: {status.state}"
                raise SchedulerError(text, hint="look again: pangeo-hpc lab list")
        start.forget_secrets()
        folder.remove()
    return status, there
