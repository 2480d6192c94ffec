"""Follow a run's attempt to its end, and tell how it ended."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pangeo_hpc.cli.context import Here
from pangeo_hpc.errors import Exit, UnknownName

if TYPE_CHECKING:
    from pangeo_hpc.jobs import Job
    from pangeo_hpc.schedulers.base import JobStatus
    from pangeo_hpc.workflow.runs import RunFolder


def states(our: Here, jobs: "list[Job]") -> "list[JobStatus]":
    """Return the state of attempts, with one question to each scheduler."""
    from pangeo_hpc.workflow.follow import follow

    return follow(our.site, our.person, jobs, patience=3.0)


def chosen(our: Here, folder: "RunFolder", reference: str = "") -> "Job":
    """Return the attempt a person means: the one of a job id, else the newest that has not ended.

    Where all have ended it is the last. Raise UnknownName if there is none.
    """
    from pangeo_hpc.workflow.follow import standing
    from pangeo_hpc.workflow.runs import same_id

    jobs = folder.jobs()
    if not jobs:
        raise UnknownName(f"run {folder.name} was never submitted", hint="pangeo-hpc submit does")
    jobs = [job for job in jobs if job.id and same_id(job.id, reference)] or jobs
    return again(standing(zip(jobs, states(our, jobs), strict=True))[0])


def again(job: "Job") -> "Job":
    """Return a job as it is remembered now: its id may have been found since."""
    return type(job).read(job.folder)


def watch(our: Here, folder: "RunFolder", job: "Job") -> "JobStatus":
    """Follow an attempt to its end and say each change of state."""
    from pangeo_hpc import jobs as room

    try:
        return room.wait(
            lambda: states(our, [again(job)])[0],
            on_change=lambda status: our.face.say(news(f"run {folder.name}", status)),
        )
    except KeyboardInterrupt:
        our.face.say(f"the job goes on; pangeo-hpc runs wait {folder.name} follows it again")
        raise


def news(what: str, status: "JobStatus") -> str:
    """Return one line on a job: the time, its state, the queue's reason, where and when."""
    parts = [f"{datetime.now(UTC).astimezone():%H:%M:%S} {what}: {status.state}"]
    if status.reason:
        parts.append(f"({status.reason})")
    if status.nodes and not status.state.ended:
        parts.append(f"on {', '.join(status.nodes)}")
    if status.estimated_start and status.state.waiting:
        parts.append(f"expected to start at {status.estimated_start.astimezone():%H:%M}")
    return " ".join(parts)


def tell_end(our: Here, folder: "RunFolder", job: "Job", status: "JobStatus") -> int:
    """Print how an attempt ended and return the exit code; a failure shows its last lines."""
    code = end_code(status)
    if our.face.json:
        from pangeo_hpc.workflow.report.attempt import attempt_of

        our.face.data({"run": folder.name, **attempt_of(again(job), status)})
        return code
    if code == Exit.NO:
        for line in tail(job.output):
            our.face.say(f"  | {line}")
    our.face.out(sentence(f"run {folder.name}", job, status))
    if code == Exit.RUN_AGAIN:
        our.face.say("hint: it stopped in time; submit it again and it goes on")
    elif code and job.output.exists():
        our.face.say(f"hint: pangeo-hpc runs logs {folder.name}")
    return code


def sentence(what: str, job: "Job", status: "JobStatus") -> str:
    """Say in one line how a job ended, and why as far as the scheduler tells."""
    from pangeo_hpc.schedulers.base import JobState
    from pangeo_hpc.units import format_memory, format_walltime

    request = job.request
    words = [str(status.state)]
    if status.state is JobState.OUT_OF_MEMORY and request.get("memory"):
        words.append(f"it had {format_memory(request['memory'])} on each node")
    if status.state is JobState.TIMEOUT and request.get("walltime"):
        words.append(f"it had {format_walltime(timedelta(seconds=request['walltime']))}")
    if status.exit_code is not None:
        words.append(f"exit code {status.exit_code}")
    if status.signal is not None:
        words.append(f"signal {status.signal}")
    if status.reason and status.exit_code in (None, 0):
        words.append(status.reason)
    return f"{what}: {', '.join(words)}"


def tail(path: Path, lines: int = 10, most: int = 4096) -> list[str]:
    """Return the last lines of a file, of at most so many bytes; none if it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return []


def end_code(status: "JobStatus") -> int:
    """Return 0 for success, 75 for a run that stopped in time, else 1."""
    from pangeo_hpc.schedulers.base import JobState

    if status.state is JobState.COMPLETED:
        return Exit.DONE
    return Exit.RUN_AGAIN if status.exit_code == Exit.RUN_AGAIN else Exit.NO
