"""`hub`: JupyterHub from the site YAML."""

import os
import sys
from pathlib import Path

import click

from pangeo_hpc.cli.context import Here, here
from pangeo_hpc.cli.hub_operators import reconcile, status
from pangeo_hpc.errors import Problem, SiteError


@click.group()
def hub() -> None:
    """Run JupyterHub whose servers are jobs of this site."""


_state = click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    help="The hub's own private directory (default: hub/ below state of the site).",
)
_program = click.option(
    "--program",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The program that acts as users (default: where hub install puts it).",
)


@hub.command()
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write instead of printing.",
)
@_state
@_program
@click.pass_context
def config(
    context: click.Context, output: Path | None, state: Path | None, program: Path | None
) -> None:
    """Write a jupyterhub_config.py for this site; add your own lines below it."""
    our = here(context)
    text = _config_text(our, state, program)
    if output is None:
        our.face.out(text.rstrip())
        return
    from pangeo_hpc import files

    files.write_atomic(output, text)
    our.face.say(f"wrote {output}; start it with: jupyterhub -f {output}")


@hub.command()
@_state
@_program
@click.pass_context
def run(context: click.Context, state: Path | None, program: Path | None) -> None:
    """Run the hub and its proxy in this terminal, as the account that owns its directory."""
    from pangeo_hpc import files

    our = here(context)
    place = files.make_directory(_state_of(our, state), mode=0o700)
    path = place / "jupyterhub_config.py"
    files.write_atomic(path, _config_text(our, state, program), mode=0o600)
    os.chdir(place)
    os.execv(sys.executable, [sys.executable, "-m", "jupyterhub", "-f", str(path)])  # noqa: S606


def _state_of(our: Here, state: Path | None) -> Path:
    return (state or our.site.state / "hub").absolute()


def _config_text(our: Here, state: Path | None, program: Path | None) -> str:
    """Return the configuration file, after the site was found fit for a hub."""
    from pangeo_hpc.hub.configuration import text
    from pangeo_hpc.site import load

    if our.site.hub is None:
        hint = "add hub: with url and connect_url; see `pangeo-hpc site sample`"
        raise SiteError([Problem("hub", f"site {our.site.name} has no hub", hint)])
    found = load(our.face.site).source.path
    if found is None:
        raise SiteError([Problem("", "the hub needs a site YAML of its own", "pass --site FILE")])
    return text(found.absolute(), _state_of(our, state), program.absolute() if program else None)


hub.add_command(status)
hub.add_command(reconcile)
