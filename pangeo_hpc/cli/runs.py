"""`runs`: what was submitted, how far it is, and how it ended."""

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pangeo_hpc.cli.context import Here, here
from pangeo_hpc.cli.output import json_option
from pangeo_hpc.errors import Exit, SchedulerError, UnknownName

if TYPE_CHECKING:
    from pangeo_hpc.jobs import Job
    from pangeo_hpc.schedulers.base import JobStatus
    from pangeo_hpc.workflow.runs import RunFolder


@click.group()
def runs() -> None:
    """See, follow and cancel what was submitted. RUN is a run's name or a job id."""


@runs.command("list")
@json_option
@click.pass_context
def list_(context: click.Context) -> None:
    """List your runs on this site with the state of their last attempt."""
    from pangeo_hpc.workflow import runs as folders

    our = here(context)
    found = folders.all_runs(our.site, our.person)
    last = [(folder, folder.jobs()) for folder in found]
    with_jobs = [(folder, jobs[-1]) for folder, jobs in last if jobs]
    states = _states(our, [job for _, job in with_jobs])
    rows = [
        _row(folder, job, status) for (folder, job), status in zip(with_jobs, states, strict=True)
    ]
    if our.face.json:
        our.face.data({"runs": rows})
        return
    if not rows:
        our.face.say(f"no runs on site {our.site.name} yet; pangeo-hpc submit SCRIPT.py makes one")
        return
    columns = ("run", "state", "job", "node type", "done", "submitted", "reason")
    our.face.table(columns, [[row[c.replace(" ", "_")] for c in columns] for row in rows])


def _states(our: Here, jobs: "list[Job]") -> "list[JobStatus]":
    from pangeo_hpc.workflow.follow import follow

    return follow(our.site, our.person, jobs, patience=3.0)


def _row(folder: "RunFolder", job: "Job", status: "JobStatus") -> dict[str, Any]:
    progress = folder.progress
    return {
        "run": folder.name,
        "state": str(status.state),
        "job": job.id or status.id or None,
        "node_type": job.request.get("node_type"),
        "done": f"{progress['done']}/{progress['total']}" if progress else None,
        "submitted": job.submitted,
        "reason": status.reason or None,
    }


@runs.command()
@click.argument("run")
@json_option
@click.pass_context
def show(context: click.Context, run: str) -> None:
    """Show one run: its script, its attempts, why they ended, and where its files are."""
    from pangeo_hpc.workflow import launch

    our = here(context)
    folder = _find(our, run)
    states = _states(our, folder.jobs())
    jobs = folder.jobs()
    record = folder.record
    if our.face.json:
        attempts = [_attempt(job, s) for job, s in zip(jobs, states, strict=True)]
        our.face.data(
            {
                **record,
                "folder": str(folder.path),
                "progress": folder.progress,
                "attempts": attempts,
                "outputs": _outputs(folder),
            }
        )
        return
    our.face.out(f"run        {folder.name}")
    our.face.out(f"script     {launch.command_line(record)}")
    our.face.out(f"folder     {folder.path}")
    if folder.progress:
        done = folder.progress
        our.face.out(f"progress   {done['done']} of {done['total']} units, at {done['updated']}")
    for output in _outputs(folder):
        our.face.out(f"output     {output.get('path')}")
    for number, (job, status) in enumerate(zip(jobs, states, strict=True), 1):
        our.face.out()
        for name, value in _attempt(job, status).items():
            if value not in (None, "", []):
                shown = ", ".join(value) if isinstance(value, list) else _readable(name, value)
                our.face.out(
                    f"{'attempt ' + str(number) if name == 'job' else '':10} {name:12} {shown}"
                )


def _readable(name: str, value: Any) -> str:
    from pangeo_hpc.units import format_memory

    return format_memory(value) if name in ("memory", "memory_used") else str(value)


def _outputs(folder: "RunFolder") -> list[dict[str, Any]]:
    from pangeo_hpc import files

    try:
        kept = files.read_json(folder.path / "outputs.json")
    except (FileNotFoundError, ValueError):
        return []
    found: list[dict[str, Any]] = kept["outputs"]
    return found


def _attempt(job: "Job", status: "JobStatus") -> dict[str, Any]:
    def moment(value: datetime | None) -> str | None:
        return value.isoformat(timespec="seconds") if value else None

    return {
        "job": job.id,
        "name": job.name,
        "state": str(status.state),
        "reason": status.reason,
        "exit_code": status.exit_code,
        "signal": status.signal,
        "nodes": list(status.nodes),
        "node_type": job.request.get("node_type"),
        "queue": status.queue,
        "cores": job.request.get("cores"),
        "memory": job.request.get("memory"),
        "memory_used": status.memory_used,
        "submitted": moment(status.submitted) or job.submitted,
        "estimated_start": moment(status.estimated_start),
        "started": moment(status.started),
        "ended": moment(status.ended),
        "output": str(job.output),
    }


@runs.command()
@click.argument("run")
@click.option("--follow", "-f", is_flag=True, help="Go on until the run ends.")
@click.pass_context
def logs(context: click.Context, run: str, follow: bool) -> int:
    """Print what the last attempt printed."""
    from pangeo_hpc import jobs as room

    our = here(context)
    folder = _find(our, run)
    job = _last(folder)
    position = _print_from(job.output, 0)
    if not follow:
        if position == 0 and not job.output.exists():
            our.face.say(f"nothing printed yet: {job.output} is not there")
        return Exit.DONE

    def look() -> "JobStatus":
        nonlocal position
        position = _print_from(job.output, position)
        return _states(our, [_last(folder)])[0]

    status = room.wait(look, longest=1.0)
    _print_from(job.output, position)
    return end_code(status)


