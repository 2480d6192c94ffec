"""The program in a lab's job: binds a port, offers the kernels, serves, and tells where.

``python -m pangeo_hpc.lab.job FOLDER``, where FOLDER is that of one start.
"""

import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType

from pangeo_hpc import allocation, processes, scratch
from pangeo_hpc._version import __version__
from pangeo_hpc.envs.kernels import Offer, kernels, write
from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.files import make_directory
from pangeo_hpc.lab.folder import Order, Server, Start
from pangeo_hpc.server import notes, wording
from pangeo_hpc.server.address import Wish, bind, choose
from pangeo_hpc.server.boards import CLUSTERS
from pangeo_hpc.server.watch import Told
from pangeo_hpc.site import current_person, load_site


def main(folder: str) -> int:
    """Serve until the job ends, and leave no secret behind. Return the exit code."""
    start = Start(Path(folder))
    signal.signal(signal.SIGTERM, _leave)
    # of an earlier run of this very job, if its node failed and the job was queued again
    start.forget_server()
    try:
        serve(start)
    except PangeoHpcError as error:
        sys.stderr.write(f"pangeo-hpc: error: {error}\n")
        return error.exit_code
    except ImportError as error:
        sys.stderr.write(f"pangeo-hpc: error: {sys.executable} cannot run JupyterLab: {error}\n")
        return 1
    finally:
        start.forget_secrets()
    return 0


def serve(start: Start) -> None:
    """Bind, write the kernels, and serve; the port is told once the server answers there."""
    order = start.order
    wish = Wish(interface=order.interface, callers=order.callers, loopback=order.loopback)
    listening = bind(choose(wish), order.ports)
    say(f"this is {socket.gethostname()}, the server listens at {_place(listening)}")
    offer = offered(start, order)
    from pangeo_hpc.lab.serve import make_server

    server = make_server(
        listening,
        start.path / order.token,
        kernel=offer.default,
        runtime=make_directory(start.path / "runtime", mode=0o700),
        told=told(start),
        report=lambda: start.write_server(about(listening, offer)),
    )
    server.start()


def offered(start: Start, order: Order) -> Offer:
    """Write a kernel for each environment that works here, and say which do not."""
    site, person = load_site(start.site_file), current_person()
    variables = {
        **scratch.variable(site, person),
        **notes.prepare(start.path / "work", "/"),
        "PANGEO_HPC_SITE": str(start.site_file),
    }
    planned = kernels(site, person, order.environment, setup=order.setup, variables=variables)
    place = start.path / "jupyter"
    offer = write(planned, place, environ=dict(os.environ))
    for each in offer.left_out:
        say(f"environment {each.environment} is no kernel: {each.reason}")
    if offer.kernels:
        path = os.environ.get("JUPYTER_PATH")
        os.environ["JUPYTER_PATH"] = os.pathsep.join([str(place), *([path] if path else [])])
    return offer


def told(start: Start) -> Told:
    """Return what the server is told of its job."""
    here, site = allocation.current(), load_site(start.site_file)
    return Told(
        job=here.job_id if here else None,
        node=socket.gethostname(),
        dask=start.path / "work",
        clusters=site.user_state_path(current_person()) / CLUSTERS,
        ends=lambda: allocation.known_end(here),
        words=wording.read(start.path),
    )


def about(listening: socket.socket, offer: Offer) -> Server:
    """Return what is told about this server."""
    address, port = listening.getsockname()
    return Server(
        address=address,
        port=port,
        node=socket.gethostname(),
        pid=os.getpid(),
        started=processes.start_ticks(os.getpid()),
        version=__version__,
        kernels=tuple(kernel.environment for kernel in offer.kernels),
        left_out=tuple((each.environment, each.reason) for each in offer.left_out),
    )


def say(text: str) -> None:
    """Write a line into the job's log."""
    sys.stderr.write(f"pangeo-hpc: {text}\n")


def _place(listening: socket.socket) -> str:
    address, port = listening.getsockname()
    return f"{address}:{port}"


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
