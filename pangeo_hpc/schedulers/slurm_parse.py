"""What squeue and sacct print about jobs, read into `JobStatus`.

Both are asked for fixed columns between ``|``, which none of them can hold. A job's name is never
among them: its owner can put anything into it, line breaks too, and so write rows about others.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.schedulers.slurm_hosts import expand_ids
from pangeo_hpc.schedulers.slurm_text import (
    ANSWERED,
    NEVER,
    ending,
    hosts,
    memory,
    moment,
    number,
    pair,
    reason_of,
    state_of,
    wait_status,
    walltime,
)

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

Row = Mapping[str, str]


def parse_queue(text: str) -> dict[str, JobStatus]:
    """Return the jobs of squeue's answer by id; lines that are no rows are banners."""
    return {
        job_id: _queued(job_id, row)
        for row in _rows(text, tuple(QUEUE_WIDTHS))
        for job_id in expand_ids(row["JobArrayID"])
    }


def parse_history(text: str) -> dict[str, JobStatus]:
    """Return the jobs of sacct's answer by id, each from its own row and those of its steps.

    Of a job that is there more than once the last row counts.
    """
    jobs: dict[str, tuple[Row, list[Row]]] = {}
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


def _rows(text: str, columns: Sequence[str]) -> Iterator[Row]:
    for line in text.splitlines():
        values = [value.strip() for value in line.split("|")]
        if len(values) >= len(columns) and re.match(r"\d+([_+.]|$)", values[0]):
            yield dict(zip(columns, values, strict=False))


def _queued(job_id: str, row: Row) -> JobStatus:
    state = state_of(row["State"], row["Reason"])
    told = wait_status(row["exit_code"])
    code, signal = ending(state, *told)
    start = moment(row["StartTime"])
    was_cut = len(row["NodeList"]) == QUEUE_WIDTHS["NodeList"]
    return JobStatus(
        id=job_id,
        state=state,
        word=row["State"],
        user=row["UserName"],
        queue=row["Partition"],
        reason=reason_of(state, row["Reason"], told[1]),
        nodes=() if was_cut else hosts(row["NodeList"]),
        exit_code=code,
        signal=signal,
        submitted=moment(row["SubmitTime"]),
        # A job that was cancelled before it began has a start, but no nodes.
        started=start if row["NodeList"] and not state.waiting else None,
        ended=moment(row["EndTime"]) if state.ended else None,
        estimated_start=start if state.waiting else None,
        walltime=walltime(row["TimeLimit"]),
        cores=number(row["NumCPUs"]),
        restarts=number(row["RestartCnt"]) or 0,
    )


def _recorded(job_id: str, row: Row, steps: list[Row]) -> JobStatus:
    state = state_of(row["State"], row["Reason"])
    if state is JobState.FAILED and any(step["State"] == "OUT_OF_MEMORY" for step in steps):
        state = JobState.OUT_OF_MEMORY
    told = pair(row["ExitCode"])
    code, signal = ending(state, *told)
    if state not in ANSWERED and signal is None:
        signal = _signal_of_script(state, steps)
    used = [size for size in (memory(step["MaxRSS"]) for step in (row, *steps)) if size is not None]
    nodes = hosts(row["NodeList"])
    return JobStatus(
        id=job_id,
        state=state,
        word=row["State"],
        user=row["User"],
        queue=row["Partition"],
        reason=reason_of(state, _waited_for(state, row), told[1]),
        nodes=nodes,
        exit_code=code,
        signal=signal,
        submitted=moment(row["Submit"]),
        started=moment(row["Start"]) if nodes and not state.waiting else None,
        ended=moment(row["End"]) if state.ended else None,
        walltime=walltime(row["Timelimit"]),
        memory_used=max(used, default=None),
        cores=number(row["AllocCPUS"]) or None,
    )


def _waited_for(state: JobState, row: Row) -> str:
    """Return why a job waits; sacct never says how one ended, only for what it had to wait.

    A job that nobody cancelled while it waited for others, Slurm did: they did not succeed (22.05;
    a person is named, as in ``CANCELLED by 1001``).
    """
    if row["State"] == "CANCELLED" and row["Reason"] in ("Dependency", NEVER):
        return NEVER
    return "" if state.ended else row["Reason"]


def _signal_of_script(state: JobState, steps: list[Row]) -> int | None:
    """Return the signal that ended a script whose job Slurm ended."""
    for step in steps:
        if step["JobID"].endswith(".batch"):
            return ending(state, *pair(step["ExitCode"]))[1]
    return None
