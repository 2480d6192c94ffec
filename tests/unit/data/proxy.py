"""What lies between a client and an S3 server: it can keep silent, or answer for the server."""

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


class Proxy:
    """An HTTP server of its own; `count` are the requests that it saw, `signed` whether one was."""

    def __init__(
        self, status: int | None = None, body: str = "", tls: ssl.SSLContext | None = None
    ) -> None:
        self.count = 0
        self.signed = False
        self.released = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            # clients that expect a 100 are sent one
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                proxy.count += 1
                proxy.signed = proxy.signed or "Authorization" in self.headers
                length = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(length)
                if status is None:
                    # silent until the test is over
                    proxy.released.wait(60)
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Type", "application/xml")
                data = b"" if self.command == "HEAD" else body.encode()
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{port}"
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
            self.url = f"https://localhost:{port}"

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


def s3_error(code: str, message: str = "no") -> str:
    """Return what S3 answers with an error, as in its documentation (ErrorResponses)."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    )
