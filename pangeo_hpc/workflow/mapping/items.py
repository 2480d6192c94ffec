"""What an item is known by: a digest of its value, the same in every process and every attempt."""

import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import partial
from pathlib import PurePath
from typing import Any
from uuid import UUID

from pangeo_hpc.errors import UsageError

_ADDRESS = re.compile(r"\b0x[0-9a-f]+\b")
_HINT = "say what it is known by: item_key=lambda item: ..."
# Told by their repr, which holds all of them.
_PLAIN: tuple[type, ...] = (
    int,
    float,
    complex,
    str,
    bytes,
    bool,
    type(None),
    type(Ellipsis),
    range,
)
_PLAIN += (datetime, date, time, timedelta, Decimal, Fraction, UUID)
# Their values are digested by Dask, which knows how.
_ARRAYS = frozenset(("numpy", "pandas", "xarray", "dask", "cftime"))
_LABEL = 60


@dataclasses.dataclass(frozen=True, eq=False)
class Item:
    """One item: its value, its digest, and what a person calls it.

    `surely` is False where the digest is only of what the item says of itself.
    """

    value: Any
    digest: str
    label: str
    surely: bool = True


class Unknown(Exception):
    """A value that no digest can be made of."""


def known(items: Iterable[Any], item_key: Callable[[Any], Any] | None) -> list[Item]:
    """Return what each item is known by. Raise UsageError for those that are known by nothing."""
    found = []
    for number, value in enumerate(items):
        name = value if item_key is None else item_key(value)
        try:
            text, surely = written(name)
        except Unknown as error:
            raise UsageError(f"item {number} of run.map {error}", hint=_HINT) from None
        label = str(name) if isinstance(name, str | PurePath) else repr(name)
        label = " ".join(label.split())
        label = label if len(label) <= _LABEL else f"{label[: _LABEL - 1]}…"
        found.append(Item(value, hashlib.sha256(text.encode()).hexdigest(), label, surely))
    _told_apart(found, by_hand=item_key is not None)
    return found


def digest_of(value: Any) -> str:
    """Return the digest of a value. Raise Unknown if none can be made."""
    return hashlib.sha256(written(value)[0].encode()).hexdigest()


def written(value: Any) -> tuple[str, bool]:
    """Return a value as a text that no other value has, and whether that is sure.

    It is not where a class only says itself what its objects are (`__repr__`). Raise Unknown for
    what has no value that could be told, such as functions and open files.
    """
    unsure: list[Any] = []
    return _text(value, unsure), not unsure


def _text(value: Any, unsure: list[Any]) -> str:
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind in _PLAIN:
        return f"{kind.__name__}:{value!r}"
    if isinstance(value, PurePath):
        return f"path:{str(value)!r}"
    if isinstance(value, Enum):
        return f"{name}.{value.name}"
    whole = partial(_text, unsure=unsure)
    if kind in (list, tuple):
        return f"{kind.__name__}:[{', '.join(map(whole, value))}]"
    if kind in (set, frozenset):
        return f"{kind.__name__}:[{', '.join(sorted(map(whole, value)))}]"
    if kind is dict:
        pairs = sorted(f"{whole(key)}: {whole(each)}" for key, each in value.items())
        return f"dict:[{', '.join(pairs)}]"
    if kind is slice:
        return f"slice:[{', '.join(map(whole, (value.start, value.stop, value.step)))}]"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = [f"{f.name}={whole(getattr(value, f.name))}" for f in dataclasses.fields(value)]
        return f"{name}({', '.join(parts)})"
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return f"{name}:[{', '.join(map(whole, value))}]"
    if kind.__module__.partition(".")[0] in _ARRAYS or hasattr(value, "__dask_tokenize__"):
        return f"{name}:{_token(value)}"
    return f"{name}:{_repr(value, unsure)}"


def _token(value: Any) -> str:
    from dask.base import tokenize

    try:
        return str(tokenize(value, ensure_deterministic=True))
    except (RuntimeError, TypeError, ValueError) as error:
        raise Unknown(f"is a {type(value).__qualname__} without a digest ({error})") from None


def _repr(value: Any, unsure: list[Any]) -> str:
    kind = type(value)
    text = "" if callable(value) or _says_nothing(kind) else repr(value)
    if not text or _ADDRESS.search(text):
        shown = _ADDRESS.sub("…", repr(value))
        raise Unknown(f"is {shown[:_LABEL]}, which says nothing that lasts") from None
    unsure.append(value)
    return text


def _says_nothing(kind: type) -> bool:
    """Tell whether a class leaves it to Python to say what its objects are."""
    return getattr(kind, "__repr__", None) is object.__repr__


def _told_apart(items: list[Item], *, by_hand: bool) -> None:
    """Raise UsageError if two items that differ would be taken for the same."""
    first: dict[str, Item] = {}
    for item in items:
        other = first.setdefault(item.digest, item)
        if other is item or (item.surely and not by_hand):
            continue
        if item.value is other.value or _equal(item.value, other.value):
            continue
        text = f"two items of run.map differ and are both known as {item.label}"
        raise UsageError(text, hint="let item_key= tell them apart" if by_hand else _HINT)


def _equal(left: Any, right: Any) -> bool:
    try:
        return bool(left == right)
    except (TypeError, ValueError):
        # arrays are not one truth; what they are known by was checked by their digests
        return digest_of(left) == digest_of(right)
