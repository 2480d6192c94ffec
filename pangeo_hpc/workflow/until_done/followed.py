"""What a job waits for, where runs that are computed until done are among it.

Which of the jobs of such a run completes it is not known before. So a job that follows it waits
for the end of all of them, in whatever way, and then looks whether the run is complete: a question
that files answer, on nodes without any commands too.
"""

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.site import Person, Site
from pangeo_hpc.workflow.follow import follow
from pangeo_hpc.workflow.runs import AHEAD, BEGUN, RunFolder
from pangeo_hpc.workflow.until_done.decide import Decision, Standing, decide
from pangeo_hpc.workflow.until_done.record import Chain, began, tried


@dataclass(frozen=True)
class Followed:
    """A run that is computed until done, and the number of the first attempt that counts."""

    folder: str
    first: int


@dataclass(frozen=True, kw_only=True)
class After:
    """What a job waits for: jobs that must succeed, jobs that must have ended, and their runs.

    The `ended` ones are those of `runs`, which must be complete then.
    """

    succeeded: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    runs: tuple[Followed, ...] = ()

    def __add__(self, other: "After") -> "After":
        return After(
            succeeded=_once(self.succeeded, other.succeeded),
            ended=_once(self.ended, other.ended),
            runs=_once(self.runs, other.runs),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the same as JSON-able values."""
        return asdict(self)

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> "After":
        """Return what `as_dict` told."""
        runs = tuple(Followed(**each) for each in kept["runs"])
        return cls(succeeded=tuple(kept["succeeded"]), ended=tuple(kept["ended"]), runs=runs)

    def look(self, python: Path, attempt: Path) -> tuple[str, ...]:
        """Return the lines with which a job ends if what it follows is not complete."""
        if not self.runs:
            return ()
        words = [f"{each.folder}:{each.first}" for each in self.runs]
        program = "pangeo_hpc.workflow.until_done.gate"
        return (
            shlex.join([str(python), "-P", "-m", program, str(attempt), *words]) + " || exit 1",
        )


NOTHING = After()
_ALIVE = (JobState.STARTING, JobState.RUNNING, JobState.SUSPENDED, JobState.ENDING)


def standing(
    followed: Followed, site: Site | None = None, person: Person | None = None
) -> Decision:
    """Return how a run that is followed stands, from its files, and the scheduler where given.

    GOES_ON is said of one that still may be completed, or whose end left no trace.
    """
    folder = RunFolder(Path(followed.folder))
    chain = Chain.read(folder)
    if chain is None or chain.numbers[:1] != (followed.first,):
        return _replaced(folder, followed.first, chain)
    if chain.over:
        return chain.over
    found = chain.jobs(folder)
    known: list[JobStatus | None] = [None for _ in found]
    if site is not None and person is not None:
        with suppress(PangeoHpcError, OSError):
            known = list(follow(site, person, found, patience=1.0))
    pairs = list(zip(found, known, strict=True))
    decision = decide(chain.limits, tried(folder, pairs, datetime.now(UTC)))
    if decision.standing is Standing.COMPLETE:
        return decision
    if any(began(job) and status and status.state in _ALIVE for job, status in pairs):
        return Decision(Standing.GOES_ON, "it goes on in a further job")
    if decision.over:
        return decision
    return Decision(Standing.GOES_ON, "its jobs have ended, and none of them completed it")


def noted(followed: Followed) -> bool:
    """Tell whether it is written down how a run that is followed ended."""
    chain = Chain.read(RunFolder(Path(followed.folder)))
    return chain is None or chain.over is not None or chain.numbers[:1] != (followed.first,)


def _replaced(folder: RunFolder, first: int, chain: Chain | None) -> Decision:
    """Return how those attempts stand that a later submission of the run came after."""
    last = chain.numbers[0] if chain and chain.numbers else first + 1
    for number in range(first, max(last, first + 1)):
        place = folder.attempt(number)
        ahead = (place / AHEAD).exists() and not (place / BEGUN).exists()
        with suppress(OSError, ValueError):
            if not ahead and int((place / "exit").read_text()) == 0:
                return Decision(Standing.COMPLETE, f"attempt {number} completed the run")
    return Decision(Standing.LEFT, "it was submitted again")


def _once(one: Sequence[Any], other: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys((*one, *other)))
