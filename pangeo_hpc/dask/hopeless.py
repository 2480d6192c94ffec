"""End the tasks that wait for workers which will never come, with the reason why they will not."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.protocol import pickle
from distributed.scheduler import Scheduler, TaskState

from pangeo_hpc.dask import keeper

if TYPE_CHECKING:
    from pangeo_hpc.dask.cluster import WorkerCluster


class HopelessTasks(SchedulerPlugin):
    """Watches for tasks that nobody will run, once a cluster has given up.

    Dask itself keeps such a task for ever, or ends it after a fixed time that a queue's wait would
    be part of (`no-workers-timeout`).
    """

    name = "pangeo-hpc-hopeless"

    def __init__(self, cluster: "WorkerCluster") -> None:
        self._cluster = cluster
        self._scheduler: Scheduler | None = None
        self._due = False

    async def start(self, scheduler: Scheduler) -> None:
        """Remember the scheduler."""
        self._scheduler = scheduler

    def transition(self, key: Any, start: Any, finish: Any, *_: Any, **more: Any) -> None:  # noqa: ARG002
        """Look again when a task begins to wait for a worker."""
        if self._cluster.gave_up is not None and finish in ("queued", "no-worker"):
            self.look()

    def remove_worker(self, scheduler: Scheduler, worker: str, **more: Any) -> None:  # noqa: ARG002
        """Look again when a worker is gone."""
        self.look()

    def look(self) -> None:
        """End what is hopeless, as soon as the scheduler has done what it is doing."""
        scheduler = self._scheduler
        if scheduler is None or self._due or self._cluster.gave_up is None:
            return
        self._due = True
        scheduler.loop.add_callback(self._end)

    def _end(self) -> None:
        self._due = False
        scheduler, error = self._scheduler, self._cluster.gave_up
        if scheduler is None or error is None or self._cluster.on_their_way():
            return
        waiting: Iterable[TaskState] = list(scheduler.unrunnable)
        if all(worker.name == keeper.NAME for worker in scheduler.workers.values()):
            waiting = [*waiting, *scheduler.queued]
        stimulus, reason = f"gave-up-{uuid4()}", pickle.dumps(error)
        follows: dict[Any, Any] = {}
        for task in waiting:
            told = {"exception": reason, "cause": task.key, "exception_text": str(error)}
            follows |= scheduler.transition(task.key, "erred", stimulus_id=stimulus, **told)
        scheduler.transitions(follows, stimulus)
