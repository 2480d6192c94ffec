"""Tasks that take longer than a worker lives: tried twice, then said by name."""

import pickle
from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta

from distributed.metrics import monotonic, time
from distributed.scheduler import Scheduler, TaskState, WorkerState

from pangeo_hpc.dask.drain import Life, never_fits
from pangeo_hpc.errors import TaskTooLong
from pangeo_hpc.units import format_walltime


class Misfits:
    """The tasks that workers had to leave unfinished, and how long they ran each time.

    A second try waits for a worker that has nearly all of its life, or twice the time, before it.
    `walltime` is that of a worker job, in seconds.
    """

    def __init__(self, walltime: float) -> None:
        self.walltime = walltime
        self.runs: dict[object, list[float]] = defaultdict(list)
        self._ours: set[object] = set()

    @property
    def longest(self) -> float:
        """Return how long the longest of them ran."""
        return max((max(runs) for runs in self.runs.values()), default=0.0)

    def note(self, scheduler: Scheduler, ws: WorkerState, life: Life | None) -> None:
        """Note the tasks that a worker runs as it has to go; those end that will never fit."""
        since = max(0.0, time() - ws.last_seen)
        for ts, seconds in list(ws.executing.items()):
            if ts.state != "processing":
                continue
            self.runs[ts.key].append(seconds + since)
            if life is not None and never_fits(self.runs[ts.key], life.useful):
                self._give_up(scheduler, ws, ts, life)
            elif not (ts.worker_restrictions or ts.host_restrictions):
                self._ours.add(ts.key)
                ts.worker_restrictions = {"nowhere yet"}

    def _give_up(self, scheduler: Scheduler, ws: WorkerState, ts: TaskState, life: Life) -> None:
        runs = self.runs.pop(ts.key)
        self._forget(ts)
        error = too_long(str(ts.key), runs, life.useful, self.walltime)
        stimulus = f"pangeo-hpc-too-long-{monotonic()}"
        recommendations = scheduler.transition(
            ts.key,
            "erred",
            stimulus,
            cause=ts.key,
            exception=pickle.dumps(error),
            exception_text=str(error),
            worker=ws.address,
        )
        scheduler.transitions(recommendations, stimulus)

    def place(self, scheduler: Scheduler, lives: Mapping[str, Life], now: float) -> None:
        """Let each of them go to the workers that have the time for it, and to no other."""
        for key in list(self.runs):
            ts = scheduler.tasks.get(key)  # type: ignore[call-overload]
            if ts is None or ts.state in ("memory", "erred", "forgotten"):
                self.runs.pop(key)
                if ts is not None:
                    self._forget(ts)
                continue
            if key not in self._ours or ts.state == "processing":
                continue
            fit = {
                address
                for address, life in lives.items()
                if life.is_room(max(self.runs[key]), now)
                and (ws := scheduler.workers.get(address)) is not None
                and ws.status.name in ("init", "running")
            }
            ts.worker_restrictions = fit or {"nowhere yet"}
            if ts.state == "no-worker" and any(
                scheduler.workers[a] in scheduler.running for a in fit
            ):
                scheduler.transitions({key: "processing"}, f"pangeo-hpc-place-{monotonic()}")  # type: ignore[dict-item]

    def _forget(self, ts: TaskState) -> None:
        if ts.key in self._ours:
            self._ours.discard(ts.key)
            ts.worker_restrictions = None


def too_long(key: str, runs: list[float], life: float, walltime: float) -> TaskTooLong:
    """Return what to say of a task that does not fit into a worker's life."""
    times = " and ".join(f"{seconds:.0f} s" for seconds in runs)
    whole = format_walltime(timedelta(seconds=walltime))
    return TaskTooLong(
        f"task {key} does not end in the life of a worker: it ran for {times}, "
        f"and a walltime of {whole} leaves {life:.0f} s",
        hint="give the workers a longer walltime, or cut the data into smaller chunks",
    )
