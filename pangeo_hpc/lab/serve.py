"""Jupyter's server, at a socket that is bound already and with a token that nobody else is told."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

from jupyter_server.serverapp import ServerApp
from tornado.httpserver import HTTPServer

from pangeo_hpc.server.handler import add_proof
from pangeo_hpc.server.pages import add_dashboards, add_watch, offer_to_lab
from pangeo_hpc.server.watch import Told, Watch


class LabServer(ServerApp):
    """Jupyter's server with JupyterLab, which listens where it is told and reports when it does.

    Users' own settings of Jupyter count, but not for address, port and token.
    """

    # that file would hold the token
    no_browser_open_file = True
    listening: socket.socket
    report: Callable[[], object]
    watch: Watch | None = None

    def init_httpserver(self) -> None:
        """Serve at our own socket instead of looking for a port."""
        self._http_server = HTTPServer(
            self.web_app,
            xheaders=self.trust_xheaders,
            max_body_size=self.max_body_size,
            max_buffer_size=self.max_buffer_size,
        )
        # once the loop runs, whoever is told the port gets an answer
        self.io_loop.add_callback(self._listen)

    def _listen(self) -> None:
        self._http_server.add_sockets([self.listening])
        if self.watch is not None:
            self.watch.begin()
        self.report()


def make_server(
    listening: socket.socket,
    token_file: Path,
    *,
    kernel: str | None,
    runtime: Path,
    told: Told,
    report: Callable[[], object],
) -> LabServer:
    """Return a server that is ready to `start`.

    `kernel` is that of new notebooks; `runtime` is a private directory; `told` is about the job.
    The token comes from a file and stands in no argument, no log and no environment variable.
    """
    os.environ["JUPYTER_RUNTIME_DIR"] = str(runtime)
    os.environ.pop("JUPYTER_TOKEN", None)
    os.environ["JUPYTER_TOKEN_FILE"] = str(token_file)
    offer_to_lab()
    address, port = listening.getsockname()
    token = token_file.read_text()
    server = LabServer.instance()
    server.listening, server.report = listening, report
    server.initialize(argv=_settings(address, port, kernel))
    # a user's own settings may have emptied it, and then everybody on the node would be let in
    server.identity_provider.token = token
    server.identity_provider.token_generated = False
    os.environ.pop("JUPYTER_TOKEN_FILE")
    add_proof(server.web_app, server.base_url, token.encode(), address, port)
    add_dashboards(server.web_app, server.base_url, told, server.log)
    server.watch = add_watch(server.web_app, server.base_url, told, server.log)
    return server


def _settings(address: str, port: int, kernel: str | None) -> list[str]:
    """Return settings as Jupyter's own command line takes them; they win over users' files."""
    settings = {
        "ServerApp.ip": address,
        "ServerApp.port": str(port),
        "ServerApp.sock": "",
        "ServerApp.certfile": "",
        "ServerApp.base_url": "/",
        "ServerApp.open_browser": "False",
        "ServerApp.default_url": "/lab",
        "ServerApp.jpserver_extensions": "{'jupyterlab': True, 'jupyter_server_proxy': True}",
        "ServerApp.allow_root": str(os.geteuid() == 0),
        "ServerApp.identity_provider_class": (
            "jupyter_server.auth.identity.PasswordIdentityProvider"
        ),
        "KernelSpecManager.ensure_native_kernel": "False",
    }
    if kernel is not None:
        settings["MultiKernelManager.default_kernel_name"] = kernel
    return [f"--{name}={value}" for name, value in settings.items()]
