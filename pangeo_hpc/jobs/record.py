"""What is remembered of a submission: one `job.json` beside its script, output and exit status."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pangeo_hpc import files
from pangeo_hpc.schedulers.base import JobState, JobStatus, Scheduler


@dataclass(frozen=True, kw_only=True)
class Job:
    """A submission and the folder that remembers it.

    `id` is None while it is not clear whether the scheduler took the job.
    """

    name: str
    folder: Path
    id: str | None = None
    state: str = "submitting"
    request: Mapping[str, Any] = field(default_factory=dict)
    submitted: str = ""
    final: Mapping[str, Any] | None = None

    @property
    def within(self) -> bool:
        """Tell whether this attempt runs in a job that somebody else submitted, or in none."""
        return self.request.get("node_type") is None

    @property
    def array(self) -> int | None:
        """Return how many elements this array has; None for a single job."""
        return self.request.get("array")

    def elements(self, scheduler: Scheduler) -> list["Job"]:
        """Return the elements of an array as jobs of their own; a single job is its only one."""
        if self.array is None or self.id is None:
            return [self]
        alone = {**self.request, "array": None}
        return [
            replace(self, id=element, folder=self.folder / str(index), request=alone)
            for index, element in enumerate(scheduler.elements(self.id, self.array))
        ]

    @property
    def output(self) -> Path:
        """Return the file that receives what the job prints."""
        return self.folder / "output.log"

    @property
    def exit_file(self) -> Path:
        """Return the file in which the job keeps its exit status."""
        return self.folder / "exit"

    @classmethod
    def read(cls, folder: Path) -> "Job":
        """Return the job that a folder remembers. Raise FileNotFoundError if there is none."""
        kept = files.read_json(folder / "job.json")
        names = ("name", "id", "state", "request", "submitted", "final")
        return cls(folder=folder, **{name: kept[name] for name in names})

    def write(self) -> None:
        """Store what is known, durably."""
        kept = {key: value for key, value in asdict(self).items() if key != "folder"}
        files.write_json(self.folder / "job.json", {"format": 1, **kept})


def keep(status: JobStatus) -> dict[str, Any]:
    """Return a state as JSON-able values: times in ISO form, durations in seconds."""

    def plain(value: object) -> object:
        if isinstance(value, datetime):
            return value.isoformat()
        return value.total_seconds() if isinstance(value, timedelta) else value

    return {key: plain(value) for key, value in asdict(status).items()}


def revive(kept: Mapping[str, Any]) -> JobStatus:
    """Return the state that `keep` made plain."""
    values = dict(kept)
    for key in ("submitted", "started", "ended", "estimated_start"):
        if values[key] is not None:
            values[key] = datetime.fromisoformat(values[key])
    if values["walltime"] is not None:
        values["walltime"] = timedelta(seconds=values["walltime"])
    values["state"] = JobState(values["state"])
    values["nodes"] = tuple(values["nodes"])
    return JobStatus(**values)
