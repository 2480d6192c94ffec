"""`hub`: JupyterHub from the site YAML."""

import os
import sys
from pathlib import Path

import click

from pangeo_hpc.cli.context import Here, here
from pangeo_hpc.cli.hub_install import install
from pangeo_hpc.cli.hub_operators import reconcile, status
from pangeo_hpc.errors import NotAllowed, Problem, SiteError


@click.group()
def hub() -> None:
    """Run JupyterHub whose servers are jobs of this site."""


hub.add_command(install)

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
@click.option(
    "--separate-proxy", is_flag=True, help="Start no proxy: one that runs by itself is used."
)
@click.pass_context
def run(
    context: click.Context, state: Path | None, program: Path | None, separate_proxy: bool
) -> None:
    """Run the hub and its proxy in this terminal, as the account that owns its directory."""
    from pangeo_hpc import files

    if os.geteuid() == 0:
        hint = "start it as hub.service_user of the site YAML; hub install makes a unit for that"
        raise NotAllowed("the hub does not run as root", hint=hint)
    our = here(context)
    place = files.make_directory(_state_of(our, state), mode=0o700)
    path = place / "jupyterhub_config.py"
    text = _config_text(our, state, program, own_proxy=not separate_proxy, own_lines=True)
    files.write_atomic(path, text, mode=0o600)
    os.chdir(place)
    os.execv(sys.executable, [sys.executable, "-m", "jupyterhub", "-f", str(path)])  # noqa: S606


def _state_of(our: Here, state: Path | None) -> Path:
    return (state or our.site.state / "hub").absolute()


# Settings of the administrator's that no site YAML can say; beside the site YAML.
EXTRA = "jupyterhub_extra.py"


def _config_text(
    our: Here,
    state: Path | None,
    program: Path | None,
    *,
    own_proxy: bool = True,
    own_lines: bool = False,
) -> str:
    """Return the configuration file, after the site was found fit for a hub."""
    from pangeo_hpc.hub.configuration import text
    from pangeo_hpc.site import load

    if our.site.hub is None:
        hint = "add hub: with url and connect_url; see `pangeo-hpc site sample`"
        raise SiteError([Problem("hub", f"site {our.site.name} has no hub", hint)])
    found = load(our.face.site).source.path
    if found is None:
        raise SiteError([Problem("", "the hub needs a site YAML of its own", "pass --site FILE")])
    extra = found.absolute().with_name(EXTRA)
    return text(
        found.absolute(),
        _state_of(our, state),
        program.absolute() if program else None,
        own_proxy=own_proxy,
        extra=extra if own_lines and extra.is_file() else None,
    )


hub.add_command(status)
hub.add_command(reconcile)
