"""What a person's browser does with a notebook server: plain HTTP, a kernel, a computation."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from typing import Any

import websocket


class Browser:
    """Speaks to a notebook server at an address that holds its token."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self.place = parts.netloc + parts.path.partition("/lab")[0]
        self.token = urllib.parse.parse_qs(parts.query).get("token", [""])[0]

    def ask(
        self, path: str, body: object = None, *, token: str | None = None, method: str | None = None
    ) -> Any:
        """Return the JSON of an answer, or the number of the error that it was."""
        secret = self.token if token is None else token
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.place}{path}", data=data, method=method)
        if secret:
            request.add_header("Authorization", f"token {secret}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        return json.loads(text) if text else None

    def kernels(self) -> dict[str, str]:
        """Return the names of the kernels on offer with what a person reads."""
        specs = self.ask("/api/kernelspecs")["kernelspecs"]
        return {name: spec["spec"]["display_name"] for name, spec in specs.items()}

    def compute(self, code: str, kernel: str | None = None, *, seconds: float = 60) -> str:
        """Start a kernel, run code in it, and return what it printed; errors are printed, too."""
        started = self.ask("/api/kernels", {"name": kernel} if kernel else {})
        assert isinstance(started, dict), started
        path = f"/api/kernels/{started['id']}"
        channels = websocket.create_connection(
            f"ws://{self.place}{path}/channels",
            header=[f"Authorization: token {self.token}"],
            timeout=seconds,
        )
        try:
            return _run(channels, code, seconds)
        finally:
            channels.close()
            self.ask(path, method="DELETE")


def _run(channels: Any, code: str, seconds: float) -> str:
    mark = uuid.uuid4().hex
    header = {"msg_id": mark, "msg_type": "execute_request", "username": "", "session": mark}
    content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
    message = {"header": {**header, "version": "5.3"}, "parent_header": {}, "metadata": {}}
    channels.send(json.dumps({**message, "content": content, "channel": "shell"}))
    printed, deadline = "", time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            told = json.loads(channels.recv())
        except websocket.WebSocketException as error:
            raise ConnectionError(f"{error!r} after it printed: {printed}") from error
        if told["parent_header"].get("msg_id") != mark:
            continue
        if told["msg_type"] == "stream":
            printed += told["content"]["text"]
        elif told["msg_type"] == "error":
            printed += "\n".join(told["content"]["traceback"])
        elif told["msg_type"] == "status" and told["content"]["execution_state"] == "idle":
            return printed
    raise TimeoutError(printed)
