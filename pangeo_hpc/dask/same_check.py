"""Look at each worker that connects: whether it can work for this client, and where it spills."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from distributed.core import Status, rpc
from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.protocol import pickle

from pangeo_hpc.dask import disk
from pangeo_hpc.dask.same import (
    IMPORTED,
    Difference,
    Imported,
    Packages,
    compare,
    here,
    mismatch,
)
from pangeo_hpc.errors import EnvironmentMismatch

if TYPE_CHECKING:
    from distributed.scheduler import Scheduler

    from pangeo_hpc.dask.cluster import WorkerCluster

# The key of what our workers tell when they connect.
TOLD = "pangeo_hpc"
# Seconds for the answer of a worker that is asked again.
_ANSWER = 30.0


def tell() -> dict[str, Any]:
    """Return what a worker tells of itself."""
    return {"packages": here().dump(), "spill": disk.told()}


async def ask(scheduler: "Scheduler", address: str) -> Packages | None:
    """Return what a worker has by now, None if it does not answer."""
    try:
        async with rpc(address, connection_args=scheduler.connection_args) as worker:
            asked = worker.run(function=pickle.dumps(here))
            answer = await asyncio.wait_for(asked, _ANSWER)
    except (OSError, TimeoutError):
        return None
    found = answer.get("result")
    return found if isinstance(found, Packages) else None


class SameEnvironment(SchedulerPlugin):
    """Refuses workers whose packages are not those of this process, which is the client's too.

    It is asked before a worker joins, and looks at all again when the client computes something
    after it has imported more. Who lacks that is asked once more: it may be installed since.
    """

    name = "pangeo-hpc-same-environment"

    def __init__(
        self,
        cluster: "WorkerCluster",
        imported: Imported = IMPORTED,
        ask: Callable[["Scheduler", str], Awaitable[Packages | None]] = ask,
    ) -> None:
        self._cluster, self._ask = cluster, ask
        self._imported = imported
        self._imported.warm()
        # most workers have the same
        self._there: dict[str, Packages] = {}
        self._known: dict[str, Packages] = {}
        # for which packages of the client all workers were looked at
        self._looked: Packages | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def refuse(self, address: str, worker: str, extra: dict[str, Any]) -> str | None:
        """Return why a worker may not join, asked before the scheduler knows of it.

        Later is too late: once registered it is given tasks.
        """
        # taken away, since what is left there is sent to every client every few seconds
        told = extra.pop(TOLD, None)
        if not told:
            return None  # not one of ours
        words = disk.warning(told["spill"]["kind"])
        if words:
            self._cluster.warn(words)
        packages = told["packages"]
        key = json.dumps(packages, sort_keys=True)
        there, client = self._known.setdefault(key, Packages(**packages)), self._imported.packages()
        differences = compare(client, there)
        if differences:
            self._give_up(mismatch(differences, client, there), worker)
            return f"other packages: {', '.join(map(str, differences))}"
        self._there[address] = there
        return None

    def remove_worker(self, scheduler: "Scheduler", worker: str, **more: Any) -> None:  # noqa: ARG002
        """Forget a worker that has gone."""
        self._there.pop(worker, None)

    def update_graph(self, scheduler: "Scheduler", **more: Any) -> None:  # noqa: ARG002
        """Look at all workers again if the client has imported more since."""
        client = self._imported.packages()
        if client is not self._looked:  # another cluster, or a worker that came, may have seen it
            self._looked = client
            self._check(scheduler, list(self._there))

    def _check(self, scheduler: "Scheduler", workers: Sequence[str]) -> None:
        client, found = self._imported.packages(), dict[int, list[Difference]]()
        for worker in workers:
            there, state = self._there[worker], scheduler.workers.get(worker)
            if id(there) not in found:
                found[id(there)] = compare(client, there)
            if not found[id(there)] or state is None:
                continue
            # no task for it, from this moment on
            before = state.status
            scheduler.handle_worker_status_change(Status.paused, state, "pangeo-hpc-mismatch")
            self._do(self._look_again(scheduler, worker, before))

    async def _look_again(self, scheduler: "Scheduler", worker: str, before: Status) -> None:
        """Ask a worker, and take it back if it has by now what the client has imported."""
        told = await self._ask(scheduler, worker)
        there, state = told or self._there.get(worker), scheduler.workers.get(worker)
        if there is None or state is None:
            return
        client = self._imported.packages()
        differences = compare(client, there)
        if differences:
            self._give_up(mismatch(differences, client, there), str(state.name))
            return
        self._there[worker] = there
        if state.status == Status.paused:
            scheduler.handle_worker_status_change(before, state, "pangeo-hpc-same")

    def _give_up(self, error: EnvironmentMismatch, worker: str) -> None:
        self._cluster.give_up(error)
        self._do(_drop(self._cluster, worker))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _drop(cluster: "WorkerCluster", worker: str) -> None:
    """End the unit that a worker is of."""
    units = list(cluster.worker_spec)
    for unit in units:
        if len(units) == 1 or worker in cluster._names(unit):  # noqa: SLF001 - of this room
            cluster.worker_spec.pop(unit, None)
    await cluster._correct_state()  # noqa: SLF001
    cluster._look_for_hopeless()  # noqa: SLF001
