"""Submit runs of a chain: one as a job, several of a step as an array."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pangeo_hpc import envs, files, jobs
from pangeo_hpc.errors import SchedulerError
from pangeo_hpc.run import Runner, converse, run
from pangeo_hpc.schedulers.base import JobRequest, Room
from pangeo_hpc.site import Person, Site
from pangeo_hpc.workflow import element, launch, origin, runs
from pangeo_hpc.workflow.chains.plan import Decision, Wish
from pangeo_hpc.workflow.chains.steps import Step, Work
from pangeo_hpc.workflow.chains.store import Batch, ChainFolder, Entry, settle
from pangeo_hpc.workflow.plain import digest_of_json
from pangeo_hpc.workflow.provenance import record as provenance
from pangeo_hpc.workflow.provenance.repository import Repositories
from pangeo_hpc.workflow.until_done.decide import Limits
from pangeo_hpc.workflow.until_done.followed import After
from pangeo_hpc.workflow.until_done.followers import note
from pangeo_hpc.workflow.until_done.submit import begin_chain

# Elements of one array where a scheduler does not tell its limit; PBS and Slurm allow more.
_SAFE = 500
_ASKED = ("node_type", "nodes", "cores", "memory", "gpus", "walltime", "queue", "account")


@dataclass(frozen=True)
class Submitter:
    """Submits the runs of one chain, and writes each submission down before."""

    site: Site
    person: Person
    folder: ChainFolder
    runner: Runner = run
    git: Repositories = field(default_factory=Repositories)

    def wish(self, step: Step, work: Work, after: Sequence[str]) -> Wish:
        """Return what a run is to compute, as digests of the program and of the request."""
        environment = envs.resolve(self.site, step.environment, self.person)
        program = {
            "code": origin.digest_of_code(launch.check(work.program)),
            "path": str(work.program.path),
            "arguments": work.program.arguments,
            "environment": [environment.name, str(environment.python), environment.setup],
        }
        request = launch.request_for(self.site, self.person, work.program, step.ask)
        asked = {name: str(getattr(request, name)) for name in _ASKED}
        asked["directives"] = "\n".join(request.directives)
        if step.limits is not None:
            asked["until done"] = str(step.limits)
        return Wish(work.run, digest_of_json(program), digest_of_json(asked), tuple(after))

    def submit(
        self,
        step: Step,
        works: Sequence[Work],
        decisions: Mapping[str, Decision],
        wishes: Mapping[str, Wish],
        upstream: Mapping[str, int],
        after: After,
    ) -> Iterator[Batch]:
        """Submit runs of one step, in as few jobs as the scheduler allows; yield each batch.

        `upstream` are the attempts they follow and `after` is what their jobs wait for.
        """
        if step.limits is not None:
            for work in works:
                decision, wish = decisions[work.run], wishes[work.run]
                yield self._until_done(step, step.limits, work, decision, wish, upstream, after)
            return
        most = self._most(step, works[0]) if len(works) > 1 else 1
        for begin in range(0, len(works), most):
            part = works[begin : begin + most]
            folders = [self._open(work, decisions[work.run]) for work in part]
            claimed = [folder.new_attempt() for folder in folders]
            for work, folder, (_, place) in zip(part, folders, claimed, strict=True):
                provenance.note_submission(
                    folder.path,
                    place,
                    launch.check(work.program),
                    step.ask,
                    environment=step.environment,
                    directory=Path.cwd(),
                    git=self.git,
                )
            entries = tuple(
                Entry(
                    run=work.run,
                    attempt=number,
                    work=wishes[work.run].work,
                    request=wishes[work.run].request,
                )
                for work, (number, _) in zip(part, claimed, strict=True)
            )
            batch = Batch(
                folder=self.folder.new_batch(step.name),
                step=step.name,
                entries=entries,
                upstream=dict(upstream),
                array=len(part) > 1,
            )
            batch.write()
            requests = [
                launch.request_for(
                    self.site,
                    self.person,
                    work.program,
                    step.ask,
                    after=after,
                    folder=folder,
                    attempt=entry.attempt,
                    force=decisions[work.run].afresh,
                )
                for work, folder, entry in zip(part, folders, entries, strict=True)
            ]
            for _, place in claimed:
                note(after, place)
            if batch.array:
                places = [place for _, place in claimed]
                self._as_array(step, batch, requests, places, after)
            else:
                self._hand_over(requests[0], claimed[0][1])
            yield settle(self.site, self.person, batch, runner=self.runner)

    def _until_done(
        self,
        step: Step,
        limits: Limits,
        work: Work,
        decision: Decision,
        wish: Wish,
        upstream: Mapping[str, int],
        after: After,
    ) -> Batch:
        """Submit the attempts of one run, of which the first stands for all of them."""
        folder = self._open(work, decision)
        number, place = folder.new_attempt()
        entry = Entry(run=work.run, attempt=number, work=wish.work, request=wish.request)
        batch = Batch(
            folder=self.folder.new_batch(step.name),
            step=step.name,
            entries=(entry,),
            upstream=dict(upstream),
            array=False,
        )
        batch.write()
        with jobs.alone(folder.path, f"run {folder.name}", "pangeo-hpc runs list shows it"):
            begin_chain(
                self.site,
                self.person,
                folder,
                work.program,
                step.ask,
                limits,
                after=after,
                force=decision.afresh,
                claimed=(number, place),
                git=self.git,
                runner=self.runner,
            )
        return settle(self.site, self.person, batch, runner=self.runner)

    def _open(self, work: Work, decision: Decision) -> runs.RunFolder:
        """Return a run's folder; the name is given to a program that changed, or to the first."""
        never = not runs.RunFolder(runs.home(self.site, self.person) / work.run).jobs()
        return runs.open_run(
            self.site,
            self.person,
            work.run,
            script=launch.check(work.program),
            arguments=work.program.arguments,
            force=decision.afresh or never,
        )

    def _as_array(
        self,
        step: Step,
        batch: Batch,
        requests: Sequence[JobRequest],
        places: Sequence[Path],
        after: After,
    ) -> None:
        """Submit runs as one array whose elements print into, and end in, their own attempts."""
        environment = envs.resolve(self.site, step.environment, self.person)
        table = batch.folder / "elements.json"
        element.write(
            table, [{"command": r.command, "variables": dict(r.environment)} for r in requests]
        )
        files.make_directory(batch.job_folder, mode=0o700)
        for index, place in enumerate(places):
            (batch.job_folder / str(index)).symlink_to(place)
        request = jobs.plan(
            self.site,
            step.ask,
            name=f"{self.folder.path.name}.{step.name}",
            command=(str(environment.python), "-m", "pangeo_hpc.workflow.element", str(table)),
            person=self.person,
            setup=environment.setup,
            environment=environment.variables,
            working_directory=Path.cwd(),
            folder=batch.job_folder,
            after=after.succeeded,
            array=len(requests),
        )
        look = after.look(environment.python, batch.job_folder)
        request = replace(request, after_end=after.ended, setup=(*request.setup, *look))
        self._hand_over(request, batch.job_folder)

    def _hand_over(self, request: JobRequest, place: Path) -> None:
        scheduler = jobs.scheduler_named(self.site, request.scheduler, self.person)
        jobs.submit(scheduler, request, place, user=self.person.user, runner=self.runner)

    def _most(self, step: Step, work: Work) -> int:
        """Return how many runs go into one array."""
        request = launch.request_for(self.site, self.person, work.program, step.ask)
        scheduler = jobs.scheduler_named(self.site, request.scheduler, self.person)
        try:
            room = converse(scheduler.room(request, self.person.user), self.runner)
        except SchedulerError:
            room = Room()
        return min([n for n in (room.elements, room.jobs) if n], default=_SAFE)
