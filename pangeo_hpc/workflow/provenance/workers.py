"""When each Dask worker of an attempt came and went, and how much memory it had."""

import time
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import SchedulerPlugin

from pangeo_hpc.dask import keeper
from pangeo_hpc.workflow.holder import moment

if TYPE_CHECKING:
    from distributed.scheduler import Scheduler

# Beyond so many samples of memory every second one is dropped; so many workers are told of.
SAMPLES, MOST = 240, 500


class Workers(SchedulerPlugin):
    """Notes workers as the scheduler, which is in this process, meets them."""

    name = "pangeo-hpc-run-workers"

    def __init__(self, cluster: Any, begun: float) -> None:
        self._cluster, self._begun = cluster, begun
        self._known: dict[str, dict[str, Any]] = {}
        self._samples: list[tuple[float, int, int]] = []
        self._peaks: dict[str, int] = {}
        self._limits: dict[str, int] = {}
        scheduler = cluster.scheduler
        scheduler.add_plugin(self, name=self.name)
        for address in list(scheduler.workers):
            self.add_worker(scheduler, address)

    def add_worker(self, scheduler: "Scheduler", worker: str) -> None:
        """Note a worker that has come."""
        state = scheduler.workers.get(worker)
        if state is None or state.name == keeper.NAME or len(self._known) >= MOST:
            return
        told = {
            "name": str(state.name),
            "host": state.host,
            "unit": self._cluster.unit_of(str(state.name)),
            "began": moment(),
            "ended": None,
        }
        self._known.setdefault(worker, told)

    def remove_worker(
        self,
        scheduler: "Scheduler",  # noqa: ARG002
        worker: str,
        **more: Any,  # noqa: ARG002
    ) -> None:
        """Note that a worker has gone."""
        if worker in self._known:
            self._known[worker]["ended"] = moment()

    def sample(self) -> None:
        """Note the memory of all workers now."""
        total, states = 0, list(self._cluster.scheduler.workers.values())
        for state in states:
            used = int(getattr(state.memory, "process", 0) or 0)
            name, total = str(state.name), total + used
            self._peaks[name] = max(self._peaks.get(name, 0), used)
            if state.memory_limit:
                self._limits[name] = int(state.memory_limit)
        self._samples.append((round(time.monotonic() - self._begun, 1), total, len(states)))
        if len(self._samples) > SAMPLES:
            del self._samples[1::2]

    def told(self) -> dict[str, Any]:
        """Return what is known, as JSON has it; memory is in bytes."""
        memory = {"peaks": self._peaks, "limits": self._limits, "samples": self._samples}
        return {"workers": list(self._known.values()), "memory": memory}
