"""What is known of a cluster's worker jobs, written by whoever asked the batch system."""

import math
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pangeo_hpc.jobs import HISTORY_DELAY, Job
from pangeo_hpc.schedulers.base import JobState, JobStatus

# Seconds after its submission in which a job that waits may start at any moment.
_FRESH = 60.0
# How many of the last starts tell how long the queue is.
_RECENT = 10


@dataclass
class Ledger:
    """Jobs by the unit they are, their last known states, and whose workers are here.

    `present` and `arrived` are units, `cancelled` are ids of jobs that this cluster cancelled.
    `changes` counts the answers that came, so that a reader sees whether there is news;
    `surprised` is when workers last came of a job that was said to wait, by the clock.
    """

    jobs: dict[str, Job] = field(default_factory=dict)
    present: set[str] = field(default_factory=set)
    arrived: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    changes: int = 0
    surprised: float = -math.inf
    clock: Callable[[], float] = time.monotonic
    _states: dict[str, JobStatus] = field(default_factory=dict)
    _submitted: dict[str, float] = field(default_factory=dict)
    _lost: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, taken: Mapping[str, Job], moment: float) -> None:
        """Note jobs that were taken."""
        with self._lock:
            self.jobs.update(taken)
            self._submitted.update(dict.fromkeys(taken, moment))

    def came(self, unit: str) -> None:
        """Note that a unit's workers are here, so that its job runs, whatever was told before."""
        self.present.add(unit)
        self.arrived.add(unit)
        with self._lock:
            job = self.jobs.get(unit)
            if job is not None:
                known = self._states.get(unit) or _fresh(job)
                if known.state.waiting:
                    self.surprised = self.clock()
                    self._states[unit] = replace(known, state=JobState.RUNNING, reason="")

    def states(self) -> dict[str, JobStatus]:
        """Return the last known state of each unit; one that nobody asked about yet is pending."""
        with self._lock:
            return {unit: self._states.get(unit) or _fresh(job) for unit, job in self.jobs.items()}

    def submitted(self, unit: str) -> float:
        """Return when a unit was submitted, by the clock."""
        return self._submitted.get(unit, -math.inf)

    def state(self, unit: str) -> JobStatus | None:
        """Return the last known state of a unit."""
        return self._states.get(unit)

    def has_ended(self, unit: str) -> bool:
        """Tell whether a unit is known to have ended."""
        state = self._states.get(unit)
        return state is not None and state.state.ended

    def open(self) -> dict[str, Job]:
        """Return the units that are not known to have ended."""
        with self._lock:
            return {u: job for u, job in self.jobs.items() if job.id and not self.has_ended(u)}

    def exit_files(self) -> dict[str, Path]:
        """Return where each open job notes its exit status, by its id."""
        return {job.id: job.exit_file for job in self.open().values() if job.id}

    @property
    def newest(self) -> float:
        """Return when the last unit was submitted, by the clock."""
        return max(list(self._submitted.values()), default=-math.inf)

    def told(self, answers: Mapping[str, JobStatus], *, leaving: bool = False) -> None:
        """Note what the batch system said.

        A lost job is believed once history had its time, or at once if it was to leave; one that
        was cancelled here is not lost.
        """
        moment = self.clock()
        for unit, job in self.open().items():
            answer = answers.get(job.id or "")
            if answer is None:
                continue
            if answer.state is JobState.LOST and job.id in self.cancelled:
                answer = replace(answer, state=JobState.CANCELLED, reason="")
            if answer.state is JobState.LOST and not leaving:
                since = self._lost.setdefault(unit, moment)
                if moment - since < HISTORY_DELAY.total_seconds():
                    continue
            else:
                self._lost.pop(unit, None)
            self._states[unit] = answer
        self.changes += 1

    def restless(self) -> bool:
        """Tell whether something is starting or ending, so that news may come at any moment."""
        moment = self.clock()
        for unit in self.open():
            state = self._states.get(unit)
            if unit in self.present:
                continue
            young = moment - self._submitted.get(unit, moment) < _FRESH
            if state is None or young or not state.state.waiting:
                return True
        return False

    def queue_wait(self) -> float | None:
        """Return the median wait of the last jobs that started, in seconds."""
        starts = sorted(
            (state.started, (state.started - state.submitted).total_seconds())
            for state in list(self._states.values())
            if state.started is not None and state.submitted is not None
        )
        waits = [max(0.0, wait) for _, wait in starts[-_RECENT:]]
        return statistics.median(waits) if waits else None


def _fresh(job: Job) -> JobStatus:
    return JobStatus(
        id=job.id or "", name=job.name, state=JobState.PENDING, reason="just submitted"
    )
