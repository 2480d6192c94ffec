"""Workers as programs of this machine, or of the one node that a job has."""

from functools import partial
from pathlib import Path
from typing import Any

from pangeo_hpc.dask.cluster import WorkerCluster
from pangeo_hpc.dask.command import WorkerCommand, make_spill
from pangeo_hpc.dask.program import Launch, Program
from pangeo_hpc.dask.servers import Scheduler
from pangeo_hpc.errors import WorkerJobFailed

LOOPBACK = "127.0.0.1"


# Seconds for programs to end whose workers have been dismissed.
_PATIENCE = 5.0


class ProgramCluster(WorkerCluster):
    """A cluster whose units are programs that we start ourselves."""

    async def _before_close(self) -> None:
        await self._dismiss()
        for unit in self.workers.values():
            unit.patience = _PATIENCE

    async def _ended_units(self) -> dict[str, WorkerJobFailed]:
        problems = {name: unit.problem() for name, unit in self.workers.items()}
        return {name: problem for name, problem in problems.items() if problem is not None}


class LocalCluster(ProgramCluster):
    """Workers on this machine, each a program of its own, reached over its loopback only."""

    def __init__(self, *, name: str, folder: Path, command: WorkerCommand) -> None:
        self.folder, self.keys = folder, command.keys
        self.threads_per_worker, self.what = command.shape.threads, "programs of this machine"
        security = command.keys.security()
        options = {"prepare": partial(_launch, folder, command)}
        super().__init__(
            scheduler=scheduler_spec(folder, LOOPBACK, security),
            worker={"cls": Program, "options": options},
            security=security,
            silence_logs="error",
            name=name,
        )


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
