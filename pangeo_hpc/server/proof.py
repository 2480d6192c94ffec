"""The proof that a port is that of our own server, asked before any secret is sent there.

The caller sends a nonce; the server answers with a keyed digest of the nonce and of the address and
port it listens at. Who does not know the secret cannot answer, and who passes the question on to
the real server gets an answer for another address. The answer tells nothing about the secret.
"""

import hmac
import http.client
import re
import secrets
from hashlib import sha256
from urllib.parse import urlencode

from pangeo_hpc.errors import PangeoHpcError

PATH = "pangeo-hpc/proof"
_NONCE = re.compile(r"[0-9a-f]{32,128}")
_LONGEST = 1024


class Stranger(PangeoHpcError):
    """Somebody else's program answers where our server should be."""


def answer(secret: bytes, nonce: str, address: str, port: int) -> str:
    """Return what a server at an address and port says to a nonce.

    Raise ValueError for a nonce that is not 32 to 128 hexadecimal digits.
    """
    if not _NONCE.fullmatch(nonce):
        message = "a nonce is 32 to 128 hexadecimal digits"
        raise ValueError(message)
    text = f"pangeo-hpc proof\n{nonce}\n{address}:{port}\n"
    return hmac.new(secret, text.encode(), sha256).hexdigest()


def connect(
    secret: bytes, address: str, port: int, *, base: str = "/", timeout: float = 5.0
) -> http.client.HTTPConnection:
    """Return an open connection to our own server, which has proven on it to know the secret.

    What is sent on this connection reaches that server: it is never opened anew. Raise Stranger if
    somebody else answers, and OSError if nobody does.
    """
    nonce = secrets.token_hex(32)
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.connect()
        # a connection that was lost must not be made again to whoever listens by then
        connection.auto_open = 0
        connection.request("GET", f"{base}{PATH}?{urlencode({'nonce': nonce})}")
        said = _text(connection)
    except BaseException:
        connection.close()
        raise
    if not hmac.compare_digest(said.encode(), answer(secret, nonce, address, port).encode()):
        connection.close()
        text = f"{address}:{port} is answered by somebody else's program"
        raise Stranger(text, hint="nothing was sent there")
    return connection


def _text(connection: http.client.HTTPConnection) -> str:
    """Return the body of an answer, empty for one that cannot be a proof."""
    try:
        response = connection.getresponse()
        body = response.read(_LONGEST)
    except ConnectionError:
        raise
    except http.client.HTTPException:
        return ""
    if response.status != http.client.OK or response.read(1):
        return ""
    return body.decode(errors="replace").strip()
