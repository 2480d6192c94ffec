"""Cancel the jobs of a run that is computed until done."""

from pangeo_hpc import jobs
from pangeo_hpc.run import Runner, run
from pangeo_hpc.site import Person, Site
from pangeo_hpc.workflow import runs
from pangeo_hpc.workflow.until_done.record import Chain, is_ahead


def cancel(
    site: Site, person: Person, folder: runs.RunFolder, *, all_: bool, runner: Runner = run
) -> dict[str, str]:
    """Cancel the jobs of a chain that have not begun, or all; return what went wrong, by id."""
    chain = Chain.read(folder)
    found = chain.jobs(folder) if chain else []
    by_key: dict[str, list[str]] = {}
    for job in found:
        if job.id and job.final is None and (all_ or is_ahead(job)) and not job.exit_file.exists():
            by_key.setdefault(str(job.request["scheduler"]), []).append(job.id)
    problems: dict[str, str] = {}
    for key, ids in by_key.items():
        problems |= jobs.cancel(jobs.scheduler_named(site, key, person), ids, runner=runner)
    return problems
