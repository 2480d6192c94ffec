"""Workers as batch jobs: dask-jobqueue's classes, our requests, headers and submissions."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from distributed.core import Status

from pangeo_hpc.dask.desk import Desk
from pangeo_hpc.dask.follower import follower
from pangeo_hpc.dask.servers import Scheduler
from pangeo_hpc.dask.stand_ins import StandIns
from pangeo_hpc.dask.table import JobsTable, WorkerJobStatus
from pangeo_hpc.dask.worker_job import SECTION, WorkerJob
from pangeo_hpc.errors import SchedulerError, UsageError
from pangeo_hpc.schedulers.base import JobRequest, JobStatus

from dask_jobqueue.core import JobQueueCluster  # isort: skip

# Seconds for cancelled jobs to leave the queue.
_LEAVE = 60.0


class JobsCluster(StandIns, JobQueueCluster):  # type: ignore[misc]
    """A Dask cluster whose workers are batch jobs of one node type."""

    job_cls = WorkerJob

    def __init__(
        self, *, name: str, folder: Path, desk: Desk, host: str, request: JobRequest
    ) -> None:
        self.folder, self.keys, self.desk = folder, desk.command.keys, desk
        shape = desk.command.shape
        self.workers_per_unit = shape.processes
        self.walltime = request.walltime
        security = self.keys.security()
        super().__init__(
            name=name,
            security=security,
            silence_logs="error",
            scheduler_cls=Scheduler,
            scheduler_options={"folder": folder, "host": host, "port": 0, "dashboard": False},
            # what dask-jobqueue itself wants to know about a job
            config_name=SECTION,
            cores=shape.processes * shape.threads,
            memory=request.memory or 0,
            processes=shape.processes,
            python=str(desk.command.python),
            desk=desk,
        )

    @property
    def jobs(self) -> JobsTable:
        """Return the state of every worker job of this cluster, also of those that ended.

        The batch system is asked, unless it was in the last seconds; where it does not answer
        this is what was known last.
        """
        follower.refresh(self.desk)
        ledger = self.desk.ledger
        return JobsTable(
            WorkerJobStatus.of(state, unit, ledger.jobs[unit].output)
            for unit, state in ledger.states().items()
        )

    def states(self) -> dict[str, JobStatus]:
        """Return the last known state of each job by the name of its workers."""
        return self.desk.ledger.states()

    def queue_wait(self) -> float | None:
        """Return the median wait of the last jobs that started, in seconds."""
        return self.desk.ledger.queue_wait()

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

    async def _start_units(self, names: Iterable[str]) -> None:
        """Submit units together, and raise why not all of them were taken."""
        wanted = list(names)
        problem = self.gave_up
        if problem is None:
            ask = partial(self.desk.submit, self.scheduler_address, wanted)
            problem = await self.desk.aside(ask)
        self._adopt(wanted)
        for name in wanted:
            if name not in self.workers:
                self.worker_spec.pop(name, None)
        follower.wake()
        if problem is not None:
            self._wanted = len(self.worker_spec)
            raise problem

    def _adopt(self, units: Iterable[str]) -> None:
        """Take those units that the batch system has taken."""
        for name in units:
            job = self.desk.ledger.jobs.get(name)
            if job is not None and name not in self.workers:
                spec = self.worker_spec.setdefault(name, self.new_spec)
                unit = spec["cls"](self.scheduler_address, name=name, **spec["options"])
                unit.took(job.id)
                self._created.add(unit)
                self.workers[name] = unit

    async def _stop(self, units: Sequence[Any]) -> None:
        """Cancel the jobs with one call."""
        ids = [unit.job_id for unit in units if unit.status == Status.running]
        await self.desk.aside(partial(self.desk.cancel, ids))
        for unit in units:
            unit.gone()

    async def _before_close(self) -> None:
        """Cancel the jobs that wait, with one call, and let the others end by themselves."""
        self.desk.close()
        await self._stop_following()
        try:
            await self.desk.aside(self.desk.find)
            left = self.desk.ledger.open()
            idle = [job.id for name, job in left.items() if not self._names(name) & self.observed]
            waiting = {job_id for job_id in idle if job_id} - self.desk.ledger.cancelled
            await self.desk.aside(partial(self.desk.cancel, waiting))
        except SchedulerError:
            pass  # asked again until the queue is empty of them, or said at the end
        for unit in self.workers.values():
            unit.status = Status.closing
        await self._dismiss()

    async def _after_close(self) -> None:
        try:
            await self._until_gone()
        finally:
            self.desk.shut()

    async def _until_gone(self) -> None:
        """Wait until the queue has none of the jobs. Raise SchedulerError if some stay."""
        deadline, pause, words = time.monotonic() + _LEAVE, 0.2, ""
        while left := [job.id for job in self.desk.ledger.open().values() if job.id]:
            try:
                await self.desk.aside(self.desk.look)
                left = [job.id for job in self.desk.ledger.open().values() if job.id]
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