def _print_from(path: Path, position: int) -> int:
    """Print what was added to a file since a position, and return the new one."""
    try:
        with path.open("rb") as file:
            file.seek(position)
            while block := file.read(1 << 16):
                sys.stdout.buffer.write(block)
            sys.stdout.buffer.flush()
            return file.tell()
    except FileNotFoundError:
        return position


@runs.command()
@click.argument("run")
@json_option
@click.pass_context
def wait(context: click.Context, run: str) -> int:
    """Wait until a run's last attempt has ended: exit 0, 1, or 75 for run it again."""
    our = here(context)
    folder = _find(our, run)
    return tell_end(our, folder, watch(our, folder))


@runs.command()
@click.argument("run")
@click.option("--free", is_flag=True, help="Let go a run whose holder is dead but not known to be.")
@click.pass_context
def cancel(context: click.Context, run: str, free: bool) -> int:
    """Cancel a run's job, wherever it waits or runs."""
    from pangeo_hpc import jobs as room

    our = here(context)
    folder = _find(our, run)
    job = _last(folder)
    status = _states(our, [job])[0]
    job = _last(folder)
    if status.state.ended:
        our.face.say(f"run {folder.name} has ended already: {status.state}")
    elif job.id is None:
        if not free:
            hint = "end its process where it runs; --free lets the run go if that one is dead"
            raise SchedulerError(f"run {folder.name} has no job to cancel", hint=hint)
    else:
        scheduler = room.scheduler_named(our.site, str(job.request["scheduler"]), our.person)
        for words in room.cancel(scheduler, [job.id]).values():
            raise SchedulerError(f"job {job.id} was not cancelled: {words}")
        our.face.out(f"run {folder.name}: job {job.id} is cancelled")
    if free:
        from pangeo_hpc.workflow import lease
        from pangeo_hpc.workflow.holder import myself

        if lease.free(folder.path, myself(None, None)):
            our.face.out(f"run {folder.name} is free: the next attempt takes it at once")
        else:
            our.face.say(f"nobody holds run {folder.name}")
    return Exit.DONE


def _find(our: Here, reference: str) -> "RunFolder":
    from pangeo_hpc.workflow import runs as folders

    return folders.find(our.site, our.person, reference)


def _last(folder: "RunFolder") -> "Job":
    jobs = folder.jobs()
    if not jobs:
        raise UnknownName(f"run {folder.name} was never submitted", hint="pangeo-hpc submit does")
    return jobs[-1]


def watch(our: Here, folder: "RunFolder") -> "JobStatus":
    """Follow a run's last attempt to its end and say each change of state."""
    from pangeo_hpc import jobs as room

    try:
        return room.wait(
            lambda: _states(our, [_last(folder)])[0],
            on_change=lambda status: our.face.say(_line(folder, status)),
        )
    except KeyboardInterrupt:
        our.face.say(f"the job goes on; pangeo-hpc runs wait {folder.name} follows it again")
        raise


def _line(folder: "RunFolder", status: "JobStatus") -> str:
    parts = [f"{datetime.now(UTC).astimezone():%H:%M:%S} run {folder.name}: {status.state}"]
    if status.reason:
        parts.append(f"({status.reason})")
    if status.nodes and not status.state.ended:
        parts.append(f"on {', '.join(status.nodes)}")
    if status.estimated_start and status.state.waiting:
        parts.append(f"expected to start at {status.estimated_start.astimezone():%H:%M}")
    return " ".join(parts)


def tell_end(our: Here, folder: "RunFolder", status: "JobStatus") -> int:
    """Print how a run's attempt ended and return the exit code; a failure shows its last lines."""
    code = end_code(status)
    if our.face.json:
        our.face.data({"run": folder.name, **_attempt(_last(folder), status)})
        return code
    if code == Exit.NO:
        for line in _tail(_last(folder).output):
            our.face.say(f"  | {line}")
    our.face.out(_sentence(folder, status))
    if code == Exit.RUN_AGAIN:
        our.face.say("hint: it stopped in time; submit it again and it goes on")
    elif code:
        our.face.say(f"hint: pangeo-hpc runs logs {folder.name}")
    return code


def _sentence(folder: "RunFolder", status: "JobStatus") -> str:
    """Say in one line how an attempt ended, and why as far as the scheduler tells."""
    from pangeo_hpc.schedulers.base import JobState
    from pangeo_hpc.units import format_memory, format_walltime

    request = _last(folder).request
    words = [str(status.state)]
    if status.state is JobState.OUT_OF_MEMORY and request.get("memory"):
        words.append(f"it had {format_memory(request['memory'])} on each node")
    if status.state is JobState.TIMEOUT and request.get("walltime"):
        words.append(f"it had {format_walltime(timedelta(seconds=request['walltime']))}")
    if status.exit_code is not None:
        words.append(f"exit code {status.exit_code}")
    if status.signal is not None:
        words.append(f"signal {status.signal}")
    if status.reason:
        words.append(status.reason)
    return f"run {folder.name}: {', '.join(words)}"


def _tail(path: Path, lines: int = 10, most: int = 4096) -> list[str]:
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
