"""Dask's scheduler and worker, made fit for a host that other people use too."""

import shutil
import tempfile
from typing import Any

import dask
import distributed


class _NoHTTP:
    """Replaces the part of a Dask server that listens for HTTP.

    Scheduler and worker open a plain HTTP port whatever their options say, TLS or not: every user
    of the host reads logs, call stacks and task names there (distributed 2026.8.0).
    """

    def start_http_server(self, *arguments: Any, **options: Any) -> None:
        """Open nothing."""


class Worker(_NoHTTP, distributed.Worker):
    """A Dask worker that is reached over TLS only."""


class Scheduler(_NoHTTP, distributed.Scheduler):
    """A Dask scheduler that is reached over TLS only, with a private temporary directory.

    A server puts that directory first on `sys.path`, and its usual name, /tmp/dask-scratch-space,
    may belong to somebody else (distributed 2026.8.0).
    """

    def __init__(self, **options: Any) -> None:
        self._private = tempfile.mkdtemp(prefix="dask-")
        with dask.config.set({"temporary-directory": self._private}):
            super().__init__(**options)

    async def close(self, *arguments: Any, **options: Any) -> None:
        """End the scheduler and remove its directory."""
        await super().close(*arguments, **options)
        shutil.rmtree(self._private, ignore_errors=True)
