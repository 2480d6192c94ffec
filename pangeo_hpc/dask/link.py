"""How a person opens a cluster's dashboard: a link of their notebook server, or a line of ssh."""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pangeo_hpc.dask.dashboard import local_port
from pangeo_hpc.dask.place import announce
from pangeo_hpc.dask.security import Keys
from pangeo_hpc.errors import NotAllowed
from pangeo_hpc.server.address import login_host
from pangeo_hpc.server.boards import VARIABLE, Board
from pangeo_hpc.site import current_person


@dataclass(frozen=True)
class Way:
    """A link, and the command that has to run on the person's own computer meanwhile."""

    link: str
    ssh: str | None = None

    def __str__(self) -> str:
        return self.link if self.ssh is None else f"{self.link} after: {self.ssh}"


def way_of(
    board: Board,
    cluster: str,
    *,
    user: str,
    login_hosts: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> Way:
    """Return the way to the dashboard of a cluster of this very process.

    Inside a notebook server of ours it goes through that one; elsewhere by ssh to the host, and
    by way of a login host where it is none itself.
    """
    told = (os.environ if environ is None else environ).get(VARIABLE, "")
    host, _, base = told.partition(" ")
    if base and host == board.host:
        return Way(f"{base}{quote(cluster)}/status")
    port = local_port(cluster)
    words = ["ssh", "-N", "-L", f"{port}:{board.socket}"]
    target = login_host(login_hosts, board.host)
    if target.partition(".")[0] != board.host.partition(".")[0]:
        words += ["-J", f"{user}@{target}"]
        target = board.host
    line = shlex.join([*words, f"{user}@{target}"])
    return Way(f"http://localhost:{port}/status", line)


def way(folder: Path) -> Way | None:
    """Return the way to the dashboard of the cluster that has this folder; None without one."""
    try:
        board = Board.read(folder)
        site = json.loads((folder / "site.json").read_text())
    except (OSError, ValueError, KeyError, NotAllowed):
        return None
    return way_of(
        board,
        folder.name,
        user=current_person().user,
        login_hosts=site.get("login_hosts") or (),
    )


def tell_dashboard(folder: Path) -> None:
    """Tell the person how the dashboard is opened, if there is one."""
    found = way(folder)
    if found is not None:
        announce(f"its dashboard: {found}")


class Reachable:
    """What a cluster object tells of the ways to it; for classes with `folder` and `keys`."""

    folder: Path
    keys: Keys

    @property
    def dashboard_link(self) -> str:
        """Return the link of the dashboard; empty without one."""
        found = way(self.folder)
        return found.link if found else ""

    def get_client(self) -> Any:
        """Return a new client of the cluster. Raise ClusterTooOld where none can connect."""
        self.keys.check()
        return super().get_client()  # type: ignore[misc]
