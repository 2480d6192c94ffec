"""Workers on the nodes that a job has: one step of the batch system runs them on all."""

from pathlib import Path
from typing import Any, NoReturn

from pangeo_hpc import files
from pangeo_hpc.allocation import Allocation
from pangeo_hpc.dask.command import WorkerCommand
from pangeo_hpc.dask.local_cluster import ProgramCluster, scheduler_spec
from pangeo_hpc.dask.program import Launch, Program
from pangeo_hpc.errors import UsageError
from pangeo_hpc.schedulers.base import Scheduler


class AllocationCluster(ProgramCluster):
    """Client and scheduler in this process, workers on every node of its job, the first too.

    `cores` and `memory` (bytes) are what the workers get on each node.
    """

    may_scale = False

    def __init__(
        self,
        *,
        name: str,
        folder: Path,
        command: WorkerCommand,
        host: str,
        allocation: Allocation,
        scheduler: Scheduler,
        cores: int,
        memory: int | None,
    ) -> None:
        self.folder, self.keys, self.allocation = folder, command.keys, allocation
        self.workers_per_unit = len(allocation.nodes) * command.shape.processes
        self.threads_per_worker = command.shape.threads
        self.what = f"on the {len(allocation.nodes)} nodes of job {allocation.job_id}"
        self.cores_per_unit = cores * len(allocation.nodes)
        security = command.keys.security()

        def prepare(address: str, unit: str) -> Launch:
            script = folder / "worker.sh"
            files.write_atomic(script, command.script(address), mode=0o700)
            argv = scheduler.step(
                ("/bin/bash", str(script)), allocation.facts, cores=cores, memory=memory
            )
            return Launch(argv, folder / f"{unit}.log")

        super().__init__(
            scheduler=scheduler_spec(folder, host, security),
            worker={"cls": Program, "options": {"prepare": prepare}},
            security=security,
            silence_logs="error",
            name=name,
        )

    def check_scale(self, n: int) -> None:
        """Raise UsageError for anything but the workers that fill the job."""
        super().check_scale(n)
        if n not in (0, self.workers_per_unit):
            text = f"job {self.allocation.job_id} holds {self.workers_per_unit} workers, not {n}"
            raise UsageError(text, hint="for a changing number of workers: where='jobs'")

    def adapt(self, *_: Any, **__: Any) -> NoReturn:
        """Raise UsageError: the nodes are ours until the job ends, whatever there is to do."""
        text = f"the workers of job {self.allocation.job_id} fill its nodes and do not adapt"
        raise UsageError(text, hint="for a changing number of workers: where='jobs'")

    def _names(self, unit: str) -> set[str]:  # noqa: ARG002 - of the base class
        """Return every worker that is there: all of them are of the one unit."""
        return set(self.observed)

    def unit_of(self, worker: str) -> str:  # noqa: ARG002 - of the base class
        """Return the one unit that there is at a time: the step in this job."""
        return f"job {self.allocation.job_id}"
