"""Workers on the nodes that a job has: one step of the batch system runs them on all."""

import asyncio
import re
from pathlib import Path
from typing import Any, NoReturn

from distributed.core import Status

from pangeo_hpc import files
from pangeo_hpc.allocation import Allocation
from pangeo_hpc.dask.command import WorkerCommand
from pangeo_hpc.dask.guard import guarded
from pangeo_hpc.dask.local_cluster import ProgramCluster, scheduler_spec
from pangeo_hpc.dask.program import Launch, Program, said
from pangeo_hpc.errors import PangeoHpcError, UsageError, WorkerJobFailed
from pangeo_hpc.schedulers.base import Scheduler

# Seconds between looks at what the step says of its nodes.
_LOOK = 1.0

# What srun says of a node whose part of the step has ended (22.05), and what our step for PBS does.
_NODE_ENDED = re.compile(r"^(?:srun: error|pangeo-hpc step): (\S+: .+)$", re.MULTILINE)


class AllocationCluster(ProgramCluster):
    """Client and scheduler in this process, workers on every node of its job, the first too.

    `cores` and `memory` (bytes) are what the step gets on each node.
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
        self._step_log = _StepLog(folder / "step.log")
        security = command.keys.security()

        def prepare(address: str, unit: str) -> Launch:
            self._step_log = _StepLog(folder / f"{unit}.log")
            script = folder / "worker.sh"
            files.write_atomic(script, command.script(address), mode=0o700)
            argv = scheduler.step(
                ("/bin/bash", str(script)), allocation.facts, cores=cores, memory=memory
            )
            return Launch(guarded(argv), self._step_log.path)

        super().__init__(
            scheduler=scheduler_spec(folder, host, security),
            worker={"cls": Program, "options": {"prepare": prepare}},
            security=security,
            silence_logs="error",
            name=name,
        )

    async def _watch(self) -> None:
        """Tell of nodes whose workers have ended, and give up when the whole step has."""
        while self.gave_up is None and self.status in (Status.created, Status.running):
            await asyncio.sleep(_LOOK)
            # what is not wanted any more may end
            for name, unit in [
                each for each in self.workers.items() if each[0] in self.worker_spec
            ]:
                for line in self._step_log.nodes_ended():
                    self.warn(f"workers ended on node {line}; all they said: {self._step_log.path}")
                problem = unit.problem()
                if problem is not None:
                    self.workers.pop(name, None)
                    self.worker_spec.pop(name, None)
                    await unit.close()
                    self.give_up(problem)

    async def _problem(self, wanted: int) -> PangeoHpcError | None:
        """Return why so many workers will never be there: the step or a node's part of it ended."""
        problem = self.gave_up or await super()._problem(wanted)
        lines = self._step_log.nodes_ended()
        if problem is None and lines:
            text = f"Dask workers ended on node {'; '.join(lines)}{said(self._step_log.path)}"
            problem = WorkerJobFailed(text, hint=f"all they said: {self._step_log.path}")
        return problem

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


class _StepLog:
    """What a step says of its nodes, read on from where the last look ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at, self._begun = 0, ""
        self._ended: dict[str, None] = {}

    def nodes_ended(self) -> list[str]:
        """Return what was said so far of each node whose part of the step has ended."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._at)
                news = file.read()
        except OSError:
            news = b""
        self._at += len(news)
        *lines, self._begun = (self._begun + news.decode(errors="replace")).split("\n")
        self._ended |= dict.fromkeys(_NODE_ENDED.findall("\n".join(lines)))
        return list(self._ended)
