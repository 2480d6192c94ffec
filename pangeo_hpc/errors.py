"""Every deliberate error, with its exit code and its hint.

A message says where, what, and the next step: lower-case, no full stop, then a hint.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """What a command of pangeo-hpc ends with."""

    DONE = 0
    NO = 1
    USAGE = 2
    SITE = 3
    SCHEDULER = 4
    NOT_ALLOWED = 5
    PARTLY = 6
    RUN_AGAIN = 75
    INTERRUPTED = 130


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in something a person wrote.

    `path` is a dotted key such as ``node_types.dask.walltime`` or the name of an option. Text and
    hint are English; `key` and `hint_key` name them in the catalogue, where they are in it, for
    pages in another language.
    """

    path: str
    text: str
    hint: str | None = None
    file: str | None = None
    line: int | None = None
    key: str = ""
    hint_key: str = ""
    values: Mapping[str, str] = field(default_factory=dict, hash=False)

    def at(self, file: str, line: int | None) -> "Problem":
        """Return the same problem with its place in a file."""
        return replace(self, file=file, line=line)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file and self.line else ""
        if self.file and not self.line:
            place = f"{self.file}: "
        where = f"{self.path}: " if self.path else ""
        hint = f"\nhint: {self.hint}" if self.hint else ""
        return f"{place}{where}{self.text}{hint}"


class PangeoHpcError(Exception):
    """The root of every error this package raises on purpose."""

    exit_code: Exit = Exit.NO

    def __init__(self, text: str, *, hint: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.text}\nhint: {self.hint}" if self.hint else self.text


class _Problems(PangeoHpcError):
    """An error made of one or more problems, all told at once."""

    def __init__(self, problems: Sequence[Problem], *, hint: str | None = None) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems), hint=hint)


class UsageError(PangeoHpcError):
    """A command or a function was called in a way that cannot work."""

    exit_code = Exit.USAGE


class UnknownName(UsageError):
    """A name that the site, or the list of runs, does not know."""


class EntryMissing(UnknownName, KeyError):
    """A catalog has no such entry."""


class RequestRefused(_Problems):
    """A request outside what the site allows; nothing was submitted."""

    exit_code = Exit.USAGE


class SiteError(_Problems):
    """A site YAML that cannot be read or is not valid."""

    exit_code = Exit.SITE


class SiteNotFound(PangeoHpcError):
    """No site YAML where one is needed."""

    exit_code = Exit.SITE


class SchedulerError(PangeoHpcError):
    """The batch system refused, does not answer, or its commands are missing.

    `retry` says whether the same call may succeed later without any change.
    """

    exit_code = Exit.SCHEDULER
    retry = False


class SubmitRefused(SchedulerError):
    """The scheduler refused a job; the text quotes its own words."""


class SubmitUnclear(SchedulerError):
    """The scheduler gave no clear answer, and the job was not found by its name."""

    retry = True


class SchedulerUnreachable(SchedulerError):
    """The scheduler did not answer.

    `unsent` says that the question certainly never reached it, so that nothing came of it.
    """

    retry = True
    unsent = False


class CommandMissing(SchedulerError):
    """A program that we need is not on this machine's PATH."""


class HubUnreachable(PangeoHpcError):
    """The hub of this site does not answer."""

    exit_code = Exit.SCHEDULER


class RunBusy(SchedulerError):
    """Another attempt of the same run is alive, or may be."""

    retry = True


class NotAllowed(PangeoHpcError):
    """Permission, quota, a full disk, or somebody else's file."""

    exit_code = Exit.NOT_ALLOWED


class CredentialsRefused(NotAllowed, PermissionError):
    """An object store does not accept the credentials, or there are none, or they may not do it."""


class StoreUnreachable(PangeoHpcError, OSError):
    """An object store does not answer, or not in time."""

    exit_code = Exit.SCHEDULER
    retry = True


class BucketMissing(UnknownName, OSError):
    """An object store has no such bucket."""


class PartlyDone(PangeoHpcError):
    """Some of the work is done; what remains was printed."""

    exit_code = Exit.PARTLY


class JobFailed(PangeoHpcError):
    """A job ended, and not well."""


class WorkerJobFailed(JobFailed):
    """Dask worker jobs ended before they could work."""


class ClusterTooOld(PangeoHpcError):
    """A Dask cluster whose keys are no longer valid; a new one has new ones."""


class TaskTooLong(PangeoHpcError):
    """A Dask task takes longer than a worker lives."""


class UnitTooLong(PangeoHpcError):
    """A unit of a run's work takes longer than a job has."""


class EnvironmentMismatch(WorkerJobFailed):
    """Dask workers have other packages than their client."""


class MapFailed(PangeoHpcError):
    """Some items of a `run.map` failed; all others are done and kept.

    `failures` tells each of them: `item`, `error`, `traceback`, `tries`.
    """

    def __init__(self, text: str, *, failures: Sequence[Any] = (), hint: str | None = None) -> None:
        super().__init__(text, hint=hint)
        self.failures = tuple(failures)


class StoppedInTime(PangeoHpcError):
    """The work stopped before its walltime and goes on when it is run again."""

    exit_code = Exit.RUN_AGAIN
