"""Where the dashboard of a Dask cluster listens: a Unix socket that only its owner can reach.

A port of the host, loopback too, is open to every user of it. The cluster's process writes down
the socket in the cluster's private folder, and the notebook server looks it up there.
"""

import json
import os
import re
import socket
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc import files, private
from pangeo_hpc.errors import NotAllowed, PangeoHpcError, UnknownName

if TYPE_CHECKING:
    from tornado.httpserver import HTTPServer

# A notebook server tells its kernels its host and the address of its dashboards, with a blank
# between them: whoever inherits the variable on another host knows that it is not meant for it.
VARIABLE = "PANGEO_HPC_DASHBOARDS"
# Below the base address of the notebook server.
PATH = "pangeo-dask/"
# The folder of all clusters, in the user's own state; each has a folder of its own there.
CLUSTERS = "clusters"
RECORD = "dashboard.json"
# How the directory of a dashboard's socket begins.
DIRECTORY = "pangeo-dask-"
# Linux takes 107 bytes for the path of a socket.
LONGEST = 107

_CLUSTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Elsewhere(PangeoHpcError):
    """A dashboard of another host, whose sockets cannot be reached from here."""


@dataclass(frozen=True)
class Board:
    """A dashboard's host and its socket there."""

    host: str
    socket: str

    def write(self, folder: Path) -> None:
        """Tell the dashboard's place in the private folder of its cluster."""
        files.write_json(folder / RECORD, {"format": 1, **asdict(self)}, mode=0o600)

    @classmethod
    def read(cls, folder: Path) -> "Board":
        """Return what stands in a cluster's folder.

        Raise FileNotFoundError where there is no dashboard, NotAllowed where the record is not
        the user's own, and ValueError for one that cannot be read.
        """
        told = json.loads(private.read(folder / RECORD))
        if not isinstance(told, dict) or told.get("format") != 1:
            message = f"{folder / RECORD} is no record of a dashboard"
            raise ValueError(message)
        return cls(host=str(told["host"]), socket=str(told["socket"]))


def find(clusters: Path, cluster: str, *, here: str | None = None) -> str:
    """Return the socket of a cluster's dashboard on this host.

    `clusters` is the private folder of all clusters of the user. Raise UnknownName if there is no
    such dashboard, NotAllowed if something on the way to it is not the user's own, and Elsewhere
    if it is on another host.
    """
    unknown = UnknownName("there is no dashboard of this cluster", hint="has it been closed?")
    if not _CLUSTER.fullmatch(cluster):
        raise unknown
    try:
        private.check_directory(clusters)
        private.check_directory(clusters / cluster)
        board = Board.read(clusters / cluster)
        if board.host != (here or socket.gethostname()):
            text = f"the cluster {cluster} runs on {board.host}, and this server does not"
            raise Elsewhere(text, hint="its own way in was told when it started")
        check(Path(board.socket))
    except (OSError, ValueError, KeyError) as error:
        raise unknown from error
    return board.socket


def check(path: Path) -> None:
    """Raise NotAllowed unless a path is a socket of ours in a private directory of ours.

    Nobody else can put something else there afterwards: the directory is the user's own.
    """
    private.check_directory(path.parent)
    status = path.lstat()
    if not stat.S_ISSOCK(status.st_mode) or status.st_uid != os.geteuid():
        raise NotAllowed(f"{path} is no socket of yours")


def bind(path: Path) -> socket.socket:
    """Return a new socket that listens at a path, for its owner only. Raise OSError if not."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        path.chmod(0o600)
        listening.listen(128)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def serve(application: Any, listening: socket.socket) -> "HTTPServer":
    """Let a Tornado application answer at a socket, as part of the running loop."""
    from tornado.httpserver import HTTPServer

    server = HTTPServer(application)
    server.add_socket(listening)
    return server
