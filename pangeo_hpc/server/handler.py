"""The server's half of the proof, for any Tornado application such as Jupyter's."""

from typing import Any

from tornado import web

from pangeo_hpc.server.proof import PATH, answer


class ProofHandler(web.RequestHandler):
    """Answers a nonce to whoever asks; it needs no login and tells nothing else."""

    def initialize(self, secret: bytes, address: str, port: int) -> None:
        """Take what the answer is made of."""
        self.secret, self.address, self.port = secret, address, port

    def get(self) -> None:
        """Answer with the digest, or with 400 for what is no nonce."""
        try:
            said = answer(self.secret, self.get_argument("nonce", ""), self.address, self.port)
        except ValueError as error:
            raise web.HTTPError(400) from error
        self.set_header("Content-Type", "text/plain")
        self.set_header("Cache-Control", "no-store")
        self.finish(said)


def add_proof(
    application: web.Application, base: str, secret: bytes, address: str, port: int
) -> None:
    """Let an application prove that it listens at an address and port and knows the secret."""
    told: dict[str, Any] = {"secret": secret, "address": address, "port": port}
    application.add_handlers(".*$", [(f"{base.rstrip('/')}/{PATH}", ProofHandler, told)])
