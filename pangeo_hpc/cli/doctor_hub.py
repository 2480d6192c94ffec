"""`doctor --hub`: root looks at the hub, and the rest is checked as a user."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pangeo_hpc.cli.context import here
from pangeo_hpc.errors import Problem, SiteError, UsageError

if TYPE_CHECKING:
    from pangeo_hpc.doctor.hub import HubFacts


@contextmanager
def look_at_hub(context: click.Context, user: str) -> Iterator[Path]:
    """Look at the hub as root, and yield a file of what was seen, which one user may read.

    Nothing in it is secret. Raise NotAllowed unless we are root.
    """
    from tempfile import TemporaryDirectory

    from pangeo_hpc import files
    from pangeo_hpc.cli.other_user import find_user
    from pangeo_hpc.doctor import hub

    other = find_user(user)
    our = here(context)
    if our.site.hub is None:
        hint = "add hub: with url and connect_url; see `pangeo-hpc site sample`"
        raise SiteError([Problem("hub", f"site {our.site.name} has no hub", hint)])
    our.face.say("looking at the hub…")
    with TemporaryDirectory(prefix="pangeo-hpc-doctor-") as folder:
        path = Path(folder) / "hub.json"
        files.write_json(path, hub.look_at_hub(our.site, user).plain(), mode=0o600)
        for each in (path, path.parent):
            os.chown(each, other.uid, other.gid)
        yield path


def known_of_hub(seen: Path | None) -> "HubFacts":
    """Return what root has seen of the hub; without a file, nothing that only root could see."""
    from pangeo_hpc import files
    from pangeo_hpc.doctor.hub import HubFacts

    if seen is None:
        return HubFacts()
    try:
        return HubFacts.revive(files.read_json(seen))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{seen} does not tell of a hub: {error}") from error
