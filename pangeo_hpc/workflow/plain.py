"""Values as plain words: those of NumPy as Python's own, and one digest of what JSON can hold."""

import hashlib
import json
from typing import Any


def of_numpy(value: Any) -> Any:
    """Return a value of an attribute as Python's own: numbers, texts, and lists of them."""
    listed = getattr(value, "tolist", None)
    return value if listed is None else listed()


def digest_of_json(value: Any) -> str:
    """Return the SHA-256 of a value that JSON can hold, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
