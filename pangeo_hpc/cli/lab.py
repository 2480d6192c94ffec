"""`lab`: JupyterLab as a batch job, for a user without any hub."""

from typing import TYPE_CHECKING, Any

import click

from pangeo_hpc.cli.context import Here, here
from pangeo_hpc.cli.ending import news
from pangeo_hpc.cli.labs import (
    DEFAULT,
    duration,
    row_of,
    start_words,
    stop_words,
    tell_failed,
    tell_ready,
)
from pangeo_hpc.cli.output import json_option, live
from pangeo_hpc.cli.request import one_node_options
from pangeo_hpc.errors import Exit

if TYPE_CHECKING:
    from pangeo_hpc.lab.folder import Start
    from pangeo_hpc.schedulers.base import JobStatus


@click.group()
def lab() -> None:
    """Run JupyterLab as a batch job. It goes on when the connection is lost."""


@lab.command()
@one_node_options
@click.option("--name", metavar="N", default=DEFAULT, help="Its name, where you want several.")
@click.option("--wait/--no-wait", default=True, help="Whether to wait until it can be opened.")
@click.option("--dry-run", is_flag=True, help="Print the job script and submit nothing.")
@json_option
@click.pass_context
def start(
    context: click.Context,
    /,
    name: str,
    wait: bool,
    dry_run: bool,
    environment: str | None,
    **asked: Any,
) -> int:
    """Start JupyterLab, or find the one that runs, and print how to open it.

    On stdout are the ssh line for your own computer and the address, with its token, for your
    browser. Started again under the same name, it is the same one.
    """
    from pangeo_hpc.jobs import Ask
    from pangeo_hpc.lab import launch

    our = here(context, node_type=asked["node_type"], account=asked["account"])
    wanted = launch.Wanted(ask=Ask(**asked), name=name, environment=environment)
    if dry_run:
        script = launch.preview(our.site, our.person, wanted)
        if our.face.json:
            our.face.data({"script": script})
        else:
            our.face.out(script.rstrip())
        return Exit.DONE
    found, new = launch.launch(our.site, our.person, wanted)
    verb = "submitted as" if new else "there already, as"
    our.face.say(f"lab {name}: {verb} job {found.job.id}")
    if not wait:
        if our.face.json:
            our.face.data(row_of(our, found, _status(our, found), token=True))
        else:
            our.face.out(f"lab {name} is job {found.job.id}")
            our.face.say(f"{start_words(name)} waits for it; pangeo-hpc lab list shows it")
        return Exit.DONE
    status = _wait(our, found)
    server = found.server
    if status.state.ended or server is None:
        return tell_failed(our, found, status)
    tell_ready(our, found, status, server)
    return Exit.DONE


def _wait(our: Here, start: "Start") -> "JobStatus":
    """Follow a lab until it is ready, or its job has ended."""
    from pangeo_hpc import jobs
    from pangeo_hpc.lab.reach import watcher
    from pangeo_hpc.schedulers.base import JobState

    ready = watcher(start)

    def line(status: "JobStatus") -> str:
        begins = status.state is JobState.RUNNING and start.server is None
        return news(f"lab {start.lab}", status) + (", the server is starting" if begins else "")

    try:
        with live(our.face) as show:
            last = jobs.wait(
                jobs.sparingly(lambda: _status(our, start)),
                on_change=lambda status: show(line(status)),
                # the server is heard of before the scheduler, which is seldom asked
                enough=lambda status: ready(),
                longest=1.0,
            )
    except KeyboardInterrupt:
        again, end = start_words(start.lab), stop_words(start.lab)
        our.face.say(f"the job goes on; {again} waits for it again, {end} ends it")
        raise
    return _status(our, start) if last.state.waiting else last


def _status(our: Here, start: "Start") -> "JobStatus":
    from pangeo_hpc import jobs

    return jobs.statuses(our.site, our.person, [start.job], patience=3.0)[0]


@lab.command("list")
@click.option("--token", is_flag=True, help="Show addresses with their token, ready to open.")
@json_option
@click.pass_context
def list_(context: click.Context, token: bool) -> None:
    """List your labs on this site: state, reason, node, and the walltime left."""
    from pangeo_hpc import jobs
    from pangeo_hpc.lab import folder
    from pangeo_hpc.schedulers.base import JobState

    our = here(context)
    starts = [new for each in folder.every(our.site, our.person) if (new := each.newest())]
    found = [start.job for start in starts]
    statuses = jobs.statuses(our.site, our.person, found, patience=3.0)
    rows = []
    for start, status in zip(starts, statuses, strict=True):
        if status.state.ended and status.state is not JobState.LOST:
            start.forget_secrets()
        rows.append(row_of(our, start, status, token=token))
    if our.face.json:
        our.face.data({"labs": rows})
        return
    if not rows:
        our.face.say(f"no lab on site {our.site.name}; pangeo-hpc lab start makes one")
        return
    columns = ("lab", "state", "job", "node", "node type", "environment", "left", "url", "reason")
    shown = [{**row, "left": duration(row["left"])} for row in rows]
    our.face.table(columns, [[row[c.replace(" ", "_")] for c in columns] for row in shown])


@lab.command()
@click.argument("name", default=DEFAULT)
@click.pass_context
def stop(context: click.Context, name: str) -> None:
    """Stop a lab, wherever it waits or runs, and forget its token."""
    from pangeo_hpc.lab import folder
    from pangeo_hpc.lab.stop import stop as end

    our = here(context)
    found = folder.find(our.site, our.person, name)
    newest = found.newest()
    if newest is None:
        return
    job = newest.job.id
    status, was_there = end(our.site, our.person, found, newest)
    if was_there:
        our.face.out(f"lab {name}: job {job} is {status.state}")
    else:
        our.face.say(f"lab {name} had ended already: {status.state}")
