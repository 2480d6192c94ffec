"""A thread that writes an attempt's records while it works, so that a killed one has them too."""

import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from pangeo_hpc import files
from pangeo_hpc.errors import PangeoHpcError, RunBusy
from pangeo_hpc.jobs.record import keep
from pangeo_hpc.workflow.provenance import CLUSTER, Notes

# Seconds until the first look at the workers; each pause is longer, up to SELDOM.
SOON, SELDOM = 1.0, 30.0
# Seconds to wait for git and for the list of packages, both slow on a busy filesystem.
PATIENCE = 20.0
# Beyond so many samples of memory every second one is dropped.
SAMPLES = 240


class Recorder:
    """Writes an attempt's notes and what its Dask workers cost; `cluster` is told once it is there.

    What cannot be written (a full disk) is left out: a record is never worth a run.
    """

    def __init__(self, notes: Notes) -> None:
        self.cluster: Any = None
        self._notes = notes
        self._samples: list[tuple[float, int, int]] = []
        self._peaks: dict[str, int] = {}
        self._limits: dict[str, int] = {}
        self._stop, self._known = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="run-recorder", daemon=True)

    def start(self) -> None:
        """Keep what must be kept at once, and go on beside the script."""
        with suppress(PangeoHpcError, OSError):
            self._notes.begin()
            self._thread.start()

    def know(self) -> None:
        """Wait until environment and repository were looked at, but not for long."""
        self._known.wait(PATIENCE if self._thread.is_alive() else 0)

    def end(self, status: int, error: BaseException | None) -> None:
        """Stop, and write how it ended; a stale attempt (RunBusy) writes nothing more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if not self._notes.facts or isinstance(error, RunBusy):
            return
        with suppress(PangeoHpcError, OSError):
            if "environment" not in self._notes.facts:
                self._notes.look_around()
            self._notes.look_at_inputs()
            self._look_at_workers()
            self._notes.end(status, error)

    def close(self) -> None:
        """Write once more what the workers cost, when they have gone."""
        with suppress(PangeoHpcError, OSError):
            self._look_at_workers(sample=False)

    def _work(self) -> None:
        pause = SOON
        try:
            try:
                self._notes.look_around()
            finally:
                self._known.set()
            while not self._stop.wait(pause):
                pause = min(pause * 1.5, SELDOM)
                with suppress(OSError):
                    self._notes.look_at_inputs()
                    self._notes.write()
                    self._look_at_workers()
        except (PangeoHpcError, OSError):
            # the run is no longer ours, or nothing can be written
            return

    def _look_at_workers(self, *, sample: bool = True) -> None:
        cluster = self.cluster
        if cluster is None or getattr(cluster, "scheduler", None) is None:
            return
        self._notes.attempt.lease.fence.check()
        # another thread works with these; what changes while it is read, is read the next time
        with suppress(RuntimeError, KeyError):
            if sample:
                self._sample(cluster)
            costs, units = cluster.report(ask=False).json(), _units(cluster)
            self._keep(cluster, costs, units)

    def _keep(self, cluster: Any, costs: dict[str, Any], units: list[dict[str, Any]]) -> None:
        told = {
            **costs,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "kind": type(cluster).__name__,
            "units": units,
            "memory": {
                "peaks": self._peaks,
                "limits": self._limits,
                "samples": self._samples,
            },
        }
        files.write_json(self._notes.place / CLUSTER, told, mode=0o600)

    def _sample(self, cluster: Any) -> None:
        """Note the memory of all workers; the scheduler is in this process."""
        total = 0
        workers = dict(cluster.scheduler.workers)
        for state in workers.values():
            used = int(getattr(state.memory, "process", 0) or 0)
            name, total = str(state.name), total + used
            self._peaks[name] = max(self._peaks.get(name, 0), used)
            if state.memory_limit:
                self._limits[name] = int(state.memory_limit)
        passed = round(time.monotonic() - self._notes.begun, 1)
        self._samples.append((passed, total, len(workers)))
        if len(self._samples) > SAMPLES:
            del self._samples[1::2]


def _units(cluster: Any) -> list[dict[str, Any]]:
    """Return since when and until when each unit had workers, and its batch job if it has one."""

    def moment(value: float | None) -> str | None:
        if value is None:
            return None
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds")

    accounts, states = dict(cluster.accounts.units), cluster.states()
    return [
        {
            "name": name,
            "began": moment(accounts[name].began) if name in accounts else None,
            "ended": moment(accounts[name].ended) if name in accounts else None,
            "job": keep(states[name]) if name in states else None,
        }
        for name in dict.fromkeys([*states, *accounts])
    ]
