"""What is remembered of a chain of attempts: `chain.json`, and a `begun` file in each attempt.

All of it is files in the run's folder, since a scheduler may forget its jobs, and nodes may have no
commands to ask it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pangeo_hpc import files
from pangeo_hpc.jobs import Job
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.workflow.holder import moment
from pangeo_hpc.workflow.runs import AHEAD, BEGUN, RunFolder
from pangeo_hpc.workflow.tries import holders, last_sign, stuck
from pangeo_hpc.workflow.until_done.decide import Decision, Limits, Standing, Tried

# Where runs note what is finished, one file for each piece.
PIECES = ("ledger", "maps")
# What is there beside pieces, and is no progress.
_OTHERS = ("digests", "failed")


@dataclass(frozen=True, kw_only=True)
class Chain:
    """The attempts of a run that are to follow one another until it is complete.

    `numbers` are those of the attempts whose jobs were submitted; `told` is what further ones are
    made from. `over` is how the chain ended, None while it goes on.
    """

    limits: Limits
    began: str
    numbers: tuple[int, ...] = ()
    told: Mapping[str, Any]
    over: Decision | None = None

    @classmethod
    def read(cls, folder: RunFolder) -> "Chain | None":
        """Return the newest chain of a run, None if it never had one."""
        try:
            kept = files.read_json(_file(folder))
        except (FileNotFoundError, ValueError):
            return None
        over = kept["over"]
        return cls(
            limits=Limits(**kept["limits"]),
            began=kept["began"],
            numbers=tuple(kept["numbers"]),
            told=kept["told"],
            over=Decision(Standing(over["standing"]), over["why"]) if over else None,
        )

    def write(self, folder: RunFolder) -> None:
        """Store what is known, durably."""
        over = {"standing": self.over.standing.value, "why": self.over.why} if self.over else None
        kept = {**asdict(self), "over": over}
        files.write_json(_file(folder), {"format": 1, **kept})

    def jobs(self, folder: RunFolder) -> list[Job]:
        """Return the jobs of all its attempts, those that did not begin too."""
        places = [folder.attempt(number) for number in self.numbers]
        return [Job.read(place) for place in places if (place / "job.json").exists()]


def newest(folder: RunFolder) -> Chain | None:
    """Return the chain that is the last submission of a run, None if that is a single job.

    What the queue refused, of a chain too, is no submission.
    """
    chain = Chain.read(folder)
    if chain is None or not chain.numbers:
        return None
    for place in reversed(folder.attempts()):
        if int(place.name) in chain.numbers:
            return chain
        if (place / "job.json").exists() and Job.read(place).state not in ("refused", "not taken"):
            return None
    return None


@contextmanager
def changing(folder: RunFolder) -> Iterator[None]:
    """Let one process at a time change what is remembered of a run's chain."""
    with files.lock(folder.path / ".chain", timeout=60.0):
        yield


def end(folder: RunFolder, decision: Decision) -> Decision:
    """Note how a chain ended, unless that is known already; return what is noted."""
    with changing(folder):
        chain = Chain.read(folder)
        if chain is None:
            return decision
        if chain.over is None:
            replace(chain, over=decision).write(folder)
            return decision
        return chain.over


def begin(place: Path, job_id: str | None) -> None:
    """Note that an attempt begins."""
    files.write_json(place / BEGUN, {"format": 1, "at": moment(), "job": job_id})


def is_ahead(job: Job) -> bool:
    """Tell whether a job was submitted ahead and has not begun."""
    return (job.folder / AHEAD).exists() and not began(job)


def waiting(folder: RunFolder) -> list[Job]:
    """Return the jobs that may still begin, because their chain has not come to its end."""
    chain = Chain.read(folder)
    if chain is None or chain.over:
        return []
    # once an attempt has completed, the others are dropped by the scheduler
    if any(_exit_code(job) == 0 for job in chain.jobs(folder)):
        return []
    return [job for job in chain.jobs(folder) if is_ahead(job)]


