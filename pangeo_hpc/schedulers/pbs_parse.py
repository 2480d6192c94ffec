"""From a record of qstat to a JobStatus: which state, why, and how it ended.

Observed on OpenPBS 23.06.06. Substates of an ended job: 91 deleted, 92 ended, 93 failed. Only 92
with an Exit_status of 0 is a success: a job whose dependency can never be met is at 92 too,
without an Exit_status, and a queued element that was deleted has 91 with Exit_status 0.
"""

from datetime import datetime

from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.schedulers.pbs_text import (
    Record,
    parse_number,
    parse_period,
    parse_size,
    parse_time,
)

_LIVE = {
    "Q": JobState.PENDING,
    "T": JobState.PENDING,
    "W": JobState.PENDING,
    "H": JobState.HELD,
    "R": JobState.RUNNING,
    "B": JobState.RUNNING,
    "S": JobState.SUSPENDED,
    "U": JobState.SUSPENDED,
    "E": JobState.ENDING,
}
_DEPENDS, _BEING_STARTED, _DELETED, _ENDED = 22, 41, 91, 92

_NO_REASON = ("Job run at", "Job was sent for execution", "Job Array Began")

# Exit_status below 0 is PBS's own verdict, not the script's.
_VERDICTS = {
    -29: (JobState.TIMEOUT, "exceeded its walltime"),
    -28: (JobState.FAILED, "exceeded its CPU time (cput)"),
    -27: (JobState.OUT_OF_MEMORY, "exceeded its memory"),
    -26: (JobState.OUT_OF_MEMORY, "exceeded its virtual memory (vmem)"),
    -25: (JobState.FAILED, "used more CPUs than it asked for"),
    -24: (JobState.FAILED, "used more CPUs than it asked for"),
    -10: (JobState.FAILED, "its user is not known on the node"),
    -2: (JobState.FAILED, "could not start on the node; is the home directory there?"),
}


def job_status(job_id: str, record: Record, array: Record | None = None) -> JobStatus:
    """Return what a record says. `array` is the record of the whole array, for an element of it."""
    nodes = hosts(record.get("exec_host", ""))
    code = parse_number(record.get("Exit_status", ""))
    state, reason = _state(record, code, bool(nodes))
    if state is JobState.PENDING and array is not None and array.get("job_state") == "H":
        # The elements of a held array are shown as queued.
        state, reason = JobState.HELD, _held(array)
    exit_code, signal = _end(code) if nodes else (None, None)
    runs = parse_number(record.get("run_count", "")) or 0
    begun = bool(nodes) and not state.waiting and state is not JobState.STARTING
    return JobStatus(
        id=job_id,
        state=state,
        word=record.get("job_state", ""),
        name=record.get("Job_Name", ""),
        user=record.get("Job_Owner", "").partition("@")[0],
        queue=record.get("queue", ""),
        reason=reason,
        nodes=nodes,
        exit_code=exit_code if state.ended else None,
        signal=signal if state.ended else None,
        submitted=parse_time(record.get("ctime", "")),
        started=parse_time(record.get("stime", "")) if begun else None,
        # obittime is also kept of an earlier run of a job that was run again.
        ended=_ended(record) if state.ended else None,
        estimated_start=(
            parse_time(record.get("estimated.start_time", "")) if state.waiting else None
        ),
        walltime=parse_period(record.get("Resource_List.walltime", "")),
        memory_used=parse_size(record.get("resources_used.mem", "")),
        cores=parse_number(record.get("Resource_List.ncpus", "")),
        restarts=max(runs - 1, 0),
    )


def hosts(exec_host: str) -> tuple[str, ...]:
    """Return each host of ``cpu01/0*2+cpu02.site.org/0*0`` once, the script's own first."""
    names = (part.partition("/")[0] for part in exec_host.split("+"))
    return tuple(dict.fromkeys(name for name in names if name))


def _state(record: Record, code: int | None, ran: bool) -> tuple[JobState, str]:
    word = record.get("job_state", "")
    comment = record.get("comment", "").strip()
    if word in ("F", "X"):
        return _final(record, code, ran, comment)
    state = _LIVE.get(word, JobState.UNKNOWN)
    if state is JobState.RUNNING:
        if " and terminated" in comment:
            # SIGTERM was sent; it stays R until it is gone, kill_delay later at the most.
            return JobState.ENDING, _last_words(comment)
        if record.get("substate") == str(_BEING_STARTED):
            return JobState.STARTING, ""
        return state, ""
    if state is JobState.HELD:
        return state, _held(record)
    if word == "W" and not comment:
        when = parse_time(record.get("Execution_Time", ""))
        return state, f"waits until {when:%Y-%m-%d %H:%M} UTC" if when else "waits for its time"
    if word == "M":
        return state, comment or "moved to another server"
    # The comment is the only reason for Q: "Not Running: …", or "Can Never Run: …".
    return state, "" if comment.startswith(_NO_REASON) else comment


def _held(record: Record) -> str:
    comment = record.get("comment", "").strip()
    if record.get("substate") == str(_DEPENDS):
        return f"waits for {record.get('depend', 'another job')}"
    if comment.startswith(("Job held", "Can Never Run")):
        return comment
    by = {"u": "its owner", "o": "an operator", "s": "the system"}
    return f"held by {by.get(record.get('Hold_Types', '')[:1], 'somebody')}"


def _final(record: Record, code: int | None, ran: bool, comment: str) -> tuple[JobState, str]:
    substate = parse_number(record.get("substate", ""))
    last = _last_words(comment)
    if code is not None and code in _VERDICTS:
        return _VERDICTS[code]
    if substate == _DELETED:
        return JobState.CANCELLED, last if ran else f"{last or 'deleted'} before it started"
    if code is None and substate == _ENDED:
        wish = record.get("depend", "")
        return JobState.CANCELLED, f"its dependency can never be met: {wish or 'unknown'}"
    if code is None:
        return JobState.LOST, last or "PBS does not say how it ended"
    if code < 0:
        return JobState.FAILED, f"PBS could not run it (Exit_status {code})"
    if code == 0 and substate == _ENDED:
        return JobState.COMPLETED, ""
    return JobState.FAILED, "" if last in ("failed", "finished") else last


def _last_words(comment: str) -> str:
    """Return ``terminated by alice@login`` from ``Job run at … and terminated by alice@login``."""
    return comment.rpartition(" and ")[2] if " and " in comment else ""


def _end(code: int | None) -> tuple[int | None, int | None]:
    """Return exit code and signal. A kill is 128 or 256 above its signal, both were seen."""
    if code is None or code < 0:
        return None, None
    if code > 256:
        return None, code - 256
    if 128 < code <= 128 + 64:
        return None, code - 128
    return code, None


def _ended(record: Record) -> datetime | None:
    """Return when it ended; a job that never ran has only the time it went to history."""
    return parse_time(record.get("obittime", "")) or parse_time(record.get("history_timestamp", ""))
