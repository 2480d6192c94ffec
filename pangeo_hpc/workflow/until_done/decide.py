"""Decide whether a run that is to be computed until done needs another attempt. Pure."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from pangeo_hpc.errors import Exit
from pangeo_hpc.schedulers.base import JobState
from pangeo_hpc.units import format_duration

ATTEMPTS = 10

# What a job is ended with by its scheduler or its node, whatever the script does.
_FORCED_SIGNALS = {signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU, signal.SIGUSR1}
_FORCED = {JobState.TIMEOUT, JobState.NODE_FAIL, JobState.PREEMPTED, JobState.LOST}
# Ends that say nothing about the work: the same attempt may do better elsewhere.
_BLAMELESS = {JobState.NODE_FAIL, JobState.PREEMPTED, JobState.LOST}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How far a chain of attempts may go; `core_hours` None is no limit."""

    attempts: int = ATTEMPTS
    core_hours: float | None = None


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One attempt that has ended.

    `exit_code` is None if it left none: it was killed. `gained` is how many pieces it finished,
    None if it keeps none, as a script that never enters a run. `stuck` names the pieces that were
    at work when it ended, with how long they had been.
    """

    number: int
    state: JobState
    exit_code: int | None = None
    gained: int | None = None
    core_hours: float = 0.0
    stuck: tuple[tuple[str, timedelta], ...] = ()

    @property
    def name(self) -> str:
        """Return what a person calls it."""
        return f"attempt {self.number}"


class Standing(Enum):
    """Where a chain of attempts stands."""

    GOES_ON = "goes on"
    COMPLETE = "complete"
    FAILED = "failed"
    LEFT = "stopped with work left"


@dataclass(frozen=True)
class Decision:
    """What becomes of a chain, and why."""

    standing: Standing
    why: str = ""

    @property
    def over(self) -> bool:
        """Tell whether there is no further attempt."""
        return self.standing is not Standing.GOES_ON

    @property
    def exit_code(self) -> int:
        """Return what waiting for the chain ends with: 0, 1, or 75 with work left."""
        codes = {Standing.COMPLETE: Exit.DONE, Standing.FAILED: Exit.NO}
        return int(codes.get(self.standing, Exit.RUN_AGAIN))


def decide(limits: Limits, tried: Sequence[Tried]) -> Decision:
    """Tell what follows the attempts of a chain, all of which have ended; the last one counts."""
    if not tried:
        return Decision(Standing.GOES_ON)
    last = tried[-1]
    if last.state is JobState.COMPLETED or last.exit_code == 0:
        return Decision(Standing.COMPLETE, f"{last.name} completed the run")
    failure = _failure(last)
    if failure:
        return Decision(Standing.FAILED, failure)
    why = _stalled(tried) or _spent(limits, tried)
    return Decision(Standing.LEFT if why else Standing.GOES_ON, why)


def core_hours(tried: Sequence[Tried]) -> float:
    """Return what the attempts have used together."""
    return sum(each.core_hours for each in tried)


def _failure(last: Tried) -> str:
    """Return why another attempt would end like this one; empty if it need not."""
    if last.state is JobState.CANCELLED:
        return f"the job of {last.name} was cancelled"
    if last.state is JobState.OUT_OF_MEMORY:
        return f"{last.name} ran out of memory: ask for more --memory, or make units smaller"
    code = last.exit_code
    if last.state in _FORCED and (code is None or code == Exit.RUN_AGAIN or code > 128):
        return ""
    if code is None or code == Exit.RUN_AGAIN or code - 128 in _FORCED_SIGNALS:
        return ""
    if code > 128:
        return f"{last.name} was ended by {_signal(code - 128)}"
    return f"{last.name} failed with exit code {code}"


def _stalled(tried: Sequence[Tried]) -> str:
    """Return why there is no hope that a further attempt finishes more; empty if there is."""
    last = tried[-1]
    if last.gained is None or last.gained > 0:
        return ""
    killed = last.exit_code is None or last.exit_code - 128 == signal.SIGKILL
    blameless = last.state in _BLAMELESS or (killed and last.state is not JobState.TIMEOUT)
    if blameless and (len(tried) < 2 or tried[-2].gained != 0):
        return ""
    if last.stuck:
        told = ", ".join(f"{name} ({format_duration(took)})" for name, took in last.stuck)
        return f"{last.name} finished nothing; at work when it ended: {told}"
    return f"{last.name} finished nothing"


def _spent(limits: Limits, tried: Sequence[Tried]) -> str:
    """Return which limit is reached; empty if none is."""
    if len(tried) >= limits.attempts:
        return f"{len(tried)} attempts were made, and no more are allowed"
    used = core_hours(tried)
    if limits.core_hours is not None and used >= limits.core_hours:
        return f"{used:.2f} core-hours were used, and {limits.core_hours:g} are allowed"
    return ""


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
