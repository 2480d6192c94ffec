"""A server reports its port until the hub has said that it noted it."""

import asyncio
import http.server
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pangeo_hpc.hub import singleuser


class FakeHub(http.server.HTTPServer):
    """Answers reports with the given codes in turn; 0 breaks the connection off."""

    codes: list[int]
    heard: list[tuple[str, str, Any]]


class Handler(http.server.BaseHTTPRequestHandler):
    """Notes every report."""

    server: FakeHub

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.heard.append((self.path, self.headers["Authorization"], body))
        code = self.server.codes.pop(0)
        if not code:
            self.close_connection = True
            return
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """Return a hub at whose address a server reports."""
    server = FakeHub(("127.0.0.1", 0), Handler)
    server.heard = []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("JUPYTERHUB_API_URL", f"http://127.0.0.1:{server.server_port}/hub/api")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Ended(Exception):
    """The server ended itself."""


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the pauses that were made, which take no time here."""
    made: list[float] = []

    async def pause(seconds: float) -> None:
        made.append(seconds)

    def end(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(singleuser.asyncio, "sleep", pause)
    monkeypatch.setattr(singleuser.os, "_exit", end)
    return made


def report() -> None:
    asyncio.run(singleuser.report(30123, "s3cret", logging.getLogger("test")))


def test_it_tries_until_the_hub_says_yes(hub: FakeHub, pauses: list[float]) -> None:
    """A broken connection, an error and a proxy without a hub are no answer; pauses grow."""
    hub.codes = [0, 500, 503, 404, 502, 200]
    report()
    one = ("/hub/api/pangeo-hpc/port", "token s3cret", {"port": 30123})
    assert hub.heard == [one] * 6
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0]


@pytest.mark.parametrize("code", [400, 403, 409])
def test_a_no_ends_the_server(hub: FakeHub, pauses: list[float], code: int) -> None:
    """A server that nobody waits for does not burn its walltime."""
    hub.codes = [503, code]
    with pytest.raises(Ended):
        report()
    assert pauses == [1.0]


def test_it_gives_up_at_last(hub: FakeHub, pauses: list[float]) -> None:
    """A hub that is away for half an hour has no use for the server any more."""
    hub.codes = [503] * 1000
    with pytest.raises(Ended):
        report()
    assert max(pauses) == 30.0
    assert 1800 < sum(pauses) < 1860
