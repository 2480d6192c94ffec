"""Why a job is ended, and how it ended."""

import os
import signal
from dataclasses import dataclass
from datetime import timedelta

from pangeo_hpc.schedulers.base import JobState
from pangeo_hpc.units import format_memory, format_walltime


@dataclass(frozen=True)
class Cause:
    """Why a tree is being ended, and how many seconds after SIGTERM it is killed.

    Without a state, the script itself has ended, and only what it left behind is.
    """

    state: JobState | None
    reason: str
    grace: float


def over_memory(used: int, limit: int) -> Cause:
    """Return the cause of a tree that took too much, in bytes; it gets no grace."""
    words = f"used {format_memory(used)} of {format_memory(limit)}"
    return Cause(JobState.OUT_OF_MEMORY, words, 0.0)


def over_walltime(walltime: float, grace: float) -> Cause:
    """Return the cause of a job that ran for too long, in seconds."""
    words = f"ran for longer than {format_walltime(timedelta(seconds=walltime))}"
    return Cause(JobState.TIMEOUT, words, grace)


def verdict(cause: Cause | None, status: int | None) -> tuple[JobState, str]:
    """Return how a job ended, and why, from what ended it and its script's wait status."""
    if cause is not None and cause.state is not None:
        return cause.state, cause.reason
    code = os.waitstatus_to_exitcode(status) if status is not None else 1
    if code == 0:
        return JobState.COMPLETED, ""
    if code < 0:
        return JobState.FAILED, f"ended by {_signal_name(-code)}"
    return JobState.FAILED, f"exit status {code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
