"""What the job of a server is: from the choices of a user to a request of the scheduler."""

import os
import sys
from pathlib import Path

from pangeo_hpc import jobs, scratch
from pangeo_hpc.errors import RequestRefused
from pangeo_hpc.hub import choices, login
from pangeo_hpc.schedulers.base import JobRequest
from pangeo_hpc.site import Person, Site
from pangeo_hpc.texts import problem


def of_server(
    site: Site, person: Person, asked: choices.Choices, folder: Path, secret: Path
) -> JobRequest:
    """Return the whole job of a server; its name is that of its folder."""
    name, _, nonce = folder.name.rpartition("-")
    where, ask = choices.planned(site, asked)
    is_login = choices.profile(site, asked) == login.LOGIN
    return jobs.plan(
        where,
        ask,
        name=name,
        nonce=nonce,
        command=(
            *(sys.executable, "-I", "-m", "pangeo_hpc.hub.singleuser", str(secret)),
            *(("loopback",) if is_login else ()),
        ),
        use="notebook",
        person=person,
        environment={
            "PANGEO_HPC_SITE": str(folder / "site.json"),
            "PANGEO_HPC_NODE_TYPE": "" if is_login else site.node_type(asked.node_type).name,
            **scratch.variable(site, person),
        },
        working_directory=_directory(person, asked),
        folder=folder,
    )


def site_of_server(site: Site, asked: choices.Choices) -> Site:
    """Return the site whose defaults are what the user chose for this server."""
    defaults = site.defaults.model_copy(
        update={
            name: value
            for name in ("account", "environment")
            if (value := getattr(asked, name)) is not None
        }
    )
    return site.model_copy(update={"defaults": defaults})


def _directory(person: Person, asked: choices.Choices) -> Path:
    text = asked.working_directory or "~"
    path = person.home / Path(text).expanduser() if text[0] != "~" else person.home / text[2:]
    if not path.is_dir() or not os.access(path, os.X_OK):
        keys = ("limits.no_directory", "limits.no_directory_hint")
        raise RequestRefused([problem("working_directory", *keys, value=str(path))])
    return path
