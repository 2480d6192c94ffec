"""`runs`: what was submitted, how far it is, and how it ended."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pangeo_hpc.cli.context import here
from pangeo_hpc.cli.ending import (
    again,
    chosen,
    end_code,
    states,
    tell_end,
    watch,
)
from pangeo_hpc.cli.output import json_option
from pangeo_hpc.cli.runs_replay import replay
from pangeo_hpc.cli.runs_show import find, hours_of, report, show
from pangeo_hpc.cli.until_done import cancel_chain, is_chain, wait_for_chain
from pangeo_hpc.errors import Exit, SchedulerError

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
    """List your runs on this site with the state of their newest attempt."""
    from pangeo_hpc.workflow import runs as folders
    from pangeo_hpc.workflow.follow import standing
    from pangeo_hpc.workflow.report.attempt import core_hours
    from pangeo_hpc.workflow.until_done.record import waiting

    our = here(context)
    found = folders.all_runs(our.site, our.person)
    attempts = [(folder, job) for folder in found for job in (*folder.jobs(), *waiting(folder)[:1])]
    told = states(our, [job for _, job in attempts])
    by_run: dict[RunFolder, list[tuple[Job, JobStatus]]] = {}
    for (folder, job), status in zip(attempts, told, strict=True):
        by_run.setdefault(folder, []).append((job, status))
    rows, now = [], datetime.now(UTC)
    for folder, pairs in by_run.items():
        job, status = standing(pairs)
        hours = [core_hours(each, state, now=now)["requested"] for each, state in pairs]
        rows.append(_row(folder, again(job), status, hours))
    if our.face.json:
        our.face.data({"runs": rows})
        return
    if not rows:
        our.face.say(f"no runs on site {our.site.name} yet; pangeo-hpc submit SCRIPT.py makes one")
        return
    columns = ("run", "state", "job", "node type", "done", "core hours", "submitted", "reason")
    cells = [{**row, "core_hours": hours_of(row["core_hours"])} for row in rows]
    our.face.table(columns, [[row[c.replace(" ", "_")] for c in columns] for row in cells])


def _row(
    folder: "RunFolder", job: "Job", status: "JobStatus", hours: list[float | None]
) -> dict[str, Any]:
    progress = folder.progress
    known = [each for each in hours if each is not None]
    return {
        "run": folder.name,
        "state": str(status.state),
        "ended": status.state.ended,
        "job": job.id,
        "node_type": job.request.get("node_type"),
        "done": f"{progress['done']}/{progress['total']}" if progress else None,
        "core_hours": sum(known) if known else None,
        "attempts": len(hours),
        "submitted": job.submitted,
        "reason": status.reason or None,
    }


@runs.command()
@click.argument("run")
@click.option("--follow", "-f", is_flag=True, help="Go on until the run ends.")
@click.pass_context
def logs(context: click.Context, run: str, follow: bool) -> int:
    """Print what the last attempt printed."""
    from pangeo_hpc import jobs as room

    our = here(context)
    folder = find(our, run)
    job = chosen(our, folder, run)
    position = _print_from(job.output, 0)
    if position == 0 and job.within:
        our.face.say("this attempt printed where it was started, not into a file of ours")
    elif position == 0 and not follow and not job.output.exists():
        our.face.say(f"nothing printed yet: {job.output} is not there")
    if not follow:
        return Exit.DONE
    ask = room.sparingly(lambda: states(our, [again(job)])[0])

    def look() -> "JobStatus":
        nonlocal position
        position = _print_from(job.output, position)
        return ask()

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
    """Wait until a run's newest attempt has ended: exit 0, 1, or 75 for run it again.

    Of a run that was submitted with --until-done, the end of all its attempts is waited for.
    """
    our = here(context)
    folder = find(our, run)
    if is_chain(folder, run):
        return wait_for_chain(our, folder)
    job = chosen(our, folder, run)
    return tell_end(our, folder, job, watch(our, folder, job))


@runs.command()
@click.argument("run")
@click.option("--free", is_flag=True, help="Let go a run whose holder is dead but not known to be.")
@click.pass_context
def cancel(context: click.Context, run: str, free: bool) -> int:
    """Cancel a run's job, wherever it waits or runs."""
    from pangeo_hpc import jobs as room

    our = here(context)
    folder = find(our, run)
    if is_chain(folder, run):
        cancel_chain(our, folder)
    job = chosen(our, folder, run)
    status = states(our, [job])[0]
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


for command in (show, report, replay):
    runs.add_command(command)
