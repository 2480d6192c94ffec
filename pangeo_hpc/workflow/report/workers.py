"""What became of the jobs of Dask workers whose script was killed before it could tell."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pangeo_hpc import files, jobs
from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.jobs.record import keep
from pangeo_hpc.run import Runner, run
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.site import Person, Site
from pangeo_hpc.workflow.provenance import record as provenance


def settle(
    site: Site,
    person: Person,
    attempts: Sequence[jobs.Job],
    states: Sequence[JobStatus],
    *,
    runner: Runner = run,
) -> None:
    """Ask how worker jobs of ended attempts ended, and write their core-hours into the records.

    What the scheduler does not tell stays as it was.
    """
    for job, state in zip(attempts, states, strict=True):
        told = provenance.read(job.folder, provenance.CLUSTER)
        open_jobs = _open(told) if told and state.state.ended else {}
        if not told or not open_jobs:
            continue
        with suppress(PangeoHpcError, OSError):
            scheduler = jobs.scheduler_named(site, site.scheduler, person)
            found = jobs.status(scheduler, list(open_jobs), runner=runner)
            if _update(told, open_jobs, found):
                files.write_json(job.folder / provenance.CLUSTER, told, mode=0o600)


def _open(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the units whose job had not ended when they were last noted, by the job's id."""
    units = [unit for unit in told.get("units") or [] if unit.get("job")]
    return {unit["job"]["id"]: unit for unit in units if not JobState(unit["job"]["state"]).ended}


def _update(
    told: dict[str, Any], units: dict[str, dict[str, Any]], found: dict[str, JobStatus]
) -> bool:
    """Put the ends that are known into a record; tell whether there were any."""
    rows = {row["job"]: row for row in told["jobs"]}
    changed = False
    for job_id, unit in units.items():
        status = found.get(job_id)
        if status is None or not status.state.ended or status.state is JobState.LOST:
            continue
        unit["job"], changed = keep(status), True
        unit["ended"] = unit["ended"] or unit["job"]["ended"]
        row = rows.get(job_id)
        if row and status.started and status.ended and status.cores:
            held = (status.ended - status.started).total_seconds()
            row["state"] = str(status.state)
            row["core_hours"]["requested"] = status.cores * held / 3600
    total = sum(row["core_hours"]["requested"] for row in told["jobs"])
    told["total"]["core_hours"]["requested"] = total
    return changed
