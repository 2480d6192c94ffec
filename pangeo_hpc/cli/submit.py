"""`submit` and `run`: a script as a batch job, or inside the job we are in."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pangeo_hpc.cli.context import Here, here
from pangeo_hpc.cli.ending import tell_end, watch
from pangeo_hpc.cli.output import json_option
from pangeo_hpc.cli.request import request_options
from pangeo_hpc.cli.until_done import limits_of, preview_chain, submit_chain, until_done_options
from pangeo_hpc.errors import Exit

if TYPE_CHECKING:
    from pangeo_hpc.jobs import Job
    from pangeo_hpc.workflow.runs import RunFolder


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("script", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1)
@request_options
@click.option("--name", metavar="N", help="The run's name (default: the script's).")
@click.option(
    "--after", metavar="JOB", multiple=True, help="Start once this run, or job id, succeeded."
)
@click.option("--force", is_flag=True, help="Take the run's name over and start it afresh.")
@click.option("--keep", is_flag=True, help="Keep what an earlier script or environment made.")
@until_done_options
@click.option("--wait", is_flag=True, help="Wait for the end: exit 0, 1 or 75.")
@click.option("--dry-run", is_flag=True, help="Print the job script and submit nothing.")
@json_option
@click.pass_context
def submit(
    context: click.Context,
    /,
    script: Path,
    arguments: tuple[str, ...],
    name: str | None,
    after: tuple[str, ...],
    force: bool,
    keep: bool,
    until_done: bool,
    attempts: int | None,
    core_hours: float | None,
    wait: bool,
    dry_run: bool,
    environment: str | None,
    **asked: Any,
) -> int:
    """Submit SCRIPT, a Python file or a notebook, as a batch job.

    Words after -- are its arguments; those of a notebook are parameters: -- year=1990.

    The run is known by its name: submitting it again goes on where it stopped.
    """
    from pangeo_hpc.jobs import Ask
    from pangeo_hpc.workflow import launch
    from pangeo_hpc.workflow.after import resolve

    _not_both(force, keep)
    our = here(context, node_type=asked["node_type"], account=asked["account"])
    program = launch.Script(
        path=script, arguments=arguments, environment=environment, name=name, keep=keep
    )
    ask = Ask(**asked)
    for warning in launch.warnings(program):
        our.face.say(f"warning: {warning}")
    node_type = asked["node_type"]
    jobs_before = resolve(our.site, our.person, after, node_type=node_type)
    limits = limits_of(until_done=until_done, attempts=attempts, core_hours=core_hours)
    if limits and not dry_run:
        return submit_chain(our, program, ask, limits, after=jobs_before, force=force, wait=wait)
    if dry_run:
        show = preview_chain if limits else launch.preview
        script_text = show(our.site, our.person, program, ask, after=jobs_before)
        if our.face.json:
            our.face.data({"script": script_text})
        else:
            our.face.out(script_text.rstrip())
        return Exit.DONE
    folder, job = launch.launch(our.site, our.person, program, ask, after=jobs_before, force=force)
    _warn_of_purge(our, folder, job)
    if not wait:
        _tell_submitted(our, folder, job)
        return Exit.DONE
    our.face.say(f"run {folder.name}: submitted as job {job.id}")
    return tell_end(our, folder, job, watch(our, folder, job))


def _not_both(force: bool, keep: bool) -> None:
    from pangeo_hpc.errors import UsageError

    if force and keep:
        hint = "--force starts over, --keep goes on with what is there"
        raise UsageError("--force and --keep exclude each other", hint=hint)


def _warn_of_purge(our: Here, folder: "RunFolder", job: "Job") -> None:
    from datetime import timedelta

    from pangeo_hpc.workflow.staging import purge

    attempts = purge.attempts_left(folder.progress, len(folder.attempts()) - 1)
    lasts = purge.expected(timedelta(seconds=job.request["walltime"]), attempts=attempts)
    told = purge.warn(our.site, folder.path, lasts)
    if told:
        our.face.say(told)


def _tell_submitted(our: Here, folder: "RunFolder", job: "Job") -> None:
    if our.face.json:
        our.face.data({"run": folder.name, "job": job.id, "folder": str(folder.path)})
        return
    our.face.out(f"run {folder.name} is job {job.id}")
    our.face.say(f"follow it: pangeo-hpc runs show {folder.name}, or runs logs -f {folder.name}")


@click.command()
@click.argument("script", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1)
@click.option("--env", "environment", metavar="E", help="Environment of the site.")
@click.option("--name", metavar="N", help="The run's name (default: the script's).")
@click.option("--force", is_flag=True, help="Take the run's name over and start it afresh.")
@click.option("--keep", is_flag=True, help="Keep what an earlier script or environment made.")
@click.pass_context
def run(
    context: click.Context,
    script: Path,
    arguments: tuple[str, ...],
    environment: str | None,
    name: str | None,
    force: bool,
    keep: bool,
) -> int:
    """Run SCRIPT, a Python file or a notebook, in the job we are in.

    Words after -- are its arguments; those of a notebook are parameters: -- year=1990.

    For hand-written sbatch and qsub scripts. The exit code is the script's own; 75 means it stopped
    in time and goes on when it is run again. Outside any job it computes on this machine.
    """
    from pangeo_hpc import allocation
    from pangeo_hpc.workflow import here as workflow_here
    from pangeo_hpc.workflow import launch

    _not_both(force, keep)
    our = here(context)
    if allocation.current() is None and our.site.scheduler != "local":
        our.face.say(
            f"warning: this is not a job of {our.site.name}; the script computes on this machine\n"
            f"hint: pangeo-hpc submit {script} makes it a job"
        )
    program = launch.Script(
        path=script, arguments=arguments, environment=environment, name=name, keep=keep
    )
    ended = workflow_here.run_here(our.site, our.person, program, force=force)
    if ended.signal is not None:
        our.face.say(f"{script} was ended by {signal.Signals(ended.signal).name}")
    return ended.status
