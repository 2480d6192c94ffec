"""Values as JSON, exactly: what comes back has the same types and the same bits.

Lists, strings, booleans, None, whole and finite numbers, and dictionaries with names for keys are
what JSON knows. Tuples, NaN and infinities, other keys, paths and NumPy's numbers are written as an
object with one key that begins with ``$``. Anything else is refused, never changed.
"""

import json
import math
import struct
from collections.abc import Callable
from pathlib import PosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

# Kinds of NumPy's numbers: boolean, signed, unsigned, floating, complex, moment, duration.
_NUMBERS = "biufcmM"


class NotExact(Exception):
    """A value that JSON would change."""


def dumps(value: Any) -> str:
    """Return a value as one line of strict JSON. Raise NotExact for what it would change."""
    try:
        return json.dumps(_packed(value), allow_nan=False, separators=(",", ":"))
    except (ValueError, RecursionError) as error:
        # whole numbers of thousands of digits, and what contains itself
        raise NotExact(str(error)) from None


def loads(text: str) -> Any:
    """Return the value of a text that `dumps` returned."""
    return _unpacked(json.loads(text))


def _packed(value: Any) -> Any:
    """Return a value in terms of JSON; types are compared exactly, since subclasses would go."""
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"$float": struct.pack(">d", value).hex()}
    if kind is list:
        return [_packed(each) for each in value]
    if kind is tuple:
        return {"$tuple": [_packed(each) for each in value]}
    if kind is dict:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: _packed(each) for key, each in value.items()}
        return {"$dict": [[_packed(key), _packed(each)] for key, each in value.items()]}
    if kind is PosixPath:
        return {"$path": str(value)}
    if kind.__module__ == "numpy":
        return _packed_number(value)
    raise NotExact(f"{kind.__qualname__} is nothing that JSON knows")


def _packed_number(value: "np.generic") -> Any:
    import numpy as np

    if not isinstance(value, np.generic) or value.dtype.kind not in _NUMBERS:
        raise NotExact(f"{type(value).__qualname__} is nothing that JSON knows")
    # the words are for people, the bits are what is read
    return {"$numpy": [value.dtype.str, value.tobytes().hex(), str(value)]}


def _unpacked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpacked(each) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (name,) = value
        if name in _MARKS:
            return _MARKS[name](value[name])
    return {key: _unpacked(each) for key, each in value.items()}


def _number(told: list[str]) -> Any:
    import numpy as np

    return np.frombuffer(bytes.fromhex(told[1]), dtype=np.dtype(told[0]))[0]


_MARKS: dict[str, Callable[[Any], Any]] = {
    "$float": lambda told: struct.unpack(">d", bytes.fromhex(told))[0],
    "$tuple": lambda told: tuple(_unpacked(each) for each in told),
    "$dict": lambda told: {_unpacked(key): _unpacked(each) for key, each in told},
    "$path": PosixPath,
    "$numpy": _number,
}
