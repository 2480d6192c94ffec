"""What the queue remembers: the job as it was asked, and where each element of it stands."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pangeo_hpc.processes import ProcessId
from pangeo_hpc.schedulers.base import JobState

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as it was asked; written once, and never changed.

    `memory` is in bytes, `walltime` in seconds, `submitted` in seconds of the epoch. `output` still
    holds its placeholders. `damage` says why the record could not be read; the rest is then empty.
    """

    number: int
    name: str = ""
    user: str = ""
    cores: int = 1
    memory: int = 0
    walltime: float = 0.0
    output: str = ""
    after: tuple[str, ...] = ()
    after_failure: tuple[str, ...] = ()
    after_end: tuple[str, ...] = ()
    array: int | None = None
    requeue: bool = False
    directory: str = "/"
    home: str = "/"
    path: str = ""
    umask: int = 0o077
    submitted: float = 0.0
    damage: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return what is written to the disk."""
        return {"format": FORMAT} | asdict(self)

    @classmethod
    def from_json(cls, number: int, value: Any) -> "Job":
        """Read a record, or say in `damage` what is wrong with it."""
        try:
            # records of an earlier version do not know of other ends that are waited for
            others = {name: tuple(value.get(name, ())) for name in ("after_failure", "after_end")}
            lists = {"after": tuple(value["after"]), **others}
            job = cls(**_fields(value) | lists)
            _check(
                job.number == number
                and _are(
                    str,
                    job.name,
                    job.user,
                    job.output,
                    job.directory,
                    job.home,
                    job.path,
                    *job.after,
                    *job.after_failure,
                    *job.after_end,
                )
                and _are(int, job.cores, job.memory, job.umask)
                and _are((int, float), job.walltime, job.submitted)
                and (job.array is None or (_are(int, job.array) and job.array > 0))
            )
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            return cls(number=number, damage=f"its record cannot be understood: {error}")
        return job

    @property
    def before(self) -> tuple[str, ...]:
        """Return the ids of all jobs it follows, whatever end it wants of them."""
        return (*self.after, *self.after_failure, *self.after_end)

    def indices(self) -> tuple[int | None, ...]:
        """Return the index of each element; a job without an array has one, None."""
        return (None,) if self.array is None else tuple(range(self.array))


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where one element stands. Times are seconds of the epoch, memory is in bytes.

    UNKNOWN is a record that cannot be read. `supervisor` and `script` are the processes that watch
    over the element and that are the root of its tree; `cores` are the numbers of those it runs on.
    """

    state: JobState = JobState.PENDING
    reason: str = ""
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    memory_used: int | None = None
    restarts: int = 0
    supervisor: ProcessId | None = None
    script: ProcessId | None = None
    cores: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what is written to the disk."""
        return {"format": FORMAT} | asdict(self) | {"state": self.state.name}

    @classmethod
    def from_json(cls, value: Any) -> "Standing":
        """Read a record, or return one that says it cannot be understood."""
        try:
            standing = cls(
                **_fields(value)
                | {"state": JobState[value["state"]]}
                | {name: _identity(value.get(name)) for name in ("supervisor", "script")}
                | {"cores": tuple(value.get("cores", ()))}
            )
            numbers = (standing.started, standing.ended, standing.memory_used, *standing.cores)
            _check(_are((int, float), *(number for number in numbers if number is not None)))
        except (TypeError, ValueError, KeyError, AttributeError):
            return cls(state=JobState.UNKNOWN, reason="its record is damaged")
        return standing

    @property
    def active(self) -> bool:
        """Tell whether a supervisor should be watching over it."""
        return self.state in (JobState.STARTING, JobState.RUNNING, JobState.ENDING)

    def end(self, state: JobState, reason: str, *, now: float | None = None) -> "Standing":
        """Return the same element, ended."""
        return replace(self, state=state, reason=reason, ended=time.time() if now is None else now)


@dataclass(frozen=True)
class Element:
    """A job, or one element of an array, and where it stands."""

    job: Job
    index: int | None = None
    standing: Standing = field(default_factory=Standing)

    @property
    def id(self) -> str:
        """Return the full id: ``17``, or ``17_3`` for an element of an array."""
        return str(self.job.number) if self.index is None else f"{self.job.number}_{self.index}"

    @property
    def order(self) -> tuple[int, int]:
        """Return its place in the queue."""
        return self.job.number, self.index or 0

    @property
    def output(self) -> Path:
        """Return the file that receives what it prints."""
        filled = self.job.output.replace("{id}", str(self.job.number))
        return Path(self.job.directory) / filled.replace("{index}", str(self.index or 0))

    def now(self, standing: Standing) -> "Element":
        """Return the same element, standing elsewhere."""
        return replace(self, standing=standing)


def parse_id(text: str) -> tuple[int, int | None] | None:
    """Return the number and the index that an id names, or None if it is no id of ours."""
    number, mark, index = text.partition("_")
    if not (number.isascii() and number.isdigit() and len(number) < 16):
        return None
    if not mark:
        return int(number), None
    if not (index.isascii() and index.isdigit() and len(index) < 16):
        return None
    return int(number), int(index)


def identity_json(who: ProcessId) -> dict[str, Any]:
    """Return an identity as it is written to the disk."""
    return asdict(who)


def identity_of(value: Any) -> ProcessId:
    """Read an identity. Raise TypeError, KeyError or ValueError if it is none."""
    who = ProcessId(value["host"], value["boot"], value["pid"], value["started"])
    _check(_are(int, who.pid, who.started) and _are(str, who.host, who.boot) and who.pid > 0)
    return who


def _identity(value: Any) -> ProcessId | None:
    return None if value is None else identity_of(value)


def _fields(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record without its format, which is checked."""
    _check(isinstance(value, dict) and value.get("format") == FORMAT)
    return {name: item for name, item in value.items() if name != "format"}


def _are(kind: type | tuple[type, ...], *values: Any) -> bool:
    return all(isinstance(value, kind) and not isinstance(value, bool) for value in values)


def _check(fine: bool) -> None:
    if not fine:
        message = "a value is missing or of the wrong kind"
        raise ValueError(message)
