"""What most commands start with: the site and the person."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from pangeo_hpc.cli.output import Face, face

if TYPE_CHECKING:
    from pangeo_hpc.site import Person, Site


@dataclass(frozen=True)
class Here:
    """The site, the person and the face of this call."""

    site: "Site"
    person: "Person"
    face: Face


def here(context: click.Context, **overrides: str | None) -> Here:
    """Load the site once; `overrides` are flags that lie over the user's own defaults."""
    from pangeo_hpc.schedulers import registry
    from pangeo_hpc.site import current_person, load_site

    ours = face(context)
    given = {name: value for name, value in overrides.items() if value is not None}
    site = load_site(ours.site, overrides=given, schedulers=registry.names())
    return Here(site, current_person(), ours)
