"""Which waiting jobs Slurm considers before another: what squeue shows of priorities."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pangeo_hpc.schedulers.slurm_hosts import expand_ids
from pangeo_hpc.schedulers.slurm_ids import array_of

# squeue cuts every value of -O at its width.
WIDTHS = {"JobArrayID": 1000, "Partition": 200, "PriorityLong": 24, "Reason": 60}
FORMAT = ",".join(f"{name}:{width}|" for name, width in WIDTHS.items())

# Jobs that wait for something else than room are in nobody's way.
_ASIDE = re.compile(r"Dependency|BeginTime|held", re.IGNORECASE)


@dataclass(frozen=True)
class _Waiting:
    """One row: a job, or what waits of an array."""

    ids: tuple[str, ...]
    queues: frozenset[str]
    priority: int
    aside: bool

    @property
    def rank(self) -> tuple[int, int]:
        """Return what Slurm sorts by: the higher priority first, then the older job."""
        return (-self.priority, int(array_of(self.ids[0])))


def ahead(text: str, ids: Collection[str]) -> dict[str, int]:
    """Return how many jobs of the same queue come before each, each element of an array as one.

    A job that is not in the answer is absent, and so is one that waits for something else.
    """
    rows = list(_rows(text))
    mine = {job_id: row for row in rows for job_id in row.ids if job_id in ids and not row.aside}
    return {
        job_id: sum(
            len(other.ids)
            for other in rows
            if other.rank < row.rank and other.queues & row.queues and not other.aside
        )
        for job_id, row in mine.items()
    }


def _rows(text: str) -> Iterator[_Waiting]:
    for line in text.splitlines():
        values = [value.strip() for value in line.split("|")]
        if len(values) < len(WIDTHS) or not re.match(r"\d+(_|$)", values[0]):
            continue
        name, queues, priority, reason = values[: len(WIDTHS)]
        found = expand_ids(name)
        if found and priority.isdecimal():
            yield _Waiting(
                ids=found,
                queues=frozenset(queues.split(",")),
                priority=int(priority),
                aside=int(priority) == 0 or _ASIDE.search(reason) is not None,
            )
