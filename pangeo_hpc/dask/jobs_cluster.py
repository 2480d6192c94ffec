"""Workers as batch jobs: dask-jobqueue's classes, our requests, headers and submissions."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import dask
from distributed.core import Status

from pangeo_hpc import jobs
from pangeo_hpc.dask import undo
from pangeo_hpc.dask.cluster import WorkerCluster
from pangeo_hpc.dask.desk import Desk
from pangeo_hpc.dask.program import said
from pangeo_hpc.dask.servers import Scheduler
from pangeo_hpc.errors import (
    SchedulerError,
    SchedulerUnreachable,
    UsageError,
    WorkerJobFailed,
)
from pangeo_hpc.schedulers.base import JobRequest, JobState, JobStatus
from pangeo_hpc.schedulers.script import render

undo.dask_jobqueue()
from dask_jobqueue.core import Job, JobQueueCluster  # noqa: E402

# Seconds for cancelled jobs to leave the queue.
_LEAVE = 60.0

# dask-jobqueue wants a section in Dask's configuration. Ours says nothing: the site YAML does.
_SECTION = "pangeo-hpc"
_NOTHING: dict[str, object] = {
    "name": _SECTION, "cores": None, "memory": None, "processes": None, "python": None,
    "interface": None, "death-timeout": None, "local-directory": None, "extra": None,
    "worker-command": "distributed.cli.dask_worker", "worker-extra-args": [], "job-extra": None,
    "job-extra-directives": [], "env-extra": None, "job-script-prologue": [],
    "header-skip": None, "job-directives-skip": [], "log-directory": None, "shebang": None,
    "shared-temp-directory": None, "scheduler-options": {},
}  # fmt: skip
dask.config.update_defaults({"jobqueue": {_SECTION: _NOTHING}})


class WorkerJob(Job):
    """One batch job of Dask workers."""

    config_name = _SECTION

    def __init__(self, scheduler: str, name: str, *, desk: Desk, **options: Any) -> None:
        super().__init__(scheduler=scheduler, name=name, **options)
        self.desk = desk

    @property
    def request(self) -> JobRequest:
        """Return the request of this job; each call gives its name a new nonce."""
        return self.desk.request(self.scheduler, self.name)

    def job_script(self) -> str:
        """Return the script, whose header is the batch system's for this request."""
        request = self.request
        return render(self.desk.scheduler.directives(request), request)

    async def start(self) -> None:
        """Submit the job. Raise SubmitRefused if it is not taken."""
        try:
            job = await self.desk.aside(partial(self.desk.submit, self.scheduler, self.name))
        except BaseException:
            self.status = Status.failed
            raise
        self.job_id = job.id
        self.status = Status.running

    async def close(self) -> None:
        """Cancel the job, whose workers were lost."""
        if self.job_id and self.status == Status.running:
            await self.desk.aside(partial(self.desk.cancel, [self.job_id]))
        self.status = Status.closed
        self._event_finished.set()


class JobsCluster(WorkerCluster, JobQueueCluster):  # type: ignore[misc]
    """A Dask cluster whose workers are batch jobs of one node type."""

    job_cls = WorkerJob
    look = 5.0

    def __init__(
        self, *, name: str, folder: Path, desk: Desk, host: str, request: JobRequest
    ) -> None:
        self.folder, self.keys, self.desk = folder, desk.command.keys, desk
        shape = desk.command.shape
        self.workers_per_unit, self.threads_per_worker = shape.processes, shape.threads
        security = self.keys.security()
        super().__init__(
            name=name,
            security=security,
            silence_logs="error",
            scheduler_cls=Scheduler,
            scheduler_options={"folder": folder, "host": host, "port": 0, "dashboard": False},
            # what dask-jobqueue itself wants to know about a job
            config_name=_SECTION,
            cores=shape.processes * shape.threads,
            memory=request.memory or 0,
            processes=shape.processes,
            python=str(desk.command.python),
            desk=desk,
        )

    @property
    def jobs(self) -> list[JobStatus]:
        """Return the state of every worker job of this cluster, also of those that ended."""
        return self.desk.status(list(self.desk.taken.values()))

    @property
    def most_units(self) -> int | None:
        """Return how many jobs the site allows at once, None for any number."""
        return self.desk.limit

    def check_scale(self, n: int) -> None:
        """Raise UsageError for a negative number, or more jobs than the node type allows."""
        super().check_scale(n)
        wanted = -(-n // self.workers_per_unit)
        if self.desk.limit is not None and wanted > self.desk.limit:
            text = f"{n} workers are {wanted} jobs, more than the site allows ({self.desk.limit})"
            most = self.desk.limit * self.workers_per_unit
            raise UsageError(
                text, hint=f"ask for {most} workers or less: max_jobs of the node type"
            )

    async def _correct_state_internal(self) -> None:
        self.desk.again()
        await super()._correct_state_internal()

    async def _ended_units(self) -> dict[str, WorkerJobFailed]:
        units = {name: self.desk.taken.get(unit.job_id) for name, unit in self.workers.items()}
        known = {name: job for name, job in units.items() if job is not None}
        try:
            states = await self.desk.aside(partial(self.desk.status, list(known.values())))
        except SchedulerUnreachable:
            return {}  # no news is not an end
        return {
            name: _problem(job, state)
            for (name, job), state in zip(known.items(), states, strict=True)
            if state.state.ended and state.state is not JobState.LOST
        }

    async def _stop(self, units: Sequence[Any]) -> None:
        """Cancel the jobs with one call."""
        ids = [unit.job_id for unit in units if unit.status == Status.running]
        await self.desk.aside(partial(self.desk.cancel, ids))
        for unit in units:
            unit.status = Status.closed

    async def _before_close(self) -> None:
        """Cancel the jobs that wait, with one call, and let the others end by themselves."""
        self.desk.close()
        units = list(self.workers.items())
        try:
            ids = await self.desk.aside(self.desk.find)
            at_work = {u.job_id for name, u in units if self._names(name) & self.observed}
            waiting = [job_id for job_id in ids if job_id not in at_work]
            await self.desk.aside(partial(self.desk.cancel, waiting))
        except SchedulerError:
            pass  # asked again until the queue is empty of them, or said at the end
        for _, unit in units:
            unit.status = Status.closing
        await self._dismiss()

    async def _after_close(self) -> None:
        try:
            await self._until_gone([job.id for job in self.desk.taken.values() if job.id])
        finally:
            self.desk.shut()

    async def _until_gone(self, ids: Sequence[str]) -> None:
        """Wait until the queue has none of these jobs. Raise SchedulerError if some stay."""
        deadline, pause, words = time.monotonic() + _LEAVE, 0.2, ""
        left = list(ids)
        while left:
            try:
                left = await self.desk.aside(partial(self.desk.still_there, left))
                if left and pause > 1:
                    await self.desk.aside(partial(self.desk.cancel, left))
            except SchedulerError as error:
                words = f": {error.text}"
            if left and time.monotonic() > deadline:
                text = f"{len(left)} worker jobs may still be in the queue{words}"
                raise SchedulerError(text, hint=f"cancel them by hand: {' '.join(left)}")
            if left:
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, 5.0)


def _problem(job: jobs.Job, status: JobStatus) -> WorkerJobFailed:
    code = f", exit code {status.exit_code}" if status.exit_code is not None else ""
    reason = f" ({status.reason})" if status.reason else ""
    text = f"worker job {job.id} ({job.name}) ended: {status.state}{code}{reason}"
    return WorkerJobFailed(text + said(job.output), hint=f"all of its output: {job.output}")
