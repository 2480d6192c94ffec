"""Decide who runs when: first come first served, and small ones go ahead where nobody waits longer.

Every waiting job is given a place in the future, in the order of the queue. One that fits before
its turn may take it only if all places given so far stay as they are, so nobody starves.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pangeo_hpc.machine import Machine

# A job past its walltime is being ended; this is how soon its place is hoped for, in seconds.
_SOON = 1.0
# So many waiting jobs are given a place; what is behind them waits its turn.
DEPTH = 100


@dataclass(frozen=True)
class Claim:
    """What one job takes: cores, memory in bytes, and for how many seconds from its start."""

    id: str
    cores: int
    memory: int
    seconds: float

    def fits(self, capacity: Machine) -> bool:
        """Tell whether the job could ever run here."""
        return self.cores <= capacity.cores and self.memory <= capacity.memory


@dataclass
class _Step:
    """What is free from a moment on, until the next step."""

    time: float
    cores: int
    memory: int


def starts(
    waiting: Sequence[Claim], running: Iterable[Claim], capacity: Machine
) -> dict[str, float]:
    """Return in how many seconds each waiting job would start; 0 is now.

    `running` claims tell the time they have left. A job larger than the machine, or too far back
    in the queue to be planned, is absent.
    """
    steps = _free(running, capacity)
    places: dict[str, float] = {}
    for claim in waiting:
        if len(places) >= DEPTH:
            break
        if claim.fits(capacity):
            places[claim.id] = _place(steps, claim)
    return places


def _free(running: Iterable[Claim], capacity: Machine) -> list[_Step]:
    steps = [_Step(0.0, capacity.cores, capacity.memory)]
    for claim in running:
        _take(steps, claim, 0.0, max(claim.seconds, _SOON))
    return steps


def _place(steps: list[_Step], claim: Claim) -> float:
    """Find the first moment at which a job fits for its whole time, and take it."""
    for number, step in enumerate(steps):
        end = step.time + claim.seconds
        during = (later for later in steps[number:] if later is step or later.time < end)
        if all(claim.cores <= free.cores and claim.memory <= free.memory for free in during):
            _take(steps, claim, step.time, end)
            return step.time
    message = "everything is free in the end"
    raise AssertionError(message)


def _take(steps: list[_Step], claim: Claim, begin: float, end: float) -> None:
    _cut(steps, begin)
    _cut(steps, end)
    for step in steps:
        if begin <= step.time < end:
            step.cores -= claim.cores
            step.memory -= claim.memory


def _cut(steps: list[_Step], moment: float) -> None:
    """Make a step begin at a moment."""
    for number, step in enumerate(steps):
        if step.time == moment:
            return
        if step.time > moment:
            before = steps[number - 1]
            steps.insert(number, _Step(moment, before.cores, before.memory))
            return
    steps.append(_Step(moment, steps[-1].cores, steps[-1].memory))
