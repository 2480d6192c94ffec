"""Holds results in the cluster object's process while there is no worker to take them.

A worker job ends, and its successor still waits in the queue: what the workers hold would have to
be computed again. This is a Dask worker that never runs a task, with a bound on memory, and a
directory of the cluster's private folder for what is more, with a bound too.
"""

import asyncio
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dask
from distributed.active_memory_manager import ActiveMemoryManagerExtension, RetireWorker
from distributed.core import Status
from distributed.scheduler import Scheduler, TaskState, WorkerState

from pangeo_hpc.dask import servers
from pangeo_hpc.units import MIB, gib

# What is copied at once: each portion is safe when it is there.
_PORTION, _MANY = 32 * MIB, 100

# What is held at most in memory, and on disk: a notebook, or a login node, has other things to do.
MEMORY, DISK = gib(0.5), gib(4)

# It is a worker to Dask, but none of those that somebody asked for, waits for, or pays for.
NAME = "pangeo-hpc-keeper"

# Memory of this whole process is nobody's business here; only what is held counts.
_SETTINGS = {
    "distributed.worker.memory.target": 1.0,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.worker.memory.max-spill": DISK,
    "distributed.worker.use-file-locking": False,
}


class _Holder(servers.Worker):
    """A worker that is never ready for tasks."""

    @property
    def status(self) -> Status:
        """Return the status, which is `paused` where another worker would be `running`."""
        return self._status

    @status.setter
    def status(self, value: Status) -> None:
        value = Status.paused if value == Status.running else value
        servers.Worker.status.fset(self, value)

    async def get_startup_information(self) -> dict[str, Any]:
        """Return what any worker tells: packages of this very process are the client's."""
        told: dict[str, Any] = await super(servers.Worker, self).get_startup_information()
        return told

    async def get_metrics(self) -> dict[str, Any]:
        """Return the figures for the scheduler, without the memory of this whole process.

        Of two copies Dask drops the one where most memory is in use: never that which stays.
        """
        return {**await super().get_metrics(), "memory": 0}


class Keeper:
    """A place for results, started when it is first needed and ended when it is empty."""

    def __init__(self, folder: Path, security: Any, host: str) -> None:
        self.folder = folder / "kept"
        self._security, self._host = security, host
        self._holder: _Holder | None = None
        self._arriving = 0
        self._opening = asyncio.Lock()

    @property
    def room(self) -> int:
        """Return how many bytes it can take."""
        held = self._holder.state.nbytes if self._holder else 0
        return max(MEMORY + DISK - held, 0)

    async def keep(self, scheduler: Scheduler, ws: WorkerState, tasks: Sequence[TaskState]) -> None:
        """Copy results of a worker to this process."""
        self._arriving += 1
        try:
            async with self._opening:
                address = await self._open(scheduler)
            await scheduler.gather_on_worker(address, {ts.key: [ws.address] for ts in tasks})
        finally:
            self._arriving -= 1

    async def _open(self, scheduler: Scheduler) -> str:
        """Return its address."""
        if self._holder is None or self._holder.status != Status.paused:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            with dask.config.set(_SETTINGS):
                self._holder = await _Holder(
                    scheduler.address,
                    nthreads=1,
                    name=NAME,
                    memory_limit=MEMORY,
                    local_directory=str(self.folder),
                    security=self._security,
                    protocol="tls",
                    host=self._host,
                    dashboard=False,
                )
        return str(self._holder.address)

    async def hand_back(
        self, scheduler: Scheduler, amm: Callable[[], ActiveMemoryManagerExtension]
    ) -> None:
        """Give what is held to workers as soon as there are some."""
        holder = self._holder
        ws = scheduler.workers.get(holder.address) if holder else None
        if ws is None or self._arriving:
            return
        if not ws.has_what:
            await self.close()
        elif scheduler.running:
            manager = amm()
            if not any(
                isinstance(policy, RetireWorker) and policy.address == ws.address
                for policy in manager.policies
            ):
                manager.add_policy(RetireWorker(ws.address))

    async def close(self) -> None:
        """Let go of everything."""
        holder, self._holder = self._holder, None
        if holder is not None:
            await holder.close(nanny=False, reason="pangeo-hpc-kept-nothing")
            shutil.rmtree(self.folder, ignore_errors=True)


def worth_keeping(tasks: Iterable[TaskState], room: int) -> list[TaskState]:
    """Return the results that fit, those first that cost most to compute for their size."""
    chosen = []
    for ts in sorted(tasks, key=_worth, reverse=True):
        size = ts.get_nbytes()
        if size <= room:
            chosen.append(ts)
            room -= size
    return chosen


def portions(tasks: Iterable[TaskState]) -> Iterator[list[TaskState]]:
    """Divide results into portions."""
    part: list[TaskState] = []
    size = 0
    for ts in tasks:
        if part and (size + ts.get_nbytes() > _PORTION or len(part) >= _MANY):
            yield part
            part, size = [], 0
        part.append(ts)
        size += ts.get_nbytes()
    if part:
        yield part


def _worth(ts: TaskState) -> tuple[bool, float]:
    """Return data that nobody can compute again first, then seconds per byte."""
    seconds = max(ts.prefix.duration_average, 0.0)
    return ts.run_spec is None, seconds / max(ts.get_nbytes(), 1)
