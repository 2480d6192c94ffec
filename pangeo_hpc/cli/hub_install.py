"""`hub install`: make of this machine a hub's host, or take that back."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pangeo_hpc.cli.context import here
from pangeo_hpc.cli.output import Face, face, json_option
from pangeo_hpc.errors import NotAllowed, PartlyDone

if TYPE_CHECKING:
    from pangeo_hpc.hub.install.steps import Change

_NEXT = """\
next: systemctl enable --now pangeo-hpc-proxy pangeo-hpc-hub
then: pangeo-hpc doctor --hub --as USER"""


@click.command()
@click.option("--dry-run", is_flag=True, help="Show what would be done, with the files' contents.")
@click.option("--uninstall", is_flag=True, help="Take back what was made; leave what was changed.")
@click.option(
    "--shadow/--no-shadow",
    default=None,
    help="Let the hub's account read /etc/shadow, or not (default: only if no directory such as "
    "SSSD checks passwords).",
)
@json_option
@click.pass_context
def install(context: click.Context, dry_run: bool, uninstall: bool, shadow: bool | None) -> None:
    """Make the hub's account, its program, its sudo rule and its systemd units, as root.

    It may be repeated: nothing happens when all is as it should be. A file that somebody changed is
    left and named.
    """
    talk = face(context)
    if os.geteuid() != 0 and not dry_run:
        raise NotAllowed("only root can do that", hint="--dry-run shows what would be done")
    from pangeo_hpc.hub.install import carry

    if uninstall:
        _tell(talk, carry.uninstall(dry=dry_run), dry=dry_run)
        return
    from pangeo_hpc.hub.install import plan, prefix
    from pangeo_hpc.site import load

    site = here(context).site
    found = load(talk.site).source.path or Path()
    machine = plan.look()
    steps = plan.steps(site, found, machine, shadow=shadow)
    prefix.check(machine.python)
    _tell(talk, carry.install(steps, dry=dry_run), dry=dry_run)
    if not dry_run:
        talk.say(_NEXT)


def _tell(talk: Face, changes: "Iterable[Change]", *, dry: bool) -> None:
    """Tell every change as it happens. Raise PartlyDone for what was left."""
    told: list[Change] = []
    for change in changes:
        told.append(change)
        if not talk.json:
            talk.out(_line(change, dry=dry))
    if talk.json:
        rows = [{"change": str(e.kind), "thing": e.thing, "why": e.why} for e in told]
        talk.data({"dry_run": dry, "changes": rows})
    elif not told:
        talk.say("nothing to do")
    left = [change.thing for change in told if change.kind == "left"]
    if left:
        raise PartlyDone(f"left as found: {', '.join(left)}")


def _line(change: "Change", *, dry: bool) -> str:
    would = "would be " if dry and change.kind != "left" else ""
    why = f": {change.why}" if change.why else ""
    content = change.text.splitlines() if dry else []
    return "\n".join([f"{would}{change.kind} {change.thing}{why}", *(f"    {x}" for x in content)])
