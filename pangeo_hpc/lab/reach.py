"""How a lab is reached: whether its server answers, and what a person types and opens."""

import http.client
import os
import shlex
import socket
import time
from collections.abc import Callable, Iterable

from pangeo_hpc.errors import JobFailed
from pangeo_hpc.lab.folder import Server, Start
from pangeo_hpc.server import proof
from pangeo_hpc.server.address import is_loopback, login_host, resolved
from pangeo_hpc.site import Person, Site

# Seconds in which a server that told its port has to answer from here.
PATIENCE = 60.0


def watcher(
    start: Start, *, patience: float = PATIENCE, clock: Callable[[], float] = time.monotonic
) -> Callable[[], bool]:
    """Return a function that tells whether a lab is ready now, to be asked again and again.

    It raises Stranger if somebody else has its port, and JobFailed if its server told a port at
    which nobody answers from here for `patience` seconds.
    """
    since: float | None = None

    def ready() -> bool:
        nonlocal since
        server = start.server
        if server is None:
            return False
        try:
            token = start.token()
        except JobFailed:
            return False  # it ends just now, and its job will tell how
        try:
            return answers(server, token)
        except (OSError, http.client.HTTPException) as error:
            moment = clock()
            since = moment if since is None else since
            if moment - since < patience:
                return False
            raise _unreachable(server, error) from error

    return ready


def answers(server: Server, token: str) -> bool:
    """Tell whether a lab's server answers with its token, which is sent to no one else.

    Raise Stranger if somebody else has its port, and OSError if nobody answers.
    """
    connection = proof.connect(token.encode(), server.address, server.port)
    try:
        connection.request("GET", "/api/status", headers={"Authorization": f"token {token}"})
        return connection.getresponse().status == http.client.OK
    finally:
        connection.close()


def url(server: Server, token: str | None) -> str:
    """Return what is opened in a browser, on this machine or at the near end of the ssh line."""
    query = f"?token={token}" if token else ""
    return f"http://localhost:{server.port}/lab{query}"


def ssh_line(site: Site, person: Person, start: Start, server: Server) -> str | None:
    """Return what is typed on one's own computer; None where the browser is on this machine."""
    if start.order.loopback and "SSH_CONNECTION" not in os.environ:
        return None
    host = login_host(site.login_hosts, socket.gethostname())
    target = f"{server.port}:{name_for(server.address, server.node)}:{server.port}"
    return shlex.join(["ssh", "-N", "-L", target, f"{person.user}@{host}"])


def name_for(address: str, node: str, resolve: Callable[[str], Iterable[str]] = resolved) -> str:
    """Return the node's name if it leads to the address from here, else the address."""
    return node if address in resolve(node) else address


def _unreachable(server: Server, error: Exception) -> JobFailed:
    text = (
        f"the server runs on {server.node}, but {server.address}:{server.port} does not answer "
        f"from here: {error}"
    )
    why = "a firewall, or the wrong network"
    if is_loopback(server.address):
        why = "that address leads back to the node itself"
    hint = f"{why}: see `interface` of the node type in the site YAML; the job goes on"
    return JobFailed(text, hint=hint)
