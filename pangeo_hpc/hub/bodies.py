"""What a server says to the hub: a small JSON object with exactly the keys that are wanted."""

import json
from collections.abc import Collection
from typing import Any


def read(body: bytes, keys: Collection[str], *, longest: int) -> dict[str, Any] | None:
    """Return the object in a request of at most so many bytes, None for anything else."""
    if len(body) > longest:
        return None
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return given if isinstance(given, dict) and set(given) == set(keys) else None
