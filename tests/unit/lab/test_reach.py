"""What a person types and opens, and when a lab is said to be ready."""

import socket
from dataclasses import replace

import pytest

from pangeo_hpc.errors import JobFailed
from pangeo_hpc.lab import launch, reach
from pangeo_hpc.lab.folder import Server, Start
from pangeo_hpc.server.address import LOOPBACK, bind
from pangeo_hpc.server.proof import Stranger
from pangeo_hpc.site import Person, Site
from tests.unit.lab.conftest import Queue, wanted

SERVER = Server(
    address="10.0.0.7", port=30123, node="c7", pid=1, started=2, version="0.1.0",
    kernels=("a",), left_out=(("b", "no ipykernel"),),
)  # fmt: skip


@pytest.fixture
def start(site: Site, person: Person, queue: Queue) -> Start:
    return launch.launch(site, person, wanted(), runner=queue)[0]


def test_what_is_told_is_read_again(start: Start) -> None:
    """Whole, by its owner only, and nothing before it is there."""
    assert start.server is None
    start.write_server(SERVER)
    assert start.server == SERVER
    assert (start.path / "server.json").stat().st_mode & 0o777 == 0o600
    start.forget_secrets()
    assert start.server is None


@pytest.mark.parametrize(
    ("here", "host"),
    [("login2", "login2.alpha.example"), ("login2.alpha.example", "login2.alpha.example"),
     ("elsewhere", "login1.alpha.example")],
)  # fmt: skip
def test_the_login_host(site: Site, here: str, host: str) -> None:
    """Of several the one we are on, else the first."""
    assert reach.login_host(site.login_hosts, here) == host


def test_no_login_host() -> None:
    """A site that names none gets this host's own name."""
    assert reach.login_host((), "head") == "head"


def test_the_node_s_name_if_it_leads_there() -> None:
    """Names are for people, but the address decides: a node has more than one."""
    assert reach.name_for("10.0.0.7", "c7", lambda name: ["10.0.0.7"]) == "c7"
    assert reach.name_for("10.0.0.7", "c7", lambda name: ["192.168.9.7"]) == "10.0.0.7"
    assert reach.name_for("10.0.0.7", "c7", lambda name: []) == "10.0.0.7"


def test_the_lines(
    site: Site, person: Person, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same port at both ends; only where browser and server share a machine there is no ssh."""
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    line = "ssh -N -L 30123:10.0.0.7:30123 alice@login1.alpha.example"
    assert reach.ssh_line(site, person, start, SERVER) == line
    assert reach.url(SERVER, "t0ken") == "http://localhost:30123/lab?token=t0ken"
    assert reach.url(SERVER, None) == "http://localhost:30123/lab"
    start.write_order(replace(start.order, loopback=True))
    assert reach.ssh_line(site, person, start, SERVER) is None
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.9 5022 192.0.2.1 22")
    assert str(reach.ssh_line(site, person, start, SERVER)).startswith("ssh -N -L 30123:")


def test_one_that_does_not_answer(start: Start) -> None:
    """It is given some time, then the error names the port and what to look at."""
    with bind(LOOPBACK, (30000, 30999)) as listening:
        port = listening.getsockname()[1]
    now = [0.0]
    ready = reach.watcher(start, patience=10, clock=lambda: now[0])
    assert not ready()
    start.write_server(replace(SERVER, address=LOOPBACK, port=port))
    assert not ready()
    now[0] = 9.0
    assert not ready()
    now[0] = 10.0
    with pytest.raises(JobFailed, match=rf"c7, but {LOOPBACK}:{port} does not answer from here"):
        ready()


def test_one_that_is_somebody_else(start: Start) -> None:
    """The token is not sent there."""
    import threading

    heard = []
    with socket.create_server((LOOPBACK, 0)) as listening:

        def serve() -> None:
            peer, _ = listening.accept()
            with peer:
                heard.append(peer.recv(65536))
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        thread = threading.Thread(target=serve)
        thread.start()
        start.write_server(replace(SERVER, address=LOOPBACK, port=listening.getsockname()[1]))
        with pytest.raises(Stranger, match="somebody else's program"):
            reach.watcher(start)()
        thread.join(5)
    assert start.token().encode() not in heard[0]
