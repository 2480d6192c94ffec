"""As the user: what would be submitted, and when it would start. Nothing is submitted.

`sbatch --test-only` looks at the user's own accounts and limits, so only the user can ask it.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pangeo_hpc import jobs
from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.hub import choices as room
from pangeo_hpc.hub.soonest import candidates
from pangeo_hpc.run import Command, Result, converse, run
from pangeo_hpc.schedulers.base import JobRequest
from pangeo_hpc.schedulers.script import render
from pangeo_hpc.site import Person, Site

# Stands where the path of the file with the server's secrets will be.
PLACEHOLDER = Path("<private file>")
# Seconds after which no further estimate is asked for.
PATIENCE = 40.0
_SAID = 300


@dataclass(frozen=True)
class Estimate:
    """When a job would start; `said` is what the scheduler says instead."""

    start: datetime | None
    said: str = ""

    def plain(self) -> dict[str, Any]:
        """Return JSON-able values; the start in seconds since 1970."""
        return {"start": self.start.timestamp() if self.start else None, "said": self.said}


def preview(site: Site, person: Person, request: JobRequest) -> dict[str, Any]:
    """Return the job's script and its estimated start."""
    scheduler = jobs.scheduler_named(site, request.scheduler, person)
    text = render(scheduler.directives(request), request)
    return {
        "script": text,
        "scheduler": request.scheduler,
        **estimate(site, person, request).plain(),
    }


def estimate(site: Site, person: Person, request: JobRequest) -> Estimate:
    """Ask the scheduler when a job would start."""
    scheduler = jobs.scheduler_named(site, request.scheduler, person)
    last: list[Result] = []

    def listen(command: Command) -> Result:
        last[:] = [run(command)]
        return last[0]

    with tempfile.TemporaryDirectory(prefix="pangeo-hpc-") as folder:
        script = Path(folder) / "job.sh"
        script.write_text(render(scheduler.directives(request), request))
        try:
            start = converse(scheduler.estimate(script, request), listen)
        except PangeoHpcError as error:
            return Estimate(None, error.text[:_SAID])
    refused = start is None and last and last[0].returncode != 0
    return Estimate(start, last[0].words[:_SAID] if refused else "")


def soonest(
    site: Site,
    person: Person,
    asked: room.Choices,
    clock: Callable[[], float] = time.monotonic,
) -> list[dict[str, Any]]:
    """Return the estimated starts of what else could be asked, one question after the other.

    A shorter job is not asked about where the whole one starts at once.
    """
    begun, found = clock(), []
    at_once: set[str] = set()
    for candidate in candidates(site, asked, person):
        request = candidate.request
        if request.node_type in at_once or clock() - begun > PATIENCE:
            continue
        told = estimate(site, person, request)
        if told.start is None:
            continue
        if (told.start - datetime.now(UTC)).total_seconds() < 60:
            at_once.add(request.node_type)
        found.append({"choices": candidate.choices.plain(), **told.plain()})
    return found
