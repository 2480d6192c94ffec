"""Inside a job: which one it is, on which nodes, and how long it has left."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pangeo_hpc.errors import SchedulerError
from pangeo_hpc.run import Runner, converse, run
from pangeo_hpc.schedulers import registry
from pangeo_hpc.schedulers.base import AllocationFacts, SchedulerOptions

# Written at the head of our own job scripts, for schedulers whose jobs are not told their end.
ENDS = "PANGEO_HPC_ENDS"


@dataclass(frozen=True)
class Allocation:
    """The job this process runs in. `cores` and `memory` (bytes) are per node."""

    scheduler: str
    facts: AllocationFacts
    ends: datetime | None = None

    @property
    def job_id(self) -> str:
        """Return the scheduler's id of the job."""
        return self.facts.job_id

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return the hosts, the one where the script runs first."""
        return self.facts.nodes

    @property
    def cores(self) -> int | None:
        """Return the cores on each node, None if the job is not told."""
        return self.facts.cores

    @property
    def memory(self) -> int | None:
        """Return the memory on each node in bytes, None if the job is not told."""
        return self.facts.memory

    def remaining(self, now: datetime | None = None) -> timedelta | None:
        """Return the walltime left, None where nobody tells the job when it ends."""
        if self.ends is None:
            return None
        return self.ends - (now or datetime.now(UTC))


def current(environ: Mapping[str, str] | None = None) -> Allocation | None:
    """Return the job this process runs in, or None outside any job.

    The innermost scheduler wins: a local queue inside a Slurm job is asked first.
    """
    ours = os.environ if environ is None else environ
    for kind in sorted(registry.names(), key=lambda name: name != "local"):
        facts = registry.make(kind, SchedulerOptions()).allocation(ours)
        if facts is not None:
            return Allocation(kind, facts, _ends(ours, facts))
    return None


def known_end(here: Allocation | None, *, runner: Runner = run) -> datetime | None:
    """Return when a job ends; the scheduler is asked if the job's environment does not tell.

    None where nobody can say, as on nodes without the scheduler's commands.
    """
    if here is None:
        return None
    if here.ends is not None:
        return here.ends
    scheduler = registry.make(here.scheduler, SchedulerOptions())
    try:
        return converse(scheduler.ends(here.job_id), runner)
    except SchedulerError:
        return None


def _ends(environ: Mapping[str, str], facts: AllocationFacts) -> datetime | None:
    """Return the earlier of what the scheduler and what our job script says."""
    told = environ.get(ENDS, "")
    ours = datetime.fromtimestamp(int(told), UTC) if told.isdigit() else None
    known = [moment for moment in (facts.ends, ours) if moment is not None]
    return min(known, default=None)
