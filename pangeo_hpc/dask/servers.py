"""Dask's scheduler and worker, made fit for a host that other people use too."""

import os
import shutil
import time
from pathlib import Path
from typing import Any

import dask
import distributed
from distributed.http.routing import RoutingApplication

from pangeo_hpc.dask import pinning, same_check
from pangeo_hpc.dask.dashboard import ROUTES, Dashboard, is_possible, origins
from pangeo_hpc.dask.place import announce


class _NoHTTP:
    """Replaces the part of a Dask server that listens for HTTP at a port.

    Scheduler and worker open a plain HTTP port whatever their options say, TLS or not: every user
    of the host reads logs, call stacks and task names there (distributed 2026.8.0).
    """

    def start_http_server(self, *arguments: Any, **options: Any) -> None:
        """Open nothing."""


class Worker(_NoHTTP, distributed.Worker):
    """A Dask worker that is reached over TLS only, on one NUMA node where its job is cut so."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # before it has threads for tasks, which inherit it
        pinning.stay(self.name, self.state.nthreads, os.environ)

    async def get_startup_information(self) -> dict[str, Any]:
        """Return what the scheduler is told of this worker, our own words among it."""
        return {**await super().get_startup_information(), same_check.TOLD: same_check.tell()}


class Scheduler(distributed.Scheduler):
    """A Dask scheduler that is reached over TLS only, with a directory of its own in `folder`.

    A server puts its directory first on `sys.path`, and the usual one, /tmp/dask-scratch-space, may
    belong to somebody else (distributed 2026.8.0). Its dashboard is at a socket that only its user
    can reach, where this environment can draw one.
    """

    def __init__(self, *, folder: Path, **options: Any) -> None:
        self._own = folder / "dask-scratch-space"
        self._own.mkdir(mode=0o700, exist_ok=True)
        self._board = _dashboard(folder)
        place = {
            "temporary-directory": str(folder),
            # a lock would keep other processes out, of which there are none, and some shared
            # filesystems have none
            "distributed.worker.use-file-locking": False,
            "distributed.scheduler.http.routes": list(ROUTES),
            "distributed.scheduler.dashboard.bokeh-application.allow_websocket_origin": origins(
                folder.name
            ),
        }
        try:
            with dask.config.set(place):
                super().__init__(dashboard=self._board is not None, **options)
        except BaseException:
            self._leave()
            raise

    def start_http_server(self, routes: Any, *_arguments: Any, **_options: Any) -> None:
        """Listen at the dashboard's socket, and at no port."""
        if self._board is not None:
            self.http_application = RoutingApplication(routes)
            self.http_server = self._board.serve(self.http_application)

    async def add_worker(self, comm: Any, **told: Any) -> None:
        """Take a worker in, unless its packages are not the client's."""
        check: Any = self.plugins.get(same_check.SameEnvironment.name)
        address, name, extra = told["address"], str(told["name"]), told["extra"]
        reason = check.refuse(address, name, extra) if check is not None else None
        if reason is None:
            await super().add_worker(comm=comm, **told)
        else:
            await comm.write({"status": "error", "message": reason, "time": time.time()})

    async def close(self, *arguments: Any, **options: Any) -> None:
        """End the scheduler and remove its directories."""
        try:
            await super().close(*arguments, **options)
        finally:
            self._leave()

    def _leave(self) -> None:
        if self._board is not None:
            self._board.close()
        shutil.rmtree(self._own, ignore_errors=True)


def _dashboard(folder: Path) -> Dashboard | None:
    if not is_possible():
        return None
    try:
        return Dashboard(folder)
    except OSError as error:
        announce(f"no Dask dashboard: {error}")
        return None
