"""Inside the job: JupyterLab as a server of the hub, which listens before it reports.

It is started as ``python -I -m pangeo_hpc.hub.singleuser FILE``; the file is private, holds what
the hub tells the server, and is gone once it was read.
"""

import asyncio
import json
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from pangeo_hpc import allocation, private, scratch
from pangeo_hpc.envs.kernels import Offer, kernels, write
from pangeo_hpc.hub.state import proof_key
from pangeo_hpc.server import address, notes, wording
from pangeo_hpc.server.boards import CLUSTERS
from pangeo_hpc.server.handler import add_proof
from pangeo_hpc.server.pages import add_dashboards, add_watch, offer_to_lab
from pangeo_hpc.server.watch import Told
from pangeo_hpc.site import Site, current_person, load_site

# The node type that the user chose.
NODE_TYPE = "PANGEO_HPC_NODE_TYPE"

# Seconds between reports to a hub that is away for a moment, and for how long.
_FIRST, _LONGEST, _GIVE_UP = 1.0, 30.0, 1800.0


def main(argv: Sequence[str] | None = None) -> None:
    """Read what the hub tells, listen, start the server, and report the port."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[1:] not in ([], ["loopback"]):
        sys.exit("one file is wanted, and `loopback` for a server on the hub's own host")
    told_by_hub = json.loads(private.take(Path(words[0])))
    os.environ.update(told_by_hub)
    site = load_site(os.environ["PANGEO_HPC_SITE"])
    ports = site.hub.port_range if site.hub else address.PORTS
    hub = urlparse(told_by_hub["JUPYTERHUB_API_URL"]).hostname or ""
    callers = tuple(address.resolved(hub))
    # a hub that is spoken to at loopback is on this very host
    nearby = len(words) > 1 or (bool(callers) and all(map(address.is_loopback, callers)))
    here = address.choose(address.Wish(callers=callers, loopback=nearby))
    listening = address.bind(here, ports)
    port = listening.getsockname()[1]
    os.environ["JUPYTERHUB_SERVICE_URL"] = (
        f"http://{here}:{port}{os.environ['JUPYTERHUB_SERVICE_PREFIX']}"
    )
    say(f"this is {socket.gethostname()}, the server listens at {here}:{port}")
    site_file = Path(os.environ["PANGEO_HPC_SITE"])
    kernel = offered(site, site_file).default
    launch(listening, kernel, told(site_file, told_by_hub["JUPYTERHUB_API_TOKEN"]))


def offered(site: Site, site_file: Path) -> Offer:
    """Write a kernel for each environment that works here, and say which do not.

    A broken one, or none at all, never keeps the server from starting.
    """
    person = current_person()
    variables = {
        **scratch.variable(site, person),
        **notes.prepare(work_folder(site_file), os.environ["JUPYTERHUB_SERVICE_PREFIX"]),
        "PANGEO_HPC_SITE": str(site_file),
    }
    chosen = os.environ.get(NODE_TYPE)
    # a login server is no job of a node type
    setup = site.node_type(chosen).setup if chosen else ()
    planned = kernels(site, person, setup=setup, variables=variables)
    place = site_file.parent / "jupyter"
    offer = write(planned, place, environ=dict(os.environ))
    for each in offer.left_out:
        say(f"environment {each.environment} is no kernel: {each.reason}")
    path = os.environ.get("JUPYTER_PATH")
    os.environ["JUPYTER_PATH"] = os.pathsep.join([str(place), *([path] if path else [])])
    return offer


def work_folder(site_file: Path) -> Path:
    """Return the directory in which kernels note that their Dask tasks run."""
    return site_file.parent / "work"


def told(site_file: Path, token: str) -> Told:
    """Return what the server is told of its job."""
    here = allocation.current()
    return Told(
        job=here.job_id if here else None,
        node=socket.gethostname(),
        node_type=os.environ.get(NODE_TYPE),
        dask=work_folder(site_file),
        clusters=load_site(site_file).user_state_path(current_person()) / CLUSTERS,
        ends=lambda: allocation.known_end(here),
        tell=lambda activity: tell(activity, token),
        words=wording.read(site_file.parent),
    )


def launch(listening: socket.socket, kernel: str | None, about: Told) -> None:
    """Run JupyterLab on a socket that is already bound, with the kernel of new notebooks."""
    from jupyter_server.serverapp import ServerApp
    from jupyterhub.singleuser.extension import JupyterHubSingleUser

    token = os.environ["JUPYTERHUB_API_TOKEN"]
    here, port = listening.getsockname()

    class BoundServer(ServerApp):
        """A server that listens where we bound, and then tells the hub."""

        def _find_http_port(self) -> None:
            """Leave the port: it is bound already."""

        def _bind_http_server_tcp(self) -> bool:
            base = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
            key = bytes.fromhex(proof_key(token))
            add_proof(self.web_app, base, key, here, port)
            add_dashboards(self.web_app, base, about, self.log)
            self._watch = add_watch(self.web_app, base, about, self.log)
            self._watch.begin()
            self.http_server.add_socket(listening)
            self._report = asyncio.ensure_future(report(port, token, self.log))
            return True

    offer_to_lab()
    # a subclass of ours would be looked for as an extension of its own module
    JupyterHubSingleUser.serverapp_class = BoundServer
    settings = ["--KernelSpecManager.ensure_native_kernel=False"]
    if kernel is not None:
        settings.append(f"--MultiKernelManager.default_kernel_name={kernel}")
    JupyterHubSingleUser.launch_instance(settings)


def say(text: str) -> None:
    """Write a line into the job's log."""
    sys.stderr.write(f"pangeo-hpc: {text}\n")


async def report(port: int, token: str, log: Any) -> None:
    """Tell the hub the port until it says that it noted it; end the server if it says no."""
    url = f"{os.environ['JUPYTERHUB_API_URL']}/pangeo-hpc/port"
    pause, waited = _FIRST, 0.0
    while True:
        code, said = await asyncio.to_thread(_post, url, {"port": port}, token)
        if code == 200:
            log.info("the hub knows port %s", port)
            return
        if code in (400, 403, 409) or waited > _GIVE_UP:
            log.critical("the hub does not want this server: %s %s", code or "", said)
            os._exit(1)
        log.warning("the hub did not take the report, trying again: %s %s", code or "", said)
        await asyncio.sleep(pause)
        waited += pause
        pause = min(pause * 2, _LONGEST)


def tell(activity: Mapping[str, Any], token: str) -> Mapping[str, Any] | None:
    """Tell the hub how long the server is idle; return its answer, None if it has none."""
    url = f"{os.environ['JUPYTERHUB_API_URL']}/pangeo-hpc/activity"
    code, said = _post(url, activity, token)
    try:
        answer = json.loads(said) if code == 200 else None
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _post(url: str, body: Mapping[str, Any], token: str) -> tuple[int | None, str]:
    """Return the status of one report and what was said, None for no answer."""
    request = urllib.request.Request(  # noqa: S310 - the hub's own address
        url,
        data=json.dumps(body).encode(),
        headers={"Authorization": f"token {token}", "Content-Type": "application/json"},
    )
    try:
        with _OPENER.open(request, timeout=20) as answer:
            return answer.status, answer.read(5000).decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read(500).decode(errors="replace")
    except (OSError, urllib.error.URLError) as error:
        return None, str(error)


# A proxy of the user's session is for the outside, not for the hub.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

if __name__ == "__main__":
    main()
