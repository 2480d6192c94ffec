"""`data`: NetCDF files and tables to Zarr, and what is in a store."""

import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pangeo_hpc.cli.context import Here, here
from pangeo_hpc.cli.data_tables import tell_addition, tell_contents, tell_plan
from pangeo_hpc.cli.ending import tell_end, watch
from pangeo_hpc.cli.output import face, json_option
from pangeo_hpc.cli.request import request_options
from pangeo_hpc.errors import Exit

if TYPE_CHECKING:
    from pangeo_hpc.workflow.convert.adding import Addition
    from pangeo_hpc.workflow.convert.launch import Start
    from pangeo_hpc.workflow.launch import Script


@click.group()
def data() -> None:
    """Convert data to Zarr, and see what is in a store."""


@data.command()
@click.argument("sources", metavar="SRC…", nargs=-1, required=True)
@click.argument("target", metavar="DEST.zarr")
@click.option(
    "--for",
    "access",
    type=click.Choice(["time-series", "maps", "both"]),
    default="both",
    show_default=True,
    help="What the store will be read for: it decides the chunks.",
)
@click.option("--along", metavar="DIM", help="The dimension on which files are joined.")
@click.option(
    "--variable", "variables", metavar="NAME", multiple=True, help="Only these; may be repeated."
)
@click.option(
    "--overlaps",
    type=click.Choice(["refuse", "first", "last"]),
    default="refuse",
    show_default=True,
    help="What counts where two files have the same steps.",
)
@request_options
@click.option("--name", metavar="N", help="The run's name (default: convert-DEST).")
@click.option(
    "--append",
    is_flag=True,
    help="Add files that follow those in the store, which is begun if it is not there.",
)
@click.option("--force", is_flag=True, help="Start the store afresh.")
@click.option("--wait", is_flag=True, help="Wait for the job's end: exit 0, 1 or 75.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and write nothing.")
@json_option
@click.pass_context
def convert(
    context: click.Context,
    /,
    sources: tuple[str, ...],
    target: str,
    access: str,
    along: str | None,
    variables: tuple[str, ...],
    overlaps: str,
    name: str | None,
    append: bool,
    force: bool,
    wait: bool,
    dry_run: bool,
    environment: str | None,
    **asked: Any,
) -> int:
    """Convert NetCDF files or CSV tables SRC… into one Zarr store DEST.zarr.

    DEST.zarr is below your scratch directory, or an absolute path. With a node type, nodes or any
    other word on a job the conversion is submitted as one; else it runs here.
    Killed at any moment, the same command goes on where it stopped. With --append, files that
    follow those in the store are added to it; name only them, or all.
    """
    from pangeo_hpc.workflow.convert import launch
    from pangeo_hpc.workflow.convert.order import Access, Order, Overlaps
    from pangeo_hpc.workflow.convert.prepare import prepare

    if append and force:
        raise click.UsageError("--append adds to the store, and --force starts it afresh")
    launch.check_target(target, sources)
    our = here(context, node_type=asked["node_type"], account=asked["account"])
    order = Order(
        sources=sources,
        target=target.rstrip("/"),
        along=along,
        variables=variables,
        access=Access(access),
        overlaps=Overlaps(overlaps),
    )
    start = launch.Start(name=name, environment=environment, force=force)
    where = launch.target_of(our.site, our.person, order)
    if append:
        adding = launch.addition(our.site, our.person, order, start, _with_progress)
        if adding is not None:
            return _append(our, adding, asked, start, where, wait=wait, dry_run=dry_run)
    plan = prepare(order, _with_progress)
    if dry_run:
        tell_plan(our, plan, where)
        return Exit.DONE
    for note in plan.notes:
        our.face.say(f"note: {note}")
    script = launch.program(our.site, our.person, plan, start)
    if any(asked.values()):
        return _submit(our, script, asked, start, where, wait=wait)
    return _here(our, script, start, where)


def _append(
    our: Here,
    adding: "Addition",
    asked: dict[str, Any],
    start: "Start",
    where: Path,
    *,
    wait: bool,
    dry_run: bool,
) -> int:
    from pangeo_hpc.jobs import Ask
    from pangeo_hpc.workflow.convert import launch

    if dry_run or not adding.order.sources:
        tell_addition(our, adding, where)
        return Exit.DONE
    for note in adding.notes:
        our.face.say(f"note: {note}")
    ask = Ask(**asked) if any(asked.values()) else None
    script = launch.program_to_add(our.site, our.person, adding, start, ask)
    if any(asked.values()):
        return _submit(our, script, asked, start, where, wait=wait)
    return _here(our, script, start, where)


def _with_progress(look: Callable[[Path], Any], paths: Iterable[Path]) -> list[Any]:
    """Look at each file, with a bar on a terminal."""
    told = list(paths)
    bar = click.progressbar(
        told, label="reading headers", file=sys.stderr, hidden=not sys.stderr.isatty()
    )
    with bar as every:
        return [look(path) for path in every]


def _submit(
    our: Here, script: "Script", asked: dict[str, Any], start: "Start", where: Path, *, wait: bool
) -> int:
    from pangeo_hpc.jobs import Ask
    from pangeo_hpc.workflow.convert import launch

    folder, job = launch.submit(our.site, our.person, script, Ask(**asked), start)
    if wait:
        our.face.say(f"run {folder.name}: submitted as job {job.id}")
        return tell_end(our, folder, job, watch(our, folder, job))
    if our.face.json:
        told = {"run": folder.name, "job": job.id, "folder": str(folder.path), "path": str(where)}
        our.face.data(told)
    else:
        our.face.out(f"run {folder.name} is job {job.id}")
        our.face.say(f"it writes {where}; follow it: pangeo-hpc runs show {folder.name}")
    return Exit.DONE


def _here(our: Here, script: "Script", start: "Start", where: Path) -> int:
    from pangeo_hpc import allocation
    from pangeo_hpc.workflow.convert import launch

    if allocation.current() is None and our.site.scheduler != "local":
        our.face.say(
            f"warning: this is not a job of {our.site.name}; the files are converted on this "
            "machine\nhint: --node-type makes it a job"
        )
    ended = launch.run_here(our.site, our.person, script, start)
    if ended.signal is not None:
        our.face.say(f"the conversion was ended by {signal.Signals(ended.signal).name}")
    elif ended.code == 0 and our.face.json:
        our.face.data({"run": script.run_name, "path": str(where)})
    elif ended.code == 0:
        our.face.out(str(where))
    return ended.status


@data.command("inspect")
@click.argument("url", metavar="URL")
@click.option("--no-count", is_flag=True, help="Do not add up what the files of a store take.")
@json_option
@click.pass_context
def inspect_command(context: click.Context, url: str, no_count: bool) -> int:
    """Show what is in the Zarr store or NetCDF file at a path or URL."""
    from pangeo_hpc.workflow.contents import inspect

    ours = face(context)
    contents = inspect(url, count=not no_count)
    if ours.json:
        ours.data(contents.dump())
        return Exit.DONE
    tell_contents(ours, contents)
    return Exit.DONE
