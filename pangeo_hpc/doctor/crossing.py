"""Both ways between the hub's host and a node: as a server is reached, and as it reaches the hub.

The canary listens at a port of the range, and whoever runs the doctor calls there; the canary calls
the hub. What they say to one another is a random word that the canary's private folder holds.
"""

import http.client
import json
import select
import socket
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pangeo_hpc import files
from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.server import address
from pangeo_hpc.site import Hub

LISTENING, CALLED = "listening.json", "called.json"
# Seconds for one call to be taken.
_CALL = 5.0
_LONGEST = 4096


def question(hub: Hub) -> dict[str, Any]:
    """Return what a canary is asked about the way between its node and the hub."""
    return {"url": hub.connect_url, "ports": list(hub.port_range)}


def cross(folder: Path, asked: Mapping[str, Any], *, mark: str, patience: float) -> dict[str, Any]:
    """Return how the hub is reached from here, and whether it was tried to reach us."""
    return {
        "hub": call_hub(str(asked["url"])),
        "called": be_called(folder, asked, mark=mark, patience=patience),
    }


def call_hub(url: str) -> str:
    """Return why a hub does not answer at an address, empty if it does."""
    where = urlsplit(url)
    kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(where.hostname or "", where.port, timeout=_CALL)
        try:
            connection.request("GET", f"{where.path.rstrip('/')}/hub/api/")
            said = json.loads(connection.getresponse().read(_LONGEST))
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    except ValueError:
        return "something answers there that is no hub"
    return "" if isinstance(said, dict) and "version" in said else "no hub answers there"


def be_called(
    folder: Path, asked: Mapping[str, Any], *, mark: str, patience: float
) -> dict[str, Any]:
    """Listen at a port of the range until the doctor has called; return what it says of it."""
    host = urlsplit(str(asked["url"])).hostname or ""
    callers = tuple(address.resolved(host))
    nearby = bool(callers) and all(map(address.is_loopback, callers))
    here = address.choose(address.Wish(callers=callers, loopback=nearby))
    first, last = asked["ports"]
    try:
        listening = address.bind(here, (first, last))
    except PangeoHpcError as error:
        return {"words": error.text}
    with listening:
        port = listening.getsockname()[1]
        files.write_json(folder / LISTENING, {"address": here, "port": port})
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if any(entry.name == CALLED for entry in folder.iterdir()):
                words = str(files.read_json(folder / CALLED)["words"])
                return {"address": here, "port": port, "words": words}
            if select.select([listening], [], [], 0.2)[0]:
                caller, _ = listening.accept()
                with caller:
                    caller.settimeout(_CALL)
                    caller.sendall(mark.encode())
    return {"address": here, "port": port, "words": "nobody called in time"}


def call_canary(folder: Path, mark: str, nodes: Iterable[str]) -> None:
    """Call a canary that listens, by its node's name and by its address, and tell it the result."""
    told = files.read_json(folder / LISTENING)
    names = [each for node in nodes for each in address.resolved(node)]
    words: list[str] = []
    for each in dict.fromkeys((*names, str(told["address"]))):
        try:
            with socket.create_connection((each, int(told["port"])), _CALL) as connection:
                said = connection.recv(len(mark)).decode(errors="replace")
        except OSError as error:
            words.append(f"{each}: {error}")
            continue
        if said == mark:
            words = []
            break
        words.append(f"{each}: somebody else answers")
    files.write_json(folder / CALLED, {"words": "; ".join(words)})
