"""Where a cluster's worker jobs are asked for, followed and cancelled."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pangeo_hpc import files, jobs
from pangeo_hpc.dask.command import WorkerCommand
from pangeo_hpc.errors import PangeoHpcError, SchedulerError, SubmitRefused, SubmitUnclear
from pangeo_hpc.run import Runner, run
from pangeo_hpc.schedulers.base import JobRequest, JobStatus
from pangeo_hpc.schedulers.base import Scheduler as BatchSystem
from pangeo_hpc.site import Person, Site

T = TypeVar("T")

# Programs of the batch system that run at once; a login node has a limit on processes.
_AT_ONCE = 4


@dataclass
class Desk:
    """Where a cluster's jobs are asked for and cancelled, a few at a time.

    `limit` is how many jobs the site allows at once, None for any number.
    """

    site: Site
    person: Person
    ask: jobs.Ask
    name: str
    folder: Path
    command: WorkerCommand
    scheduler: BatchSystem
    limit: int | None = None
    runner: Runner = run
    taken: dict[str, jobs.Job] = field(default_factory=dict)
    unclear: list[Path] = field(default_factory=list)
    _refusal: PangeoHpcError | None = None
    _closing: bool = False
    _hands: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="pangeo-hpc-jobs")
    )

    def request(self, address: str, worker: str, folder: Path | None = None) -> JobRequest:
        """Return one worker job, held to the limits of the site."""
        return jobs.plan(
            self.site,
            self.ask,
            name=self.name,
            command=("/bin/bash", str(self.script(address)), "--name", worker),
            use="dask",
            person=self.person,
            # the job's shell outlives the workers, which are told to end too and clean up then
            setup=(*self.command.setup, "trap : TERM"),
            environment=self.command.environment,
            folder=folder,
        )

    def script(self, address: str) -> Path:
        """Return the shell script that every worker job runs, written when it is first needed."""
        path = self.folder / "worker.sh"
        if not path.exists():
            text = self.command.script(address, in_job_script=True)
            files.write_atomic(path, text, mode=0o700)
        return path

    def close(self) -> None:
        """Submit nothing more."""
        self._closing = True

    def submit(self, address: str, worker: str) -> jobs.Job:
        """Submit one worker job. After a refusal nothing more is asked until `again`."""
        if self._closing:
            raise SchedulerError("the cluster is closing")
        if self._refusal is not None:
            raise self._refusal
        folder = self.folder / "jobs" / worker
        request = self.request(address, worker, folder)
        try:
            job = jobs.submit(
                self.scheduler, request, folder, user=self.person.user, runner=self.runner
            )
        except SubmitRefused as error:
            self._refusal = error
            raise
        except SubmitUnclear:
            self.unclear.append(folder)
            raise
        self.taken[job.id or job.name] = job
        return job

    def find(self) -> list[str]:
        """Look for jobs whose submission had no clear answer; return the ids of all there are."""
        for folder in list(self.unclear):
            job = jobs.recover(
                self.scheduler, jobs.Job.read(folder), user=self.person.user, runner=self.runner
            )
            if job.id:
                self.taken[job.id] = job
        return [job.id for job in self.taken.values() if job.id]

    def again(self) -> None:
        """Forget a refusal: something may have changed since."""
        self._refusal = None

    def cancel(self, ids: Sequence[str]) -> dict[str, str]:
        """Cancel jobs with one call and return what went wrong, by id."""
        return jobs.cancel(self.scheduler, ids, runner=self.runner)

    def status(self, taken: Sequence[jobs.Job]) -> list[JobStatus]:
        """Return the state of jobs, with one question for all."""
        return jobs.status_of(self.scheduler, taken, runner=self.runner)

    def still_there(self, ids: Sequence[str]) -> list[str]:
        """Return those of these jobs that have not ended."""
        mine = [self.taken[job_id] for job_id in ids]
        states = self.status(mine)
        return [i for i, state in zip(ids, states, strict=True) if not state.state.ended]

    async def aside(self, action: Callable[[], T]) -> T:
        """Do something that blocks in one of a few threads."""
        try:
            future = self._hands.submit(action)
        except RuntimeError:  # the interpreter is ending, and takes no new work for threads
            return action()
        return await asyncio.wrap_future(future)

    def shut(self) -> None:
        """Let the threads go."""
        self._hands.shutdown(wait=False)