def followed(folder: RunFolder, number: int | None) -> tuple[int, ...]:
    """Return the attempts that must have ended before the job of an attempt could begin."""
    chain = Chain.read(folder)
    if chain is None or number not in chain.numbers:
        return ()
    return tuple(each for each in chain.numbers if each < number)


def began(job: Job) -> bool:
    """Tell whether an attempt began, or failed on the way there."""
    if (job.folder / BEGUN).exists():
        return True
    # a job that found its chain at an end leaves a 0, and no more
    return job.exit_file.exists() and _exit_code(job) not in (0, None)


def tried(
    folder: RunFolder, found: Sequence[tuple[Job, JobStatus | None]], now: datetime
) -> list[Tried]:
    """Return what became of attempts that began and have ended, in their order."""
    held = holders(folder.path / "leases")
    begun = [pair for pair in found if began(pair[0])]
    marks = [*(_mark(job) for job, _ in begun), None]
    finished = _pieces(folder)
    told = []
    for place, (job, status) in enumerate(begun):
        number = int(job.folder.name)
        mine = [holder for holder in held if holder.attempt == number]
        first, last = marks[place], marks[place + 1]
        # a script that never entered a run keeps no pieces that could be counted
        gained = None
        if first is not None and mine:
            gained = sum(first <= mark and (last is None or mark < last) for mark in finished)
        code = _exit_code(job)
        if code is None and status is not None:
            code = status.exit_code
        pieces_left = stuck(mine[-1]) if mine else {}
        told.append(
            Tried(
                number=number,
                state=_state(status, code),
                exit_code=code,
                gained=gained,
                core_hours=_core_hours(job, status, [last_sign(h) for h in mine], now),
                stuck=tuple(pieces_left.items()),
            )
        )
    return told


def _pieces(folder: RunFolder) -> list[int]:
    """Return when each finished piece of a run's work was noted, by the clock of its filesystem."""
    paths = (path for kind in PIECES for path in (folder.path / kind).glob("*/*/*"))
    kept = (path for path in paths if path.parent.name not in _OTHERS)
    return [stamp for path in kept if (stamp := _stamp(path)) is not None]


def _mark(job: Job) -> int | None:
    return _stamp(job.folder / BEGUN)


def _stamp(path: Path) -> int | None:
    try:
        return None if path.name.startswith(".") else path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _state(status: JobStatus | None, code: int | None) -> JobState:
    if status is not None and status.state.ended:
        return status.state
    if code is None:
        return JobState.LOST
    return JobState.COMPLETED if code == 0 else JobState.FAILED


def _core_hours(
    job: Job, status: JobStatus | None, signs: Sequence[datetime], now: datetime
) -> float:
    """Return what an attempt used: by its scheduler, else from its first to its last sign."""
    cores = int(job.request.get("cores") or 1) * int(job.request.get("nodes") or 1)
    begun, ended = _moment(_begun(job).get("at")), None
    if job.exit_file.exists():
        ended = datetime.fromtimestamp(job.exit_file.stat().st_mtime, UTC)
    if status is not None:
        begun = status.started or begun
        ended = (status.ended if status.state.ended else None) or ended
    if begun is None:
        return 0.0
    if ended is None:
        limit = begun + timedelta(seconds=float(job.request.get("walltime") or 0))
        ended = max(signs, default=min(now, limit))
    return max(0.0, (ended - begun).total_seconds()) * cores / 3600


def _begun(job: Job) -> dict[str, Any]:
    try:
        return dict(files.read_json(job.folder / BEGUN))
    except (FileNotFoundError, ValueError):
        return {}


def _exit_code(job: Job) -> int | None:
    try:
        return int(job.exit_file.read_text())
    except (OSError, ValueError):
        return None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _file(folder: RunFolder) -> Path:
    return folder.path / "chain.json"
