"""One attempt in numbers: how long it waited and ran, what it cost, and why it ended."""

import signal
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pangeo_hpc.errors import Exit
from pangeo_hpc.jobs import Job
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.units import format_memory, format_walltime
from pangeo_hpc.workflow.notebooks.notebook import executed
from pangeo_hpc.workflow.provenance import record as provenance


def attempt_of(job: Job, status: JobStatus, *, now: datetime | None = None) -> dict[str, Any]:
    """Return what is told of one attempt; memory is in bytes, times are in UTC."""
    moment = now or datetime.now(UTC)
    began, ended, wait = times(job, status, moment)
    memory = _memory(job, status)
    notebook = executed(job.folder)
    return {
        "job": job.id,
        "name": job.name,
        "state": str(status.state),
        "reason": status.reason,
        "why": why(job, status),
        "exit_code": status.exit_code,
        "signal": status.signal,
        "nodes": list(status.nodes),
        "node_type": job.request.get("node_type"),
        "queue": status.queue,
        "cores": job.request.get("cores"),
        "memory": job.request.get("memory"),
        "memory_used": status.memory_used,
        "memory_peak": memory,
        "submitted": _iso(status.submitted) or job.submitted,
        "estimated_start": _iso(status.estimated_start),
        "started": _iso(status.started),
        "ended": _iso(status.ended),
        "queue_wait_seconds": wait,
        "elapsed_seconds": _seconds(began, ended),
        "core_hours": core_hours(job, status, now=moment),
        "attempt": number_of(job.folder),
        "output": str(job.output),
        "notebook": None if notebook is None else str(notebook),
    }


def number_of(folder: Path) -> int | None:
    """Return the number of the attempt that a folder keeps."""
    return int(folder.name) if folder.name.isdigit() else None


def times(
    job: Job, status: JobStatus, now: datetime
) -> tuple[datetime | None, datetime | None, float | None]:
    """Return when an attempt began and ended (or now), and its wait in the queue in seconds.

    An attempt inside somebody's job is shorter than the job: its own record tells.
    """
    began, ended = status.started, status.ended
    if job.within:
        record = provenance.read(job.folder) or {}
        began = _parsed(record.get("began")) or _parsed(job.submitted) or began
        ended = _parsed(record.get("ended")) or ended
    if ended is None and status.state.ended:
        # nobody told when it was lost: its last sign of life is what there is
        ended = _parsed((provenance.read(job.folder) or {}).get("updated")) or began
    if job.within:
        return began, ended or now, None
    submitted = status.submitted or _parsed(job.submitted)
    until = status.started or (now if status.state.waiting else None)
    wait = max(0.0, (until - submitted).total_seconds()) if until and submitted else None
    return began, (ended or now) if began else None, wait


def core_hours(job: Job, status: JobStatus, *, now: datetime) -> dict[str, float | None]:
    """Return the core-hours an attempt was given and what was done with them.

    `requested` counts what the scheduler counts: all cores of its job, and of its workers' jobs,
    from start to end; None where no job was. `busy` made something, `lost` was broken off.
    """
    began, ended, _ = times(job, status, now)
    requested: float | None = None
    if job.id is not None:
        held = _seconds(began, ended) or 0.0
        asked = int(job.request.get("nodes") or 1) * int(job.request.get("cores") or 1)
        requested = (status.cores or asked) * held / 3600
    busy = lost = 0.0
    for place in provenance.starts(job.folder):
        cluster = provenance.read(place, provenance.CLUSTER)
        if cluster is None:
            record = provenance.read(place) or {}
            busy += float(record.get("cpu_seconds") or 0.0) / 3600
            continue
        given, made, broken = _of_workers(cluster, job.id)
        busy, lost = busy + made, lost + broken
        if given is not None:
            requested = (requested or 0.0) + given
    idle = None if requested is None else max(0.0, requested - busy - lost)
    return {"requested": requested, "busy": busy, "idle": idle, "lost": lost}


def _of_workers(cluster: Mapping[str, Any], own: str | None) -> tuple[float | None, float, float]:
    """Return core-hours of workers: those of jobs of their own, or outside any job; busy; lost."""
    try:
        total = cluster["total"]["core_hours"]
        rows = cluster["jobs"]
        given = [row["core_hours"]["requested"] for row in rows if row["job"] not in ("", own)]
        if own is None and not given:
            given = [total["requested"]]
        return (sum(given) if given else None), float(total["busy"]), float(total["lost"])
    except (KeyError, TypeError):
        return None, 0.0, 0.0


def why(job: Job, status: JobStatus) -> str:
    """Say in one line how an attempt ended, and why as far as anybody tells; empty if it lives."""
    if not status.state.ended:
        return ""
    request, record = job.request, provenance.read(job.folder) or {}
    told = record.get("why") or {}
    words = [str(status.state)]
    if status.exit_code == Exit.RUN_AGAIN:
        words = ["stopped in time"]
    if status.state is JobState.OUT_OF_MEMORY and request.get("memory"):
        words.append(f"it had {format_memory(request['memory'])} on each node")
    if status.state is JobState.TIMEOUT and request.get("walltime"):
        words.append(f"it had {format_walltime(timedelta(seconds=request['walltime']))}")
    if status.exit_code not in (None, 0):
        words.append(_code(status.exit_code))
    if status.signal is not None:
        words.append(f"signal {status.signal}")
    if status.reason and status.exit_code in (None, 0):
        words.append(status.reason)
    text = ", ".join(words)
    if told.get("error") and told["error"] != "SystemExit":
        text += f": {told['error']}: {told.get('words') or 'no message'}"
    return text


def _code(code: int) -> str:
    """Return an exit code in words; beyond 128 a shell tells of the signal that ended its child."""
    try:
        name = signal.Signals(code - 128).name if code > 128 else ""
    except ValueError:
        name = ""
    return f"exit code {code}" + (f" ({name})" if name else "")


def _memory(job: Job, status: JobStatus) -> int | None:
    """Return the most memory a node of it had in use, as the scheduler or the script tells."""
    records = (provenance.read(place) or {} for place in provenance.starts(job.folder))
    known = [int(each["memory_peak"]) for each in records if each.get("memory_peak")]
    return max([*known, *([status.memory_used] if status.memory_used else [])], default=None)


def _seconds(began: datetime | None, ended: datetime | None) -> float | None:
    return max(0.0, (ended - began).total_seconds()) if began and ended else None


def _parsed(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None


def _iso(value: datetime | None) -> str | None:
    return value.isoformat(timespec="seconds") if value else None
