"""Single values that Slurm prints, read into ours: states, times, sizes, exit statuses."""

import re
from datetime import UTC, datetime, timedelta

from pangeo_hpc.schedulers.base import JobState
from pangeo_hpc.schedulers.slurm_hosts import expand_hosts

STATES = {
    "PENDING": JobState.PENDING,
    "REQUEUED": JobState.PENDING,
    "REQUEUE_FED": JobState.PENDING,
    "EXPEDITING": JobState.PENDING,
    "REQUEUE_HOLD": JobState.HELD,
    "RESV_DEL_HOLD": JobState.HELD,
    "SPECIAL_EXIT": JobState.HELD,
    "CONFIGURING": JobState.STARTING,
    "POWER_UP_NODE": JobState.STARTING,
    "RUNNING": JobState.RUNNING,
    "RESIZING": JobState.RUNNING,
    "SIGNALING": JobState.RUNNING,
    "SUSPENDED": JobState.SUSPENDED,
    "STOPPED": JobState.SUSPENDED,
    "COMPLETING": JobState.ENDING,
    "STAGE_OUT": JobState.ENDING,
    "UPDATE_DB": JobState.ENDING,
    "COMPLETED": JobState.COMPLETED,
    "FAILED": JobState.FAILED,
    "CANCELLED": JobState.CANCELLED,
    "DEADLINE": JobState.CANCELLED,
    "REVOKED": JobState.CANCELLED,
    "TIMEOUT": JobState.TIMEOUT,
    "OUT_OF_MEMORY": JobState.OUT_OF_MEMORY,
    "NODE_FAIL": JobState.NODE_FAIL,
    "BOOT_FAIL": JobState.NODE_FAIL,
    "LAUNCH_FAILED": JobState.NODE_FAIL,
    "RECONFIG_FAIL": JobState.NODE_FAIL,
    "PREEMPTED": JobState.PREEMPTED,
}
# States in which the exit code can be the script's own.
ANSWERED = (JobState.COMPLETED, JobState.FAILED, JobState.OUT_OF_MEMORY)

_CLOCK = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)([KMGTP]?)")
# What Slurm writes in place of a signal: killed for its memory; its output could not be opened.
_MEMORY_KILL, _NO_OUTPUT = 125, 53


def state_of(word: str, reason: str = "") -> JobState:
    """Return what a word of Slurm's means; ``CANCELLED by 1001`` names who did it.

    A held job is PENDING, for the reason JobHeldUser, JobHeldAdmin, or in words such as
    ``job requeued in held state``.
    """
    state = STATES.get(word.partition(" ")[0], JobState.UNKNOWN)
    held = state is JobState.PENDING and "held" in reason.lower()
    return JobState.HELD if held else state


def moment(text: str) -> datetime | None:
    """Return a time that was asked for in seconds since 1970; None for Unknown, N/A and None."""
    return datetime.fromtimestamp(int(text), UTC) if text.isdecimal() and int(text) else None


def walltime(text: str) -> timedelta | None:
    """Return the time of ``1-02:00:00`` or ``10:00``; None for UNLIMITED and the like."""
    match = _CLOCK.fullmatch(text)
    if not match:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def memory(text: str) -> int | None:
    """Return bytes from ``109617152`` or ``107048K``; None where nothing was measured."""
    match = _MEMORY.fullmatch(text)
    if not match:
        return None
    return int(float(match[1]) * 1024 ** " KMGTP".index(match[2] or " "))


def number(text: str) -> int | None:
    """Return a whole number, None for anything else."""
    return int(text) if text.isdecimal() else None


def hosts(text: str) -> tuple[str, ...]:
    """Return the hosts of a list, none for ``None assigned`` and for what cannot be read."""
    if text == "None assigned":
        return ()
    try:
        return expand_hosts(text)
    except ValueError:
        return ()


def pair(text: str) -> tuple[int, int]:
    """Return code and signal of sacct's ``3:0``.

    slurmdbd takes 128 away from exit codes above it: ``exit 137`` is told as ``9:0``.
    """
    match = re.fullmatch(r"(\d+):(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def wait_status(text: str) -> tuple[int, int]:
    """Return code and signal of squeue's ``768``, the bits that wait(2) gives."""
    status = number(text) or 0
    return status >> 8 & 0xFF, status & 0x7F


def ending(state: JobState, code: int, signal: int) -> tuple[int | None, int | None]:
    """Return exit code and signal as far as they are the script's own."""
    if not state.ended or signal in (_MEMORY_KILL, _NO_OUTPUT):
        return None, None
    if signal:
        return None, signal
    told = state is JobState.COMPLETED or (state in ANSWERED and code > 0)
    return (code if told else None), None


# Of a job whose dependency cannot be met any more: it waits with this reason, or is cancelled.
NEVER = "DependencyNeverSatisfied"


def reason_of(state: JobState, text: str, signal: int) -> str:
    """Return why a job waits or how it ended.

    A cancelled job keeps why it waited, which tells nothing, unless that is why Slurm cancelled it.
    """
    if state is JobState.FAILED and signal == _NO_OUTPUT:
        return "its output file could not be opened"
    if state is JobState.CANCELLED and text != NEVER:
        return ""
    return "" if text == "None" else text


def is_whole(text: str) -> bool:
    """Tell whether an answer ends where a line ends, so that nothing of it is missing."""
    return not text or text.endswith("\n")
