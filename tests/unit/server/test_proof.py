"""No secret goes to a port before whoever listens there has proven to know it."""

import asyncio
import http.client
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tornado.httpserver import HTTPServer
from tornado.web import Application

from pangeo_hpc.server import address, proof
from pangeo_hpc.server.handler import add_proof

SECRET = b"a secret that only two know"
NONCE = "0f" * 32
HOST = address.LOOPBACK


@contextmanager
def ours(secret: bytes = SECRET, *, claims: int | None = None) -> Iterator[int]:
    """Serve as a notebook server does, and yield the port; `claims` is the port it says it has."""
    listening = address.bind(HOST, (30000, 30999))
    port = listening.getsockname()[1]
    application = Application()
    add_proof(application, "/", secret, HOST, claims or port)
    ready, loops = threading.Event(), []

    async def serve() -> None:
        server = HTTPServer(application)
        server.add_sockets([listening])
        loops.append((asyncio.get_running_loop(), end := asyncio.Event()))
        ready.set()
        await end.wait()
        server.stop()
        await server.close_all_connections()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait(10)
    try:
        yield port
    finally:
        loop, end = loops[0]
        loop.call_soon_threadsafe(end.set)
        thread.join(10)


@contextmanager
def neighbour(answer: Callable[[bytes], bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Listen as somebody else would; yield the port and all that was heard."""
    heard: list[bytes] = []
    listening = address.bind(HOST, (30000, 30999))
    listening.setblocking(True)

    def serve() -> None:
        while True:
            try:
                peer, _ = listening.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(5)
                heard.append(peer.recv(65536))
                peer.sendall(answer(heard[-1]))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1], heard
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


def page(text: str, code: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {code}\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


def test_the_answer_depends_on_all_it_should() -> None:
    """Another secret, nonce, address or port gives another answer."""
    known = {
        proof.answer(SECRET, NONCE, HOST, 30000),
        proof.answer(b"another", NONCE, HOST, 30000),
        proof.answer(SECRET, "1e" * 32, HOST, 30000),
        proof.answer(SECRET, NONCE, "10.0.0.1", 30000),
        proof.answer(SECRET, NONCE, HOST, 30001),
    }
    assert len(known) == 5


@pytest.mark.parametrize(
    "nonce", ["", "0f", "xy" * 32, "0f" * 32 + "\n", "0f" * 100, "\uff10" * 32]
)
def test_what_is_no_nonce_is_not_answered(nonce: str) -> None:
    """The server signs nothing but nonces."""
    with pytest.raises(ValueError, match="nonce"):
        proof.answer(SECRET, nonce, HOST, 30000)


def test_our_own_server_proves_itself() -> None:
    """The connection on which it did is the one to go on with."""
    with ours() as port:
        connection = proof.connect(SECRET, HOST, port)
        connection.request("GET", f"/{proof.PATH}?nonce={NONCE}")
        assert connection.getresponse().read().decode() == proof.answer(SECRET, NONCE, HOST, port)
        connection.close()
        with pytest.raises(urllib.error.HTTPError, match="400") as error:
            urllib.request.urlopen(f"http://{HOST}:{port}/{proof.PATH}?nonce=short")
        error.value.close()


def test_a_server_with_another_secret_is_a_stranger() -> None:
    """Such as that of another lab of the same user, or of somebody else."""
    with ours(b"another") as port, pytest.raises(proof.Stranger, match="somebody else"):
        proof.connect(SECRET, HOST, port)


@pytest.mark.parametrize(
    "said",
    [page("yes, I am"), page("", "404 Not Found"), page("", "302 Found"), b"SSH-2.0-x\r\n\r\n",
     page("0f" * 32), page("x" * 4000)],
    ids=["words", "not found", "redirect", "no HTTP", "a digest", "long"],
)  # fmt: skip
def test_a_neighbour_is_told_a_nonce_and_no_more(said: bytes) -> None:
    """Whatever a stranger says, the secret is not sent."""
    with neighbour(lambda _: said) as (port, heard), pytest.raises(proof.Stranger):
        proof.connect(SECRET, HOST, port)
    assert len(heard) == 1
    assert SECRET not in heard[0]
    assert heard[0].startswith(b"GET /pangeo-hpc/proof?nonce=")


def test_a_neighbour_that_passes_the_question_on_is_a_stranger() -> None:
    """The real server's answer is one for the real server's port."""
    with ours() as real:

        def relay(asked: bytes) -> bytes:
            path = asked.split()[1].decode()
            with urllib.request.urlopen(f"http://{HOST}:{real}{path}") as answer:
                return page(answer.read().decode())

        with neighbour(relay) as (port, _), pytest.raises(proof.Stranger):
            proof.connect(SECRET, HOST, port)


def test_a_lost_connection_is_not_opened_anew() -> None:
    """Who takes the port after the proof gets nothing."""
    known: list[int] = []

    def once(asked: bytes) -> bytes:
        nonce = asked.split()[1].decode().partition("nonce=")[2]
        return page(proof.answer(SECRET, nonce, HOST, known[0]))

    with neighbour(once) as (port, heard):
        known.append(port)
        connection = proof.connect(SECRET, HOST, port)

        def go_on() -> None:
            for _ in range(3):
                connection.request("GET", "/api/status", headers={"Authorization": "token t"})
                connection.getresponse()

        with pytest.raises((OSError, http.client.HTTPException)):
            go_on()
        connection.close()
        assert len(heard) == 1


def test_silence_is_no_stranger() -> None:
    """A server that is not up yet, or gone, is asked again later."""
    with neighbour(lambda _: b"") as (port, _), pytest.raises(OSError, match="closed|reset"):
        proof.connect(SECRET, HOST, port)
    with pytest.raises(OSError, match="refused"):
        proof.connect(SECRET, HOST, port)
