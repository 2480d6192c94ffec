"""Workers as programs of this machine, or of the one node that a job has."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

from distributed.core import Status

from pangeo_hpc.dask.adaptive import Adaptive
from pangeo_hpc.dask.cluster import WorkerCluster
from pangeo_hpc.dask.command import WorkerCommand, make_spill
from pangeo_hpc.dask.program import Launch, Program
from pangeo_hpc.dask.servers import Scheduler
from pangeo_hpc.errors import PangeoHpcError, WorkerJobFailed

LOOPBACK = "127.0.0.1"

# Seconds between looks at whether the programs still run.
_LOOK = 1.0
# After so many programs that ended before their worker came, adapting starts no more.
_MOST = 3
# Seconds for programs to end whose workers have been dismissed.
_PATIENCE = 5.0


class ProgramCluster(WorkerCluster):
    """A cluster whose units are programs that we start ourselves."""

    _watcher: "asyncio.Task[None] | None" = None

    async def _start(self) -> None:
        await super()._start()
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        """Look after the programs for as long as the cluster lives."""
        raise NotImplementedError

    async def _before_close(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
        await self._dismiss()
        for unit in self.workers.values():
            unit.patience = _PATIENCE

    async def _ended_units(self) -> dict[str, WorkerJobFailed]:
        problems = {name: unit.problem() for name, unit in self.workers.items()}
        return {name: problem for name, problem in problems.items() if problem is not None}

    def on_their_way(self) -> bool:
        """Tell whether a program runs."""
        return any(unit.returncode is None for unit in self.workers.values())


class LocalCluster(ProgramCluster):
    """Workers on this machine, each a program of its own, reached over its loopback only.

    A program that ends has another in its place where the number adapts, and else at the next
    `scale`. When none is left, what waits for workers ends.
    """

    _over: PangeoHpcError | None = None

    def __init__(self, *, name: str, folder: Path, command: WorkerCommand) -> None:
        self.folder, self.keys = folder, command.keys
        self.threads_per_worker, self.what = command.shape.threads, "programs of this machine"
        self._arrived: set[str] = set()
        self._in_vain = 0
        security = command.keys.security()
        options = {"prepare": partial(_launch, folder, command)}
        super().__init__(
            scheduler=scheduler_spec(folder, LOOPBACK, security),
            worker={"cls": Program, "options": options},
            security=security,
            silence_logs="error",
            name=name,
        )

    def came(self, unit: str) -> None:
        """Note that a program works."""
        self._arrived.add(unit)
        self._in_vain = 0

    async def _watch(self) -> None:
        while self.status in (Status.created, Status.running):
            await asyncio.sleep(_LOOK)
            problems = await self._ended_units()
            # what is not wanted any more may end
            if self.worker_spec and problems.keys() >= self.worker_spec.keys():
                self._none_is_left(problems[next(iter(self.worker_spec))])

    def _none_is_left(self, problem: WorkerJobFailed) -> None:
        adapts = self._adaptive is not None and self._adaptive.periodic_callback is not None
        if self.gave_up is None and not adapts:
            self._over = problem
            self.give_up(problem)

    async def _begin_adapting(self, adaptive: Adaptive) -> None:
        await self._end_adapting()
        await self._forget_ended()
        await super()._begin_adapting(adaptive)

    async def _forget_ended(self) -> None:
        """Drop programs that have ended. Raise why, if adapting would go on with them for ever."""
        problems = await self._ended_units()
        self._in_vain += len(problems.keys() - self._arrived)
        await super()._forget_ended()
        if self._adaptive is None:  # somebody asks for them
            self._in_vain = 0
            if self.gave_up is self._over:
                self.gave_up = self._over = None
        elif self._in_vain >= _MOST and problems:
            raise next(iter(problems.values()))


def scheduler_spec(folder: Path, host: str, security: Any) -> dict[str, Any]:
    """Return how a scheduler is started in this process, reached by TLS at one address."""
    options = {
        "folder": folder,
        "host": host,
        "port": 0,
        "protocol": "tls://",
        "security": security,
    }
    return {"cls": Scheduler, "options": options}


def _launch(folder: Path, command: WorkerCommand, address: str, name: str) -> Launch:
    log = folder / f"{name}.log"
    variables = {**command.environment, **make_spill(command.local_disk)}
    argv = command.argv(address, name)
    if command.setup:
        argv = ("/bin/bash", "-c", "\n".join([*command.setup, 'exec "$@"']), "worker", *argv)
    return Launch(argv, log, variables)
