"""See how the runs of a chain stand, and take their jobs back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pangeo_hpc import jobs
from pangeo_hpc.errors import SchedulerError
from pangeo_hpc.run import Runner, run
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.site import Person, Site
from pangeo_hpc.workflow import runs
from pangeo_hpc.workflow.chains.plan import Seen
from pangeo_hpc.workflow.chains.store import Batch, ChainFolder, settle
from pangeo_hpc.workflow.follow import follow, standing


@dataclass(frozen=True)
class Look:
    """Asks the schedulers about the runs of one chain."""

    site: Site
    person: Person
    folder: ChainFolder
    runner: Runner = run

    def settle(self) -> None:
        """Find out what became of submissions whose end nobody saw."""
        for batch in self.folder.batches():
            settle(self.site, self.person, batch, runner=self.runner)

    def standing(self, names: Iterable[str]) -> dict[str, tuple[jobs.Job, JobStatus]]:
        """Return the attempt that stands for each run that was submitted, and its state."""
        home = runs.home(self.site, self.person)
        flat = [(name, job) for name in names for job in runs.RunFolder(home / name).jobs()]
        told = follow(
            self.site, self.person, [job for _, job in flat], runner=self.runner, patience=3.0
        )
        pairs: dict[str, list[tuple[jobs.Job, JobStatus]]] = {}
        for (name, job), status in zip(flat, told, strict=True):
            # a submission that the scheduler did not take is no attempt
            now = jobs.Job.read(job.folder)
            if now.state not in ("refused", "not taken"):
                pairs.setdefault(name, []).append((now, status))
        return {name: standing(found) for name, found in pairs.items()}

    def seen(self, names: Iterable[str]) -> dict[str, Seen]:
        """Return what is known of runs, as far as they were submitted."""
        entries = self.folder.newest()
        found = {}
        for name, (job, status) in self.standing(names).items():
            entry, batch = entries.get(name, (None, None))
            found[name] = Seen(
                attempt=int(job.folder.name),
                state=status.state,
                work=entry.work if entry else "",
                request=entry.request if entry else "",
                upstream=batch.upstream if batch else {},
            )
        return found

    def before(self, names: Sequence[str]) -> tuple[dict[str, int], list[str]]:
        """Return the attempts of runs to follow, and the ids of the jobs still to wait for.

        An array is named as a whole, unless an element failed or is no longer what is followed.
        """
        home = runs.home(self.site, self.person)
        entries = self.folder.newest()
        found = self.standing(names)
        attempts = {name: int(job.folder.name) for name, (job, _) in found.items()}
        ids: dict[str, None] = {}
        for name, (job, status) in found.items():
            if status.state is JobState.COMPLETED:
                continue
            batch = entries[name][1] if name in entries else None
            if batch is not None and batch.array and _stands_whole(batch, attempts, home):
                ids |= dict.fromkeys(_ids(jobs.Job.read(batch.job_folder)))
            else:
                ids |= dict.fromkeys(_ids(job))
        return attempts, list(ids)

    def cancel(self, alive: Iterable[jobs.Job]) -> None:
        """Cancel jobs, with one call to each scheduler. Raise SchedulerError if one stays."""
        by_key: dict[str, list[str]] = {}
        for job in alive:
            if job.id:
                by_key.setdefault(str(job.request["scheduler"]), []).append(job.id)
        told: dict[str, str] = {}
        for key, ids in by_key.items():
            scheduler = jobs.scheduler_named(self.site, key, self.person)
            told |= jobs.cancel(scheduler, ids, runner=self.runner)
        if told:
            words = "; ".join(f"job {job_id}: {why}" for job_id, why in told.items())
            raise SchedulerError(f"not everything was cancelled: {words}")


def _ids(job: jobs.Job) -> list[str]:
    return [job.id] if job.id else []


def _stands_whole(batch: Batch, attempts: Mapping[str, int], home: Path) -> bool:
    """Tell whether every element of an array is an attempt that is followed, and may succeed."""
    for entry in batch.entries:
        if attempts.get(entry.run) != entry.attempt:
            return False
        exit_file = runs.RunFolder(home / entry.run).attempt(entry.attempt) / "exit"
        if exit_file.exists() and exit_file.read_text().strip() != "0":
            return False
    return True
