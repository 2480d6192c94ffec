"""`scratch`: a user's own directories."""

import click

from pangeo_hpc.cli.context import here
from pangeo_hpc.cli.output import json_option


@click.group()
def scratch() -> None:
    """Find your scratch directories."""


@scratch.command()
@click.argument("relative", default="")
@click.option("--filesystem", metavar="NAME", help="A scratch filesystem of the site.")
@json_option
@click.pass_context
def path(context: click.Context, relative: str, filesystem: str | None) -> None:
    """Print your directory on scratch, or the path of something RELATIVE to it."""
    from pathlib import Path

    from pangeo_hpc import scratch as room

    our = here(context)
    found = room.root(our.site, our.person, filesystem) / room.inside(Path(relative))
    if our.face.json:
        our.face.data({"path": str(found)})
    else:
        our.face.out(str(found))
