"""Dashboards of Dask clusters in a notebook server: `pangeo-dask/CLUSTER/…`, for its user alone.

The proxy is that of jupyter-server-proxy, which checks the login before anything else; here it
leads to the socket of a cluster and nowhere else.
"""

import os
import re
import socket
from pathlib import Path
from typing import Any

from jupyter_server_proxy.handlers import AddSlashHandler, ProxyHandler
from tornado import httputil, web

from pangeo_hpc.errors import NotAllowed, PangeoHpcError, UnknownName
from pangeo_hpc.server.boards import PATH, VARIABLE, Elsewhere, find

# What is between the browser and the notebook server, which has compared the origin with its own
# address; the dashboard is no part of it.
_OURS = ("Cookie", "Authorization", "X-Xsrftoken", "Referer", "Origin")
_STATUS = {UnknownName: 404, NotAllowed: 403, Elsewhere: 502}


class DashboardHandler(ProxyHandler):  # type: ignore[misc]
    """Passes on what a browser asks of a dashboard, and its websocket."""

    # a dashboard is looked at
    SUPPORTED_METHODS = ("GET", "HEAD")

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # an open window is no work
        super().__init__(*arguments, update_last_activity=False, **options)

    def initialize(self, clusters: Path) -> None:
        """Take the folder of the user's clusters."""
        self.clusters = clusters

    async def http_get(self, cluster: str, path: str) -> None:
        """Pass on a page."""
        self.locate(cluster)
        await self.proxy("localhost", 0, path)

    async def head(self, cluster: str, path: str) -> None:
        """Pass on a page without its content."""
        await self.http_get(cluster, path)

    async def open(self, cluster: str, path: str) -> None:
        """Pass on a websocket."""
        try:
            self.locate(cluster)
        except web.HTTPError as error:
            self.close(1008, error.log_message)
            return
        await self.proxy_open("localhost", 0, path)

    def locate(self, cluster: str) -> None:
        """Find the cluster's socket, or answer why there is none."""
        try:
            self.unix_socket = find(self.clusters, cluster)
        except PangeoHpcError as error:
            raise web.HTTPError(_STATUS.get(type(error), 500), str(error)) from error
        self.proxy_base = f"{PATH}{cluster}"
        parts = self.request.query.split("&")
        self.request.query = "&".join(part for part in parts if not part.startswith("token="))

    def proxy_request_headers(self) -> httputil.HTTPHeaders:
        """Return the browser's headers without what is meant for the notebook server."""
        headers: httputil.HTTPHeaders = super().proxy_request_headers()
        for name in _OURS:
            headers.pop(name, None)
        headers["Host"] = "localhost"
        return headers


def add_handlers(application: web.Application, base: str, clusters: Path) -> None:
    """Let a Jupyter server pass on dashboards at `base`, and tell what it starts where that is.

    `base` has a slash at its end.
    """
    place = re.escape(f"{base}{PATH}")
    told = {"clusters": clusters}
    application.add_handlers(
        ".*$",
        [
            (rf"{place}([^/]+)/(.*)", DashboardHandler, told),
            (rf"{place}([^/]+)", AddSlashHandler),
        ],
    )
    os.environ[VARIABLE] = f"{socket.gethostname()} {base}{PATH}"
