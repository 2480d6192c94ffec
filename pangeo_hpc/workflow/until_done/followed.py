"""What a job waits for, where runs that are computed until done are among it.

Which of the jobs of such a run completes it is not known before. So a job that follows it waits
for the end of all of them, in whatever way, and then looks whether the run is complete: a question
that files answer, on nodes without any commands too. Each run knows who follows it, so that a
follower is taken out of the queue where it is known early that there is nothing to wait for.
"""

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pangeo_hpc import files, jobs
from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.run import Runner, run
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.site import Person, Site
from pangeo_hpc.workflow.follow import REASON, follow
from pangeo_hpc.workflow.runs import AHEAD, BEGUN, RunFolder
from pangeo_hpc.workflow.until_done.decide import Decision, Standing, decide
from pangeo_hpc.workflow.until_done.record import Chain, began, end, tried

# In a run's folder: a file for each attempt of another run that follows it.
FOLLOWERS = "followers"
IN_VAIN = "what it was to follow did not succeed"


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


def note(after: After, attempt: Path) -> None:
    """Let the runs that an attempt follows know of it."""
    mark = hashlib.sha256(str(attempt).encode()).hexdigest()[:16]
    for each in after.runs:
        place = files.make_directory(Path(each.folder) / FOLLOWERS, mode=0o700)
        kept = {"format": 1, "attempt": str(attempt), "first": each.first}
        files.write_json(place / f"{mark}.json", kept)


def drop(
    site: Site, person: Person, folder: RunFolder, decision: Decision, *, runner: Runner = run
) -> list[str]:
    """Take those out of the queue that wait for a run which ended without being complete.

    Return the names of their runs. What cannot be cancelled finds out itself when it begins.
    """
    if decision.standing is Standing.COMPLETE:
        return []
    chain = Chain.read(folder)
    first = chain.numbers[0] if chain and chain.numbers else None
    dropped = []
    for path in sorted((folder.path / FOLLOWERS).glob("*.json")):
        kept = files.read_json(path)
        place = Path(kept["attempt"])
        if kept["first"] != first or not (place / "job.json").exists():
            continue
        job = jobs.Job.read(place)
        if _waits(site, person, job, runner):
            refuse(place, folder, decision)
            _cancel(site, person, job, runner)
            dropped.append(place.parent.parent.name)
        path.unlink(missing_ok=True)
    return dropped


def refuse(attempt: Path, folder: RunFolder, decision: Decision) -> str:
    """Write down why an attempt does not begin; return it in words."""
    why = f": {decision.why}" if decision.why else ""
    words = f"{IN_VAIN}: run {folder.name} {_WORDS[decision.standing]}{why}"
    files.write_atomic(attempt / REASON, f"{words}\n")
    mine = RunFolder(attempt.parent.parent)
    chain = Chain.read(mine)
    if chain is not None and int(attempt.name) in chain.numbers:
        end(mine, Decision(Standing.FAILED, words))
    return words


_WORDS = {
    Standing.GOES_ON: "is not complete",
    Standing.COMPLETE: "is complete",
    Standing.FAILED: "failed",
    Standing.LEFT: "stopped with work left",
}


def _waits(site: Site, person: Person, job: jobs.Job, runner: Runner) -> bool:
    if job.id is None or job.final is not None or job.exit_file.exists():
        return False
    with suppress(PangeoHpcError):
        return follow(site, person, [job], runner=runner, patience=1.0)[0].state.waiting
    return False


def _cancel(site: Site, person: Person, job: jobs.Job, runner: Runner) -> None:
    from pangeo_hpc.workflow.until_done.submit import cancel

    mine = RunFolder(job.folder.parent.parent)
    chain = Chain.read(mine)
    with suppress(PangeoHpcError):
        if chain is not None and int(job.folder.name) in chain.numbers:
            cancel(site, person, mine, all_=True, runner=runner)
        else:
            scheduler = jobs.scheduler_named(site, str(job.request["scheduler"]), person)
            jobs.cancel(scheduler, [str(job.id)], runner=runner)


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
