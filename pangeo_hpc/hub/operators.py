"""The operators' side, outside the hub: ask the running one, or read what its database knows.

Whoever may read the hub's private directory, root and its own account, is an operator.
"""

import json
import secrets
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from traitlets.config.loader import LazyConfigValue

from pangeo_hpc import files, private
from pangeo_hpc.errors import HubUnreachable, NotAllowed
from pangeo_hpc.hub import idle
from pangeo_hpc.hub.state import ServerState
from pangeo_hpc.site import Hub

NAME = "pangeo-hpc-status"
TOKEN, DATABASE = "status-token", "jupyterhub.sqlite"
_SCOPES = ["admin:server_state"]
# For so long what idle servers gave back is added up.
DAYS = 30


@dataclass(frozen=True)
class Known:
    """One server that the hub's database knows: whose it is, its name, and its state."""

    user: str
    server: str
    profile: str
    state: ServerState


def admit(config: Any, state: Path) -> None:
    """Give `hub status` a token that may read the servers' state, and nothing else.

    Services and roles that are configured already stay; doing it again changes nothing.
    """
    token = _token(state)
    for name, entry in (
        ("services", {"name": NAME, "api_token": token}),
        ("load_roles", {"name": NAME, "scopes": _SCOPES, "services": [NAME]}),
    ):
        there = config.JupyterHub.get(name, [])
        if isinstance(there, LazyConfigValue):
            there = there.get_value([])
        others = [each for each in there if each.get("name") != NAME]
        setattr(config.JupyterHub, name, [*others, entry])


def _token(state: Path) -> str:
    """Return the token of this hub, made on first use."""
    path = state / TOKEN
    if not path.exists():
        files.write_atomic(path, secrets.token_hex(32), mode=0o600)
    return private.read(path).decode()


def ask(hub: Hub, state: Path, *, timeout: float = 20.0) -> dict[str, Any]:
    """Return what the running hub tells. Raise HubUnreachable if there is none, or NotAllowed."""
    base = urlparse(hub.url).path.rstrip("/")
    url = f"{hub.connect_url.rstrip('/')}{base}/hub/api/pangeo-hpc/status"
    request = urllib.request.Request(  # noqa: S310 - the hub's own address
        url, headers={"Authorization": f"token {read_token(state)}"}
    )
    try:
        with _OPENER.open(request, timeout=timeout) as answer:
            told: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        text = f"the hub at {hub.connect_url} does not accept the token of {state}: {error.code}"
        hint = "is it the hub of this site and this directory? see --state"
        raise HubUnreachable(text, hint=hint) from None
    except (OSError, ValueError) as error:
        said = getattr(error, "reason", error)
        text = f"the hub does not answer at {hub.connect_url}: {said}"
        hint = "start it: systemctl start pangeo-hpc-hub, or pangeo-hpc hub run"
        raise HubUnreachable(text, hint=hint) from None
    return told


def read_token(state: Path) -> str:
    """Return the token. Raise NotAllowed for whoever is no operator."""
    path = state / TOKEN
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        text = f"no hub has run with {state} as its directory"
        hint = "start it: systemctl start pangeo-hpc-hub; or give its own directory: --state DIR"
        raise HubUnreachable(text, hint=hint) from None
    except OSError as error:
        raise _unreadable(path, str(error.strerror)) from None


def remembered(state: Path) -> tuple[Known, ...]:
    """Return every server that the hub's database knows, running hub or not.

    Raise NotAllowed if it cannot be read. There is none in a database that is not there.
    """
    path = state / DATABASE
    try:
        path.stat()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _unreadable(path, str(error.strerror)) from None
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as database:
            return tuple(_known(database))
    except sqlite3.Error as error:
        raise _unreadable(path, str(error)) from None


def _unreadable(path: Path, why: str) -> NotAllowed:
    text = f"{path} cannot be read: {why}"
    return NotAllowed(text, hint="run this as root or as the hub's own account")


def given_back(state: Path, now: float | None = None) -> dict[str, Any]:
    """Return what stops of idle servers gave back in the last 30 days, together and by user."""
    since = (time.time() if now is None else now) - DAYS * 86400
    try:
        entries = idle.read(state / idle.JOURNAL, since)
    except OSError as error:
        raise _unreadable(state / idle.JOURNAL, str(error.strerror)) from None
    users = sorted({each.user for each in entries})
    by_user = {user: idle.total([e for e in entries if e.user == user]) for user in users}
    return {
        "days": DAYS,
        "servers": len(entries),
        "core_hours": round(idle.total(entries), 2),
        "by_user": {user: round(hours, 2) for user, hours in by_user.items()},
    }


def _known(database: sqlite3.Connection) -> Iterator[Known]:
    rows = database.execute(
        "SELECT users.name, spawners.name, spawners.state"
        " FROM spawners JOIN users ON users.id = spawners.user_id ORDER BY 1, 2"
    )
    for user, server, kept in rows:
        state = json.loads(kept or "{}") or {}
        inner = state.get("child_state") or state
        found = ServerState.revive(inner.get("server") or {})
        if found is not None:
            yield Known(user, server, state.get("profile", "batch"), found)


def last_known(servers: tuple[Known, ...], now: float | None = None) -> list[dict[str, Any]]:
    """Return the database's servers as `status.row` tells them; what only a hub knows is None."""
    moment = time.time() if now is None else now
    return [
        {
            "user": each.user,
            "server": each.server,
            "ready": None,
            "profile": each.profile,
            "state": None,
            "reason": None,
            "job": each.state.job,
            "scheduler": each.state.scheduler,
            "name": each.state.name,
            "node": each.state.node,
            "queue": None,
            "asked": each.state.asked,
            "begun": each.state.begun,
            "walltime_left": max(0.0, each.state.ends - moment) if each.state.ends else None,
            "memory": None,
            "memory_used": None,
        }
        for each in servers
    ]


# A proxy of the operator's session is for the outside.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
