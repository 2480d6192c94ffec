"""What a chain remembers: each submission, written down before it is made.

A chain's folder is ``<user_state>/chains/<site>/<name>``. Below `batches/` each submission has a
folder of its own: one run, or several as an array. Whatever ends us in between, the next look
finds out what the scheduler took, and nothing is submitted twice.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pangeo_hpc import files, jobs
from pangeo_hpc.errors import SubmitUnclear
from pangeo_hpc.run import Runner, run
from pangeo_hpc.site import Person, Site
from pangeo_hpc.workflow import runs


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run of a batch: its attempt, and digests of what it computes and asks for."""

    run: str
    attempt: int
    work: str
    request: str


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One submission of a step, `settled` once its runs know their jobs, or it came to naught.

    `array` tells whether its runs are elements of one job, which then is remembered beside this;
    `upstream` are the attempts that its runs follow, by the names of their runs.
    """

    folder: Path
    step: str
    entries: tuple[Entry, ...]
    upstream: dict[str, int]
    array: bool
    settled: bool = False
    void: bool = False

    @property
    def job_folder(self) -> Path:
        """Return the folder of an array's job."""
        return self.folder / "job"

    def write(self) -> None:
        """Store the batch, durably."""
        kept = {key: value for key, value in asdict(self).items() if key != "folder"}
        files.write_json(self.folder / "batch.json", {"format": 1, **kept})

    @classmethod
    def read(cls, folder: Path) -> "Batch":
        """Return the batch of a folder. Raise FileNotFoundError if it was never written."""
        kept: dict[str, Any] = files.read_json(folder / "batch.json")
        return cls(
            folder=folder,
            step=kept["step"],
            entries=tuple(Entry(**each) for each in kept["entries"]),
            upstream=kept["upstream"],
            array=kept["array"],
            settled=kept["settled"],
            void=kept["void"],
        )


@dataclass(frozen=True)
class ChainFolder:
    """The folder of one chain."""

    path: Path

    @classmethod
    def of(cls, site: Site, person: Person, name: str) -> "ChainFolder":
        """Return the folder of a user's chain on a site; it may not be there yet."""
        return cls(site.user_state_path(person) / "chains" / site.name / name)

    def batches(self) -> list[Batch]:
        """Return every submission that was written down, the first one first."""
        found = sorted((self.path / "batches").glob("[0-9]*"))
        return [Batch.read(path) for path in found if (path / "batch.json").exists()]

    def new_batch(self, step: str) -> Path:
        """Make the folder of the next submission."""
        root = files.make_directory(self.path / "batches", mode=0o700)
        number = len(list(root.glob("[0-9]*"))) + 1
        place = root / f"{number:04}-{step}"
        place.mkdir(mode=0o700)
        return place

    def newest(self) -> dict[str, tuple[Entry, Batch]]:
        """Return the last submission of each run, by the run's name."""
        found: dict[str, tuple[Entry, Batch]] = {}
        for batch in self.batches():
            if not batch.void:
                found |= {entry.run: (entry, batch) for entry in batch.entries}
        return found


def settle(site: Site, person: Person, batch: Batch, *, runner: Runner = run) -> Batch:
    """Find out what became of a submission, and let each of its runs know its job.

    Raise SubmitUnclear while the scheduler does not say whether it took the job.
    """
    if batch.settled:
        return batch
    attempts = attempts_of(site, person, batch)
    place = batch.job_folder if batch.array else attempts[0]
    try:
        job = jobs.Job.read(place)
    except FileNotFoundError:
        # we were ended before anything was handed over
        return _settled(batch, void=True)
    scheduler = jobs.scheduler_named(site, str(job.request["scheduler"]), person)
    job = jobs.recover(scheduler, job, user=person.user, runner=runner)
    if job.state == "submitting":
        text = f"it is not clear whether {job.name} was submitted"
        raise SubmitUnclear(text, hint="do the same again once the scheduler answers")
    taken = job.id is not None or job.state == "ended"
    if batch.array and taken:
        _tell_runs(job, scheduler.elements(job.id, len(attempts)) if job.id else (), attempts)
    return _settled(batch, void=not taken)


def attempts_of(site: Site, person: Person, batch: Batch) -> list[Path]:
    """Return the folders of the attempts of a batch, in the order of its entries."""
    home = runs.home(site, person)
    return [runs.RunFolder(home / e.run).attempt(e.attempt) for e in batch.entries]


def _tell_runs(job: jobs.Job, ids: Sequence[str], attempts: Sequence[Path]) -> None:
    """Write down for each run which element of an array it is."""
    alone = {**job.request, "array": None}
    for index, place in enumerate(attempts):
        if not (place / "job.json").exists():
            element = ids[index] if ids else None
            replace(job, id=element, folder=place, request=alone).write()


def _settled(batch: Batch, *, void: bool) -> Batch:
    done = replace(batch, settled=True, void=void)
    done.write()
    return done
