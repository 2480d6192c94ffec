"""Submit a job once, whatever happens in between."""

import secrets
import time
from dataclasses import replace
from datetime import UTC, datetime
from getpass import getuser
from pathlib import Path
from typing import Any

from pangeo_hpc import files
from pangeo_hpc.errors import (
    CommandMissing,
    NotAllowed,
    SchedulerUnreachable,
    SubmitRefused,
    SubmitUnclear,
)
from pangeo_hpc.jobs.record import Job
from pangeo_hpc.run import Runner, converse, run
from pangeo_hpc.schedulers.base import JobRequest, Scheduler
from pangeo_hpc.schedulers.script import render

# Seconds in which a scheduler that hung may still take what it was sent (seen on Slurm 22.05).
_ON_ITS_WAY, _YOUNG = 5.0, 60.0
_NONCE = "23456789abcdefghjkmnpqrstuvwxyz"


def with_nonce(name: str, letters: int = 4) -> str:
    """Return a job name by which this one submission can be found again: ``ndvi-x7k2``."""
    return f"{name}-{''.join(secrets.choice(_NONCE) for _ in range(letters))}"


def submit(
    scheduler: Scheduler, request: JobRequest, folder: Path, *, user: str = "", runner: Runner = run
) -> Job:
    """Submit a job once, and remember it in a folder before and after.

    After an unclear answer the job is looked up by its name; it is never submitted twice. Raise
    SubmitRefused with the scheduler's words, or SubmitUnclear if nobody can say.
    """
    files.make_directory(folder)
    for index in range(request.array or 0):
        # no batch system makes the directory of an output
        (folder / str(index)).mkdir(mode=0o700, exist_ok=True)
    job = Job(
        name=request.name,
        folder=folder,
        request=_summary(request),
        submitted=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    script = folder / "job.sh"
    files.write_atomic(script, render(scheduler.directives(request), request), mode=0o700)
    job.write()
    try:
        job = replace(job, id=converse(scheduler.submit(script, request), runner), state="taken")
    except SubmitRefused:
        replace(job, state="refused").write()
        raise
    except (CommandMissing, NotAllowed):
        replace(job, state="not taken").write()
        raise
    except SchedulerUnreachable as error:
        if error.unsent:
            replace(job, state="not taken").write()
            raise
        found = recover(scheduler, job, user=user, runner=runner)
        if found.id is None and found.state != "ended":
            raise _unclear(found, error) from error
        return found
    job.write()
    return job


def recover(
    scheduler: Scheduler, job: Job, *, user: str = "", runner: Runner = run, patience: float = 20.0
) -> Job:
    """Find out what became of a submission that never got its answer, and remember it.

    The scheduler is asked by the job's name until it answers, for `patience` seconds. A job it
    has, is adopted; one it answers not to have, twice, was not taken. A young submission may still
    be on its way in a scheduler that has just come to itself, so it is given some seconds more.
    """
    if job.id is not None or job.state != "submitting":
        return job
    user = user or getuser()
    begun, pause, denied = time.monotonic(), 0.5, 0
    on_its_way = _ON_ITS_WAY if _age(job) < _YOUNG else 0.0
    while True:
        try:
            found = converse(scheduler.find(job.name, user), runner)
        except SchedulerUnreachable:
            found = None
        if found:
            job = replace(job, id=found[0], state="taken")
            job.write()
            return job
        denied += found is not None
        waited = time.monotonic() - begun
        if denied >= 2 and waited >= on_its_way:
            # a scheduler without history does not know a job that has ended, but the job does
            job = replace(job, state="ended" if _has_ended(job) else "not taken")
            job.write()
            return job
        if waited > patience:
            return job
        time.sleep(pause)
        pause = min(pause * 2, 5.0)


def _has_ended(job: Job) -> bool:
    """Tell whether a job, or an element of it, wrote down its end."""
    return job.exit_file.exists() or (
        job.array is not None and any(job.folder.glob(f"*/{job.exit_file.name}"))
    )


def _age(job: Job) -> float:
    """Return the seconds since a job was handed to the scheduler."""
    return (datetime.now(UTC) - datetime.fromisoformat(job.submitted)).total_seconds()


def _unclear(job: Job, error: SchedulerUnreachable) -> SubmitUnclear:
    if job.state == "not taken":
        text = f"{job.name} was not taken: {error.text}"
        return SubmitUnclear(text, hint="nothing was submitted; run the same command again")
    text = f"it is not clear whether {job.name} was submitted: {error.text}"
    return SubmitUnclear(
        text, hint="`pangeo-hpc runs list` looks for it once the scheduler answers"
    )


def _summary(request: JobRequest) -> dict[str, Any]:
    return {
        "scheduler": request.scheduler,
        "node_type": request.node_type,
        "queue": request.queue,
        "account": request.account,
        "nodes": request.nodes,
        "cores": request.cores,
        "memory": request.memory,
        "gpus": request.gpus,
        "walltime": request.walltime.total_seconds(),
        "array": request.array,
        "after": list(request.after),
    }
