"""What squeue and sacct print about jobs, read into `JobStatus`.

Both are asked for fixed columns between ``|``, which none of them can hold. A job's name is never
among them: its owner can put anything into it, line breaks too, and so write rows about others.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.schedulers.slurm_hosts import expand_hosts, expand_ids

# squeue cuts every value of -O at its width, so each is wide enough.
QUEUE_WIDTHS = {
    "JobArrayID": 64,
    "State": 32,
    "exit_code": 12,
    "RestartCnt": 12,
    "UserName": 64,
    "Partition": 128,
    "NumCPUs": 16,
    "SubmitTime": 24,
    "StartTime": 24,
    "EndTime": 24,
    "TimeLimit": 24,
    "NodeList": 500,
    "Reason": 200,
}
QUEUE_FORMAT = ",".join(f"{name}:{width}|" for name, width in QUEUE_WIDTHS.items())
HISTORY_COLUMNS = (
    "JobID",
    "State",
    "ExitCode",
    "User",
    "Partition",
    "AllocCPUS",
    "Submit",
    "Start",
    "End",
    "Timelimit",
    "MaxRSS",
    "NodeList",
    "Reason",
)

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
_ANSWERED = (JobState.COMPLETED, JobState.FAILED, JobState.OUT_OF_MEMORY)
_CLOCK = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)([KMGTP]?)")
_OUR_ID = re.compile(r"\d+(_\d+)?")
# What Slurm writes in place of a signal: killed for its memory; its files could not be opened.
_NO_SIGNAL = (125, 53)


def is_id(text: str) -> bool:
    """Tell whether this can be the id of a job or of an array's element."""
    return text.isascii() and _OUR_ID.fullmatch(text) is not None


def array_of(job_id: str) -> str:
    """Return the id of the array that an element belongs to; a job's own if it is none."""
    return re.split(r"[_+]", job_id)[0]


def state_of(word: str, reason: str = "") -> JobState:
    """Return what a word of Slurm's means; ``CANCELLED by 1001`` names who did it."""
    state = STATES.get(word.partition(" ")[0], JobState.UNKNOWN)
    # JobHeldUser, JobHeldAdmin, launch failed requeued held
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


def parse_queue(text: str) -> dict[str, JobStatus]:
    """Return the jobs of squeue's answer by id; lines that are no rows are banners."""
    return {
        job_id: _queued(job_id, row)
        for row in _rows(text, tuple(QUEUE_WIDTHS))
        for job_id in expand_ids(row["JobArrayID"])
    }


def parse_history(text: str) -> dict[str, JobStatus]:
    """Return the jobs of sacct's answer by id, each from its own row and those of its steps.

    A job that was requeued may be there more than once: the last one counts.
    """
    jobs: dict[str, tuple[Mapping[str, str], list[Mapping[str, str]]]] = {}
    for row in _rows(text, HISTORY_COLUMNS):
        job_id, _, step = row["JobID"].partition(".")
        if not step:
            jobs[job_id] = (row, [])
        elif job_id in jobs:
            jobs[job_id][1].append(row)
    return {
        job_id: _recorded(job_id, row, steps)
        for listed, (row, steps) in jobs.items()
        for job_id in expand_ids(listed)
    }


def is_whole(text: str) -> bool:
    """Tell whether an answer ends where a line ends, so that nothing of it is missing."""
    return not text or text.endswith("\n")


def _rows(text: str, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    for line in text.splitlines():
        values = [value.strip() for value in line.split("|")]
        if len(values) >= len(columns) and re.match(r"\d+([_+.]|$)", values[0]):
            yield dict(zip(columns, values, strict=False))


def _queued(job_id: str, row: Mapping[str, str]) -> JobStatus:
    state = state_of(row["State"], row["Reason"])
    number = int(row["exit_code"]) if row["exit_code"].isdecimal() else 0
    code, signal = _ending(state, number >> 8 & 0xFF, number & 0x7F)
    start = moment(row["StartTime"])
    nodes = row["NodeList"] if len(row["NodeList"]) < QUEUE_WIDTHS["NodeList"] else ""
    return JobStatus(
        id=job_id,
        state=state,
        word=row["State"],
        user=row["UserName"],
        queue=row["Partition"],
        # Cancelled jobs keep the reason for which they waited.
        reason="" if state is JobState.CANCELLED else _reason(row["Reason"]),
        nodes=_hosts(nodes),
        exit_code=code,
        signal=signal,
        submitted=moment(row["SubmitTime"]),
        started=start if row["NodeList"] and not state.waiting else None,
        ended=moment(row["EndTime"]) if state.ended else None,
        estimated_start=start if state.waiting else None,
        walltime=walltime(row["TimeLimit"]),
        cores=_number(row["NumCPUs"]),
        restarts=_number(row["RestartCnt"]) or 0,
    )


def _recorded(job_id: str, row: Mapping[str, str], steps: list[Mapping[str, str]]) -> JobStatus:
    state = state_of(row["State"], row["Reason"])
    if state is JobState.FAILED and any(step["State"] == "OUT_OF_MEMORY" for step in steps):
        state = JobState.OUT_OF_MEMORY
    code, signal = _ending(state, *_pair(row["ExitCode"]))
    if state.ended and state not in _ANSWERED and signal is None:
        batch = [step for step in steps if step["JobID"].endswith(".batch")]
        signal = _ending(state, *_pair(batch[-1]["ExitCode"]))[1] if batch else None
    used = [size for size in (memory(step["MaxRSS"]) for step in (row, *steps)) if size is not None]
    return JobStatus(
        id=job_id,
        state=state,
        word=row["State"],
        user=row["User"],
        queue=row["Partition"],
        # sacct knows only for what a job waited.
        reason="" if state.ended else _reason(row["Reason"]),
        nodes=_hosts(row["NodeList"]),
        exit_code=code,
        signal=signal,
        submitted=moment(row["Submit"]),
        started=None if state.waiting else moment(row["Start"]),
        ended=moment(row["End"]) if state.ended else None,
        walltime=walltime(row["Timelimit"]),
        memory_used=max(used, default=None),
        cores=_number(row["AllocCPUS"]) or None,
    )


def _ending(state: JobState, code: int, signal: int) -> tuple[int | None, int | None]:
    """Return exit code and signal as far as they are the script's own."""
    if not state.ended or signal in _NO_SIGNAL:
        return None, None
    if signal:
        return None, signal
    told = state is JobState.COMPLETED or (state in _ANSWERED and code > 0)
    return (code if told else None), None


def _pair(text: str) -> tuple[int, int]:
    """Return code and signal of ``3:0``.

    slurmdbd takes 128 away from exit codes above it: ``exit 137`` is told as ``9:0``.
    """
    match = re.fullmatch(r"(\d+):(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _hosts(text: str) -> tuple[str, ...]:
    """Return the hosts, none for ``None assigned`` and what cannot be read."""
    if text == "None assigned":
        return ()
    try:
        return expand_hosts(text)
    except ValueError:
        return ()


def _reason(text: str) -> str:
    return "" if text == "None" else text


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
