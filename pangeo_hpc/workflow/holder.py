"""Who holds a run: a process, known by host, boot, pid and start time, and the job it is in."""

import json
import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from pangeo_hpc.allocation import Allocation
from pangeo_hpc.processes import boot_id, start_ticks
from pangeo_hpc.schedulers.base import JobState


@dataclass(frozen=True, kw_only=True)
class Holder:
    """One attempt to hold a run; `number` is its fencing token, higher ones come later.

    `pid_space` tells containers on one machine apart; `process_started` is in clock ticks since
    boot. A holder with `released_at` has ended. `ends` is when its job ends, and `at_work` are the
    pieces it was computing at its last sign of life, with when it began them. `follows` are the
    attempts whose jobs had ended before its own began, as the scheduler had promised.
    """

    number: int
    token: str
    host: str
    boot_id: str
    pid_space: str
    pid: int
    process_started: int
    job_id: str | None = None
    scheduler: str | None = None
    restarts: int = 0
    attempt: int | None = None
    taken_at: str
    renewed_at: str
    released_at: str | None = None
    ends: str | None = None
    follows: Sequence[int] = ()
    at_work: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        process = f"process {self.pid} on {self.host}"
        return f"job {self.job_id} ({process})" if self.job_id else process

    def dump(self) -> str:
        """Return the holder as JSON."""
        return json.dumps({"format": 1, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def load(cls, text: str) -> "Holder":
        """Return the holder a file tells of. Raise ValueError if it does not tell of one."""
        kept: dict[str, Any] = json.loads(text)
        names = {each.name for each in fields(cls)}
        try:
            return cls(**{key: value for key, value in kept.items() if key in names})
        except (TypeError, AttributeError) as error:
            raise ValueError(str(error)) from error


class Verdict(Enum):
    """What is known of a holder's life."""

    GONE = "gone"
    ALIVE = "alive"
    UNKNOWN = "unknown"


Ask = Callable[[Holder], JobState | None]


def myself(
    inside: Allocation | None,
    attempt: int | None,
    ends: datetime | None = None,
    follows: Sequence[int] = (),
) -> Holder:
    """Return the holder that this process would be; `number` is not claimed yet."""
    pid, now = os.getpid(), moment()
    return Holder(
        number=0,
        token=secrets.token_hex(8),
        host=socket.gethostname(),
        boot_id=boot_id(),
        pid_space=str(Path("/proc/self/ns/pid").readlink()),
        pid=pid,
        process_started=start_ticks(pid) or 0,
        job_id=inside.job_id if inside else None,
        scheduler=inside.scheduler if inside else None,
        restarts=inside.facts.restarts if inside else 0,
        attempt=attempt,
        ends=ends.isoformat(timespec="seconds") if ends else None,
        follows=list(follows),
        taken_at=now,
        renewed_at=now,
    )


def judge(holder: Holder, me: Holder, ask: Ask) -> Verdict:
    """Tell whether a holder is provably gone, provably alive, or neither.

    `ask` tells the state of the holder's job, None if nobody can say. A requeued job has the id of
    its earlier attempt, which may still live (slurmstepd outlives a killed slurmd): the later one
    takes over, and the earlier one finds that out before it writes again. So it does from an
    attempt that its own job was to follow.
    """
    if holder.released_at or (holder.attempt is not None and holder.attempt in me.follows):
        return Verdict.GONE
    same_job = me.job_id is not None and (holder.job_id, holder.scheduler) == (
        me.job_id,
        me.scheduler,
    )
    if same_job and me.restarts > holder.restarts:
        return Verdict.GONE
    if holder.host == me.host and holder.boot_id != me.boot_id:
        return Verdict.GONE
    if holder.boot_id == me.boot_id and holder.pid_space == me.pid_space:
        alive = start_ticks(holder.pid) == holder.process_started
        return Verdict.ALIVE if alive else Verdict.GONE
    if holder.job_id is None or same_job:
        return Verdict.UNKNOWN
    state = ask(holder)
    if state is None:
        return Verdict.UNKNOWN
    return Verdict.GONE if state.ended else Verdict.ALIVE


def moment() -> str:
    """Return the time as it is written into files."""
    return datetime.now(UTC).isoformat(timespec="seconds")
