"""See how the runs of a chain stand, and take their jobs back."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pangeo_hpc import jobs
from pangeo_hpc.errors import SchedulerError
from pangeo_hpc.run import Runner, run
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.site import Person, Site
from pangeo_hpc.workflow import runs
from pangeo_hpc.workflow.after import after_chain
from pangeo_hpc.workflow.chains.plan import Seen
from pangeo_hpc.workflow.chains.store import Batch, ChainFolder, settle
from pangeo_hpc.workflow.follow import follow, standing
from pangeo_hpc.workflow.until_done.decide import Decision, Standing
from pangeo_hpc.workflow.until_done.follow import View, as_one, look, view_of
from pangeo_hpc.workflow.until_done.follow import settle as settle_chain
from pangeo_hpc.workflow.until_done.followed import NOTHING, After
from pangeo_hpc.workflow.until_done.followers import drop
from pangeo_hpc.workflow.until_done.record import end, newest
from pangeo_hpc.workflow.until_done.submit import extend


@dataclass(frozen=True)
class Look:
    """Asks the schedulers about the runs of one chain.

    `views` are those that go on until they are done, as they stood when they were last asked about.
    """

    site: Site
    person: Person
    folder: ChainFolder
    runner: Runner = run
    views: dict[str, View] = field(default_factory=dict)

    def settle(self) -> None:
        """Find out what became of submissions whose end nobody saw."""
        for batch in self.folder.batches():
            settle(self.site, self.person, batch, runner=self.runner)

    def standing(self, names: Iterable[str]) -> dict[str, tuple[jobs.Job, JobStatus]]:
        """Return the attempt that stands for each run that was submitted, and the run's state."""
        folders = {name: self._run(name) for name in names}
        chains = {name: chain for name, each in folders.items() if (chain := newest(each))}
        flat = [
            (name, job)
            for name, folder in folders.items()
            for job in (chains[name].jobs(folder) if name in chains else folder.jobs())
        ]
        told = follow(
            self.site, self.person, [job for _, job in flat], runner=self.runner, patience=3.0
        )
        pairs: dict[str, list[tuple[jobs.Job, JobStatus]]] = {}
        for (name, job), status in zip(flat, told, strict=True):
            # a submission that the scheduler did not take is no attempt
            now = jobs.Job.read(job.folder)
            if now.state not in ("refused", "not taken"):
                pairs.setdefault(name, []).append((now, status))
        views = {n: view_of(folders[n], chains[n], pairs[n]) for n in chains if n in pairs}
        self.views.update(views)
        return {
            name: (views[name].job, as_one(views[name])) if name in views else standing(found)
            for name, found in pairs.items()
        }

    def see_on(self) -> None:
        """See to runs that go on until they are done: note their ends, submit what is missing.

        What was last asked is what they are judged by.
        """
        for name, view in self.views.items():
            lacks = len(view.chain.numbers) < view.chain.limits.attempts
            news = view.decision.over and view.status.state is not JobState.LOST
            if view.chain.over is None and (lacks or news):
                settle_chain(self.site, self.person, self._run(name), view, runner=self.runner)

    def seen(self, names: Iterable[str]) -> dict[str, Seen]:
        """Return what is known of runs, as far as they were submitted."""
        entries = self.folder.newest()
        found = {}
        for name, (job, status) in self.standing(names).items():
            entry, batch = entries.get(name, (None, None))
            found[name] = Seen(
                attempt=_number(job),
                state=status.state,
                work=entry.work if entry else "",
                request=entry.request if entry else "",
                upstream=batch.upstream if batch else {},
            )
        return found

    def before(self, names: Sequence[str]) -> tuple[dict[str, int], After]:
        """Return the attempts of runs to follow, and what is still to wait for.

        An array is named as a whole, unless an element failed or is no longer what is followed.
        Raise RequestRefused if further jobs of a run that goes on until done are not there yet.
        """
        home = runs.home(self.site, self.person)
        entries = self.folder.newest()
        found = self.standing(names)
        attempts = {name: _number(job) for name, (job, _) in found.items()}
        after = NOTHING
        for name, (job, status) in found.items():
            if status.state is JobState.COMPLETED:
                continue
            batch = entries[name][1] if name in entries else None
            if newest(self._run(name)) is not None:
                after += self._until_done(name, str(job.request["scheduler"]))
            elif batch is not None and batch.array and _stands_whole(batch, attempts, home):
                after += _succeeds(jobs.Job.read(batch.job_folder))
            else:
                after += _succeeds(job)
        return attempts, after

    def _until_done(self, name: str, scheduler: str) -> After:
        folder, view = self._run(name), self.views.get(name)
        if view is None or len(view.chain.numbers) < view.chain.limits.attempts:
            with suppress(SchedulerError):
                extend(self.site, self.person, folder, runner=self.runner)
            view = look(self.site, self.person, folder, runner=self.runner)
        return after_chain(folder, view, scheduler) if view else NOTHING

    def _run(self, name: str) -> runs.RunFolder:
        return runs.RunFolder(runs.home(self.site, self.person) / name)

    def cancel(self, alive: Iterable[jobs.Job]) -> None:
        """Cancel jobs, with one call to each scheduler. Raise SchedulerError if one stays.

        A run that goes on until it is done ends with it, and all its jobs.
        """
        by_key: dict[str, list[str]] = {}
        for job in (one for each in alive for one in self._all_of(each)):
            if job.id:
                by_key.setdefault(str(job.request["scheduler"]), []).append(job.id)
        told: dict[str, str] = {}
        for key, ids in by_key.items():
            scheduler = jobs.scheduler_named(self.site, key, self.person)
            told |= jobs.cancel(scheduler, ids, runner=self.runner)
        if told:
            words = "; ".join(f"job {job_id}: {why}" for job_id, why in told.items())
            raise SchedulerError(f"not everything was cancelled: {words}")

    def _all_of(self, job: jobs.Job) -> list[jobs.Job]:
        """Return the jobs that are to be cancelled with one, whose run is known to end here."""
        folder = _run_of(job)
        chain = newest(folder)
        if chain is None or int(job.folder.name) not in chain.numbers:
            return [job]
        decision = end(folder, Decision(Standing.FAILED, "cancelled with its chain of steps"))
        drop(self.site, self.person, folder, decision, runner=self.runner)
        left = chain.jobs(folder)
        return [each for each in left if each.final is None and not each.exit_file.exists()]


def _number(job: jobs.Job) -> int:
    """Return the attempt that stands for a submission: of several that follow, the first."""
    number, chain = int(job.folder.name), newest(_run_of(job))
    return chain.numbers[0] if chain and number in chain.numbers else number


def _run_of(job: jobs.Job) -> runs.RunFolder:
    return runs.RunFolder(job.folder.parent.parent)


def _succeeds(job: jobs.Job) -> After:
    return After(succeeded=(job.id,)) if job.id else NOTHING


def _stands_whole(batch: Batch, attempts: Mapping[str, int], home: Path) -> bool:
    """Tell whether every element of an array is an attempt that is followed, and may succeed."""
    for entry in batch.entries:
        if attempts.get(entry.run) != entry.attempt:
            return False
        exit_file = runs.RunFolder(home / entry.run).attempt(entry.attempt) / "exit"
        if exit_file.exists() and exit_file.read_text().strip() != "0":
            return False
    return True
