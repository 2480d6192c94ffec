"""Where a server on a node reports its port: one integer, from a server that waits for it."""

import json
from typing import Any

from jupyterhub.apihandlers.base import APIHandler
from tornado import web

from pangeo_hpc.hub import bodies
from pangeo_hpc.hub.spawner import SiteSpawner, of_ours

PATH = r"/api/pangeo-hpc/port"
_LARGEST = 100
LOWEST, HIGHEST = 1024, 65535


class PortHandler(APIHandler):
    """Takes ``{"port": n}`` with the token of the server that listens there, and nothing else."""

    def check_xsrf_cookie(self) -> None:
        """Skip the check for forged requests: only a token is accepted here, never a cookie."""

    async def post(self) -> None:
        """Note the port. 400 for anything but a port, 403 for no token, 409 if nobody waits."""
        token = self.get_auth_token()
        user = self.current_user
        if token is None or user is None or self.get_token() is None:
            raise web.HTTPError(403, "a server's own token is needed")
        port = read_port(self.request.body)
        if port is None:
            raise web.HTTPError(400, f"one port from {LOWEST} to {HIGHEST} is wanted")
        for _, spawner in spawners_of(user):
            if spawner.reports(token):
                first, last = spawner.office.hub.port_range
                if not first <= port <= last:
                    raise web.HTTPError(400, f"port {port} is not from {first} to {last}")
                if not spawner.take_port(port):
                    break
                self.set_status(200)
                self.finish(json.dumps({"port": port}))
                return
        raise web.HTTPError(409, "no server waits for its port with this token")


def read_port(body: bytes) -> int | None:
    """Return the port in a request, None for anything that is not exactly one port."""
    given = bodies.read(body, ("port",), longest=_LARGEST)
    port = given["port"] if given is not None else None
    return port if type(port) is int and LOWEST <= port <= HIGHEST else None


def spawners_of(user: Any) -> list[tuple[Any, SiteSpawner]]:
    """Return a user's spawners that are jobs of ours, also inside a wrapper, after that one."""
    found = ((each, of_ours(each)) for each in getattr(user, "spawners", {}).values())
    return [(outer, inner) for outer, inner in found if inner is not None]
