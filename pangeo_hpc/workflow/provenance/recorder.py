"""A thread that writes an attempt's records while it works, so that a killed one has them too."""

import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pangeo_hpc import files
from pangeo_hpc.errors import PangeoHpcError, RunBusy
from pangeo_hpc.jobs.record import keep
from pangeo_hpc.workflow.ending import exit_status
from pangeo_hpc.workflow.provenance.record import CLUSTER, Notes

if TYPE_CHECKING:
    from pangeo_hpc.workflow.provenance.workers import Workers

# Seconds until the first look at the workers; each pause is longer, up to SELDOM.
SOON, SELDOM = 1.0, 30.0
# Seconds to wait for git and for the list of packages, both slow on a busy filesystem.
PATIENCE = 20.0


class Recorder:
    """Writes an attempt's notes, and what its Dask workers cost once they are watched.

    What cannot be written (a full disk) is left out: a record is never worth a run.
    """

    def __init__(self, notes: Notes) -> None:
        self._cluster: Any = None
        self._workers: Workers | None = None
        self._notes = notes
        self._stop, self._known, self._news = (threading.Event() for _ in range(3))
        self._pause = SOON
        self._thread = threading.Thread(target=self._work, name="run-recorder", daemon=True)

    def __enter__(self) -> "Recorder":
        """Keep what must be kept at once, and go on beside the script."""
        with suppress(PangeoHpcError, OSError):
            self._notes.begin()
            self._thread.start()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self.end(error)

    def watch(self, cluster: Any) -> None:
        """Keep from now on what a cluster costs, and when its workers come and go."""
        from pangeo_hpc.workflow.provenance.workers import Workers

        self._workers = Workers(cluster, self._notes.begun)
        self._cluster = cluster
        self._pause = 0.0
        self._news.set()

    def know(self) -> None:
        """Wait until environment and repository were looked at, but not for long."""
        self._known.wait(PATIENCE if self._thread.is_alive() else 0)

    def end(self, error: BaseException | None) -> None:
        """Stop, and write how it ended, once; a stale attempt (RunBusy) writes nothing more."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join()
        if not self._notes.facts or isinstance(error, RunBusy):
            return
        with suppress(PangeoHpcError, OSError):
            if "environment" not in self._notes.facts:
                self._notes.look_around()
            self._notes.look_at_inputs()
            self._look_at_workers()
            self._notes.end(exit_status(error), error)

    def close(self) -> None:
        """Write once more what the workers cost, when they have gone."""
        with suppress(PangeoHpcError, OSError):
            self._look_at_workers(sample=False)

    def _work(self) -> None:
        try:
            try:
                self._notes.look_around()
            finally:
                self._known.set()
            while True:
                self._news.wait(self._pause)
                if self._stop.is_set():
                    return
                self._news.clear()
                self._pause = min(max(self._pause * 1.5, SOON), SELDOM)
                with suppress(OSError):
                    self._notes.look_at_inputs()
                    self._notes.write()
                    self._look_at_workers()
        except (PangeoHpcError, OSError):
            # the run is no longer ours, or nothing can be written
            return

    def _look_at_workers(self, *, sample: bool = True) -> None:
        cluster, workers = self._cluster, self._workers
        if cluster is None or workers is None:
            return
        self._notes.attempt.lease.fence.check()
        # another thread works with these; what changes while it is read, is read the next time
        with suppress(RuntimeError, KeyError):
            if sample:
                workers.sample()
            costs, units = cluster.report(ask=False).json(), _units(cluster)
            kind = type(cluster).__name__
            self._keep({**costs, **workers.told(), "kind": kind, "units": units})

    def _keep(self, costs: dict[str, Any]) -> None:
        told = {
            **costs,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        files.write_json(self._notes.place / CLUSTER, told, mode=0o600)


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
