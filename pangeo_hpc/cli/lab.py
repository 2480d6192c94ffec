"""`lab`: JupyterLab as a batch job, for a user without any hub."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from pangeo_hpc.cli.context import Here, here
from pangeo_hpc.cli.ending import news, sentence, tail
from pangeo_hpc.cli.output import json_option, live
from pangeo_hpc.cli.request import one_node_options
from pangeo_hpc.errors import Exit

if TYPE_CHECKING:
    from pangeo_hpc.lab.folder import Server, Start
    from pangeo_hpc.schedulers.base import JobStatus

DEFAULT = "lab"


@click.group()
def lab() -> None:
    """Run JupyterLab as a batch job. It goes on when the connection is lost."""


@lab.command()
@one_node_options
@click.option("--name", metavar="N", default=DEFAULT, help="Its name, where you want several.")
@click.option("--no-wait", is_flag=True, help="Submit it and return; lab list shows it later.")
@click.option("--dry-run", is_flag=True, help="Print the job script and submit nothing.")
@json_option
@click.pass_context
def start(
    context: click.Context,
    /,
    name: str,
    no_wait: bool,
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
    if no_wait:
        if our.face.json:
            our.face.data(_row(our, found, _status(our, found), token=True))
        else:
            our.face.out(f"lab {name} is job {found.job.id}")
            our.face.say(f"{_start(name)} waits for it; pangeo-hpc lab list shows it")
        return Exit.DONE
    status = _wait(our, found)
    server = found.server
    if status.state.ended or server is None:
        return _tell_failed(our, found, status)
    _tell_ready(our, found, status, server)
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
            return jobs.wait(
                jobs.sparingly(lambda: _status(our, start)),
                on_change=lambda status: show(line(status)),
                enough=lambda status: status.state is JobState.RUNNING and ready(),
                longest=1.0,
            )
    except KeyboardInterrupt:
        again, end = _start(start.lab), _stop(start.lab)
        our.face.say(f"the job goes on; {again} waits for it again, {end} ends it")
        raise


def _status(our: Here, start: "Start") -> "JobStatus":
    from pangeo_hpc import jobs

    return jobs.statuses(our.site, our.person, [start.job], patience=3.0)[0]


def _tell_ready(our: Here, start: "Start", status: "JobStatus", server: "Server") -> None:
    from pangeo_hpc.lab import reach

    if our.face.json:
        our.face.data(_row(our, start, status, token=True))
        return
    left = _left(start, status)
    until = f", {_duration(left)} left" if left is not None else ""
    our.face.say(f"lab {start.lab} is ready on {server.node}{until}")
    for environment, reason in server.left_out:
        our.face.say(f"environment {environment} is no kernel there: {reason}")
    ssh = reach.ssh_line(our.site, our.person, start, server)
    if ssh is not None:
        our.face.say("on your own computer, type this and leave it open:")
        our.face.out(ssh)
        if not our.site.login_hosts:
            our.face.say("hint: that is this host's own name; login_hosts of the site sets others")
    our.face.say("in its browser, open:" if ssh else "in your browser, open:")
    our.face.out(reach.url(server, start.token()))
    our.face.say(f"it goes on without this shell; {_stop(start.lab)} ends it")


def _tell_failed(our: Here, start: "Start", status: "JobStatus") -> int:
    job = start.job
    if our.face.json:
        our.face.data(_row(our, start, status, token=False))
        return Exit.NO
    for line in tail(job.output):
        our.face.say(f"  | {line}")
    our.face.out(sentence(f"lab {start.lab}", job, status))
    if job.output.exists():
        our.face.say(f"hint: all that it printed is in {job.output}")
    return Exit.NO


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
        rows.append(_row(our, start, status, token=token))
    if our.face.json:
        our.face.data({"labs": rows})
        return
    if not rows:
        our.face.say(f"no lab on site {our.site.name}; pangeo-hpc lab start makes one")
        return
    columns = ("lab", "state", "job", "node", "node type", "environment", "left", "url", "reason")
    shown = [{**row, "left": _duration(row["left"])} for row in rows]
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


def _row(our: Here, start: "Start", status: "JobStatus", *, token: bool) -> dict[str, Any]:
    """Return what is told of one lab; `left` is in seconds, `ssh` and `url` wait for its server."""
    from pangeo_hpc.lab import reach

    job, server = start.job, start.server
    left = _left(start, status)
    row: dict[str, Any] = {
        "lab": start.lab,
        "state": str(status.state),
        "ended": status.state.ended,
        "reason": status.reason or None,
        "job": job.id,
        "node": ", ".join(status.nodes) or None,
        "node_type": job.request["node_type"],
        "environment": start.order.environment,
        "left": None if left is None else int(left.total_seconds()),
        "estimated_start": status.estimated_start,
        "output": str(job.output),
        **dict.fromkeys(("address", "port", "ssh", "url", "kernels", "left_out")),
    }
    if server is not None and not status.state.ended:
        row |= {
            "address": server.address,
            "port": server.port,
            "ssh": reach.ssh_line(our.site, our.person, start, server),
            "url": reach.url(server, start.token() if token else None),
            "kernels": list(server.kernels),
            "left_out": dict(server.left_out),
        }
    return row


def _left(start: "Start", status: "JobStatus") -> timedelta | None:
    """Return the walltime left, None unless the job runs."""
    if status.started is None or status.state.ended or status.state.waiting:
        return None
    whole = status.walltime or timedelta(seconds=start.job.request["walltime"])
    return max(status.started + whole - datetime.now(UTC), timedelta(0))


def _duration(left: timedelta | int | None) -> str | None:
    from pangeo_hpc.units import format_walltime

    if left is None:
        return None
    seconds = left if isinstance(left, int) else int(left.total_seconds())
    return format_walltime(timedelta(seconds=seconds))


def _start(name: str) -> str:
    """Return the command that means this lab."""
    return "pangeo-hpc lab start" + ("" if name == DEFAULT else f" --name {name}")


def _stop(name: str) -> str:
    """Return the command that ends this lab."""
    return "pangeo-hpc lab stop" + ("" if name == DEFAULT else f" {name}")
