"""Doctor tries both ways between the hub's host and a node."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pangeo_hpc import files
from pangeo_hpc.doctor import crossing

MARK = "mark-of-a-canary"


class Answers(http.server.BaseHTTPRequestHandler):
    """Says what its server says."""

    def do_GET(self) -> None:
        said: bytes = self.server.said  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[http.server.HTTPServer]:
    """Return a server that says that it is a hub, until it is told otherwise."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
    server.said = b'{"version": "6.1.1"}'  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_hub_is_known_by_its_answer(hub: http.server.HTTPServer) -> None:
    """A hub answers; another program, and nobody, are told apart."""
    url = f"http://127.0.0.1:{hub.server_port}"
    assert crossing.call_hub(url) == ""
    hub.said = b"[]"  # type: ignore[attr-defined]
    assert crossing.call_hub(url) == "no hub answers there"
    hub.said = b"<html>"  # type: ignore[attr-defined]
    assert crossing.call_hub(url) == "something answers there that is no hub"
    assert "refused" in crossing.call_hub("http://127.0.0.1:9")
    assert crossing.call_hub("http://no-such-host.invalid:8081")


def called(folder: Path, mark: str, patience: float = 10.0) -> dict[str, Any]:
    """Return what a canary reports that somebody with a mark calls."""
    asked = {"url": "http://127.0.0.1:9", "ports": [31000, 31999]}
    found: dict[str, Any] = {}

    def listen() -> None:
        found.update(crossing.be_called(folder, asked, mark=MARK, patience=patience))

    thread = threading.Thread(target=listen)
    thread.start()
    if mark:
        while not (folder / crossing.LISTENING).exists():
            thread.join(0.02)
        crossing.call_canary(folder, mark, ["localhost"])
    thread.join()
    return found


def test_a_canary_is_called(tmp_path: Path) -> None:
    """The doctor reaches the port, and the canary hears so."""
    found = called(tmp_path, MARK)
    assert found["words"] == ""
    assert 31000 <= found["port"] <= 31999


def test_another_program_at_the_port_is_no_canary(tmp_path: Path) -> None:
    """Whoever says another word is not who was meant."""
    assert "somebody else answers" in called(tmp_path, "other")["words"]


def test_a_canary_that_nobody_calls(tmp_path: Path) -> None:
    """It does not wait for longer than it is told."""
    assert called(tmp_path, "", patience=0.3)["words"] == "nobody called in time"


def test_a_closed_port_is_told(tmp_path: Path) -> None:
    """The words of the network reach the report."""
    files.write_json(tmp_path / crossing.LISTENING, {"address": "127.0.0.1", "port": 9})
    crossing.call_canary(tmp_path, MARK, [])
    assert "refused" in files.read_json(tmp_path / crossing.CALLED)["words"]
