"""`hub status` and `hub reconcile`: what an operator asks of a hub."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pangeo_hpc.cli.context import Here, here
from pangeo_hpc.cli.output import json_option
from pangeo_hpc.errors import Exit, HubUnreachable, Problem, SiteError
from pangeo_hpc.units import format_memory, format_walltime

if TYPE_CHECKING:
    from pangeo_hpc.hub.reconcile import Report
    from pangeo_hpc.site import Hub

_state = click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False, readable=False),
    help="The hub's own private directory (default: hub/ below state of the site).",
)


@click.command()
@_state
@json_option
@click.pass_context
def status(context: click.Context, state: Path | None) -> int:
    """Show every server with its job, queue, reason, memory and the walltime left.

    Below stands what the looks at the queues cost, and what stops of idle servers gave back.
    Without a running hub it shows what its database last knew, and exits 4.
    """
    from pangeo_hpc.hub import operators

    our = here(context)
    hub, place = _hub(our), (state or our.site.state / "hub").absolute()
    try:
        told, down = operators.ask(hub, place), None
    except HubUnreachable as error:
        servers = operators.last_known(operators.remembered(place))
        told, down = {"servers": servers, "schedulers": {}}, error
    told = {**told, "given_back": operators.given_back(place)}
    if our.face.json:
        our.face.data({"hub": "down" if down else "up", **told})
    else:
        _tables(our, told, last=down is not None)
    if down is not None:
        our.face.say(
            f"{down}\nthis is what its database last knew" if told["servers"] else f"{down}"
        )
        return down.exit_code
    return Exit.DONE


def _tables(our: Here, told: dict[str, Any], *, last: bool) -> None:
    columns = ("user", "server", "state", "job", "node", "queue", "left", "memory", "reason")
    if told["servers"]:
        our.face.table(columns, (_row(each) for each in told["servers"]))
    for key, looks in told["schedulers"].items():
        if not looks["questions"]:
            continue
        each = looks["seconds"] / looks["questions"]
        words = f"{key}: {looks['questions']} looks of {each:.2f} s, {looks['failures']} failed"
        late = looks["failures"] and looks["last_failure"]
        our.face.say(f"{words}; the last failure: {late}" if late else words)
    if not told["servers"] and not last:
        our.face.say("no server runs or waits")
    back = told["given_back"]
    if back["servers"]:
        words = f"{back['servers']} idle servers gave back {back['core_hours']} core-hours"
        our.face.say(f"{words} in the last {back['days']} days")


def _row(each: dict[str, Any]) -> tuple[str, ...]:
    left, memory, used = each["walltime_left"], each["memory"], each["memory_used"]
    told = format_memory(memory) if memory else ""
    state = "ready" if each["ready"] else each["state"] or "?"
    return (
        each["user"],
        each["server"] or "-",
        state,
        f"{each['job']} ({each['scheduler']})" if each["job"] else "",
        each["node"],
        each["queue"] or "",
        "" if left is None else format_walltime(timedelta(seconds=int(left))),
        f"{format_memory(used)} of {told}" if used else told,
        each["reason"] or "",
    )


@click.command()
@_state
@click.option(
    "--program",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The program that acts as users (default: where hub install puts it).",
)
@click.option(
    "--cancel-orphans",
    is_flag=True,
    help="Cancel servers' jobs that the hub does not know; without it they are only shown.",
)
@click.option(
    "--each-user",
    is_flag=True,
    help="Also ask as every user of the hub's groups: for schedulers that hide others' jobs.",
)
@json_option
@click.pass_context
def reconcile(
    context: click.Context,
    state: Path | None,
    program: Path | None,
    cancel_orphans: bool,
    each_user: bool,
) -> int:
    """Compare the schedulers' jobs with the hub's servers; exit 6 if something remains.

    Run it as root or as the hub's own account.
    """
    import asyncio

    from pangeo_hpc.hub import operators, servers
    from pangeo_hpc.hub.desk import Desk
    from pangeo_hpc.hub.reconcile import Reconciler
    from pangeo_hpc.hub.settings import PROGRAM

    our = here(context)
    hub, place = _hub(our), (state or our.site.state / "hub").absolute()
    operators.read_token(place)
    desk = Desk((str(program.absolute()) if program else PROGRAM,))
    comparing = Reconciler(our.site, desk, lambda: operators.remembered(place))

    async def compare() -> "Report":
        everybody = servers.members(hub.allowed_groups) if each_user else ()
        report = await comparing.compare(everybody)
        return await comparing.cancel(report) if cancel_orphans else report

    report = asyncio.run(compare())
    if our.face.json:
        found = [vars(each) for each in report.found]
        counts = {"jobs": report.jobs, "servers": report.servers}
        our.face.data({**counts, "found": found, "silent": report.silent})
    else:
        _told(our, report, cancel_orphans=cancel_orphans)
    return Exit.PARTLY if report.remains else Exit.DONE


def _told(our: Here, report: "Report", *, cancel_orphans: bool) -> None:
    our.face.say(f"{report.jobs} jobs of servers, {report.servers} servers that the hub knows")
    if report.found:
        columns = ("what", "user", "job", "scheduler", "name", "state", "done")
        rows = ((e.kind, e.user, e.job, e.scheduler, e.name, e.state, e.done) for e in report.found)
        our.face.table(columns, rows)
    for text in report.silent:
        our.face.say(f"no answer from {text}")
    if any(e.kind == "orphan" for e in report.found) and not cancel_orphans:
        our.face.say("nothing was done; --cancel-orphans cancels the orphans")
    if not report.found and not report.silent:
        our.face.say("all of them fit")


def _hub(our: Here) -> "Hub":
    if our.site.hub is None:
        hint = "add hub: with url and connect_url; see `pangeo-hpc site sample`"
        raise SiteError([Problem("hub", f"site {our.site.name} has no hub", hint)])
    return our.site.hub
