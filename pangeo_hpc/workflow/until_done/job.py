"""What each attempt of a chain starts with: `python -m pangeo_hpc.workflow.until_done.job`.

It ends with 0 and prints until when the attempt may compute, in seconds of the epoch, or ends with
`OVER` if the chain has come to its end.
"""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from pangeo_hpc import allocation
from pangeo_hpc.errors import Exit, PangeoHpcError
from pangeo_hpc.jobs import Job
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.site import Person, Site, current_person, load_site
from pangeo_hpc.workflow import runs
from pangeo_hpc.workflow.follow import follow
from pangeo_hpc.workflow.until_done.decide import Decision, Limits, Tried, core_hours, decide
from pangeo_hpc.workflow.until_done.record import Chain, begin, end, tried

OVER = 10

_ALIVE = (JobState.STARTING, JobState.RUNNING, JobState.SUSPENDED)


def main() -> int:
    """Decide, note that the attempt begins, and print when it must end."""
    folder, number = runs.current(), int(os.environ[runs.ATTEMPT])
    chain = Chain.read(folder) if folder else None
    if folder is None or chain is None:
        sys.stderr.write("this job belongs to no chain of attempts\n")
        return 2
    inside = allocation.current()
    place = folder.attempt(number)
    before = [job for job in chain.jobs(folder) if int(job.folder.name) < number]
    known = _known(before)
    alive = [job.id for job, s in zip(before, known, strict=True) if s and s.state in _ALIVE]
    if alive:
        # a scheduler that does not keep the order of our jobs
        sys.stderr.write(f"run {folder.name}: job {alive[0]}, which this one follows, still runs\n")
        return int(Exit.SCHEDULER)
    ended = tried(folder, list(zip(before, known, strict=True)), datetime.now(UTC))
    again = (place / runs.BEGUN).exists()
    decision = chain.over or decide(chain.limits, ended)
    if decision.over and not again:
        decision = end(folder, decision)
        sys.stderr.write(f"run {folder.name}: {decision.standing.value}: {decision.why}\n")
        _drop_the_rest(folder, decision)
        return OVER
    if not again:
        begin(place, inside.job_id if inside else None)
        _extend(folder)
    cores = (inside.cores or 1) * len(inside.nodes) if inside else 1
    sys.stdout.write(f"{until(chain.limits, ended, cores, _end(), time.time()):.0f}\n")
    return 0


def until(
    limits: Limits, ended: Sequence[Tried], cores: int, walltime_ends: float, now: float
) -> float:
    """Return when an attempt must end: with its walltime, or when its core-hours are used."""
    if limits.core_hours is None:
        return walltime_ends
    left = max(0.0, limits.core_hours - core_hours(ended))
    return min(walltime_ends, now + left * 3600 / cores)


def _end() -> float:
    told = os.environ.get(allocation.ENDS, "")
    return float(told) if told.isdigit() else time.time() + timedelta(days=365).total_seconds()


def _known(before: Sequence[Job]) -> list[JobStatus | None]:
    """Return what the scheduler knows of earlier attempts; nothing where nodes cannot ask it."""
    told: list[JobStatus | None] = [None for _ in before]
    with suppress(PangeoHpcError, OSError):
        told = list(follow(*_site(), before, patience=1.0))
    return told


def _extend(folder: runs.RunFolder) -> None:
    from pangeo_hpc.workflow.until_done.submit import extend

    # a job that waits already is enough to go on with
    with suppress(PangeoHpcError, OSError):
        extend(*_site(), folder)


def _drop_the_rest(folder: runs.RunFolder, decision: Decision) -> None:
    from pangeo_hpc.workflow.until_done.cancel import cancel
    from pangeo_hpc.workflow.until_done.followers import drop

    # where nodes have no commands, each of the others finds the chain at its end
    with suppress(PangeoHpcError, OSError):
        drop(*_site(), folder, decision)
        # this very job is among them, so nothing comes after it
        cancel(*_site(), folder, all_=False)


def _site() -> tuple[Site, Person]:
    return load_site(), current_person()


if __name__ == "__main__":
    raise SystemExit(main())
