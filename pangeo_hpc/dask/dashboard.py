"""The dashboard of one cluster: at a Unix socket, in the scheduler's own process.

Dask itself serves it as plain HTTP at a port without a password, where every user of the host
reads task names, logs and call stacks, loopback included (distributed 2026.8.0).
"""

import os
import shutil
import socket
import tempfile
import zlib
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from pangeo_hpc.dask.place import announce
from pangeo_hpc.server.boards import DIRECTORY, LONGEST, RECORD, Board, bind, serve

# Nothing that acts, and no way on to the workers, which have no pages of their own.
ROUTES = [
    "distributed.http.scheduler.prometheus",
    "distributed.http.scheduler.info",
    "distributed.http.scheduler.json",
    "distributed.http.health",
    "distributed.http.statics",
]
# Ports of the person's own computer: Dask's usual one, and some more for more clusters.
_FIRST_PORT, _PORTS = 8787, 1000


def local_port(cluster: str) -> int:
    """Return the port at which ssh brings a cluster's dashboard to the person's own computer."""
    return _FIRST_PORT + zlib.crc32(cluster.encode()) % _PORTS


def origins(cluster: str) -> list[str]:
    """Return whose pages may open the dashboard's websocket: its own, and nobody else's.

    Browsers tell it. A page from elsewhere must not listen in through a forwarded port.
    """
    return [f"{host}:{local_port(cluster)}" for host in ("localhost", "127.0.0.1")]


@cache
def is_possible() -> bool:
    """Tell whether this environment can draw dashboards; if not, say why, once."""
    try:
        import distributed.dashboard.scheduler  # noqa: F401
    except ImportError as error:
        announce(f"no Dask dashboard, as this environment has no fitting Bokeh: {error}")
        return False
    return True


class Dashboard:
    """What a scheduler's dashboard has on this host: a private directory with a socket in it.

    Raise OSError if there is no place for them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path, self._listening = listen()
        self._server: Any = None

    def serve(self, application: Any) -> Any:
        """Begin to answer, tell where in the cluster's folder, and return the server."""
        self._server = serve(application, self._listening)
        # Dask asks for it where it compares origins
        self._server.port = 0
        Board(socket.gethostname(), str(self._path)).write(self._folder)
        return self._server

    def close(self) -> None:
        """Answer no more, and leave nothing."""
        if self._server is not None:
            self._server.stop()
        self._listening.close()
        with suppress(OSError):
            (self._folder / RECORD).unlink(missing_ok=True)
        shutil.rmtree(self._path.parent, ignore_errors=True)


def listen() -> tuple[Path, socket.socket]:
    """Return a socket that listens in a new directory of ours alone, and its path.

    It goes to the first place that allows it and whose path is short enough.
    """
    problem = OSError("the path of no temporary directory is short enough for a socket")
    for parent in (tempfile.gettempdir(), "/tmp", os.environ.get("XDG_RUNTIME_DIR", "")):  # noqa: S108
        if not parent or len(os.fsencode(f"{parent}/{DIRECTORY}12345678/dashboard")) > LONGEST:
            continue
        try:
            directory = Path(tempfile.mkdtemp(prefix=DIRECTORY, dir=parent))
        except OSError as error:
            problem = error
            continue
        try:
            return directory / "dashboard", bind(directory / "dashboard")
        except OSError as error:
            problem = error
            shutil.rmtree(directory, ignore_errors=True)
    raise problem
