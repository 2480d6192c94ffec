"""What the hub remembers of one server, from before its job is submitted until it is stopped.

It lies in JupyterHub's database, so that a hub that was killed at any moment finds its servers
again. The token itself is not kept: a digest finds the server that a report comes from, and a key
made of it proves a server.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from pangeo_hpc.jobs import with_nonce


@dataclass(frozen=True, kw_only=True)
class ServerState:
    """One start of a server. `name` is its job's and carries the nonce.

    `job` is the scheduler's id, empty until the submission was answered; `scheduler` its key in the
    site. `port` is the one the server reported, 0 before. `ends` is when its walltime is over, and
    `begun` when the hub saw it running; both in seconds since 1970.
    """

    name: str
    token_digest: str
    proof_key: str
    asked: float
    job: str = ""
    scheduler: str = ""
    node: str = ""
    address: str = ""
    port: int = 0
    begun: float | None = None
    ends: float | None = None

    @classmethod
    def new(cls, token: str, *, now: datetime | None = None) -> "ServerState":
        """Return the state of a server that is about to be submitted."""
        return cls(
            name=with_nonce("jupyter", 8),
            token_digest=digest(token),
            proof_key=proof_key(token),
            asked=(now or datetime.now(UTC)).timestamp(),
        )

    @classmethod
    def revive(cls, kept: Mapping[str, Any]) -> "ServerState | None":
        """Return the state that `plain` gave, None for anything else."""
        names = {each.name for each in fields(cls)}
        values = {key: value for key, value in kept.items() if key in names}
        try:
            return cls(**values)
        except TypeError:
            return None

    def plain(self) -> dict[str, Any]:
        """Return JSON-able values."""
        return asdict(self)


def digest(token: str) -> str:
    """Return what a token is recognized by without being kept."""
    return hashlib.sha256(token.encode()).hexdigest()


def proof_key(token: str) -> str:
    """Return the key by which a server proves that it was given this token."""
    return hmac.new(token.encode(), b"pangeo-hpc proof of a server", hashlib.sha256).hexdigest()
