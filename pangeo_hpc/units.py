"""Memory, walltimes, durations and shares: parsed and printed here only.

Inside the package they are bytes, `timedelta` and fractions.
"""

import re
from datetime import timedelta

from pangeo_hpc.texts import Unreadable

KIB, MIB, GIB, TIB = 2**10, 2**20, 2**30, 2**40

_MEMORY = {
    "B": 1,
    "K": KIB,
    "KIB": KIB,
    "KB": 10**3,
    "M": MIB,
    "MIB": MIB,
    "MB": 10**6,
    "G": GIB,
    "GIB": GIB,
    "GB": 10**9,
    "T": TIB,
    "TIB": TIB,
    "TB": 10**12,
}
_DURATION = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_SHORT = {"s": "second", "sec": "second", "min": "minute", "h": "hour", "hr": "hour", "d": "day"}

_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d{2}):(\d{2})")


def gib(number: float) -> int:
    """Return so many GiB in bytes."""
    return int(number * GIB)


def parse_memory(value: object) -> int:
    """Return bytes from text such as ``16 GiB``, ``100GB`` or ``512M``.

    G and GiB are 2^30, GB is 10^9. Raise ValueError for a bare number or anything else.
    """
    text = _text(value, "memory", "16 GiB")
    match = _AMOUNT.fullmatch(text)
    unit = _MEMORY.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise Unreadable("limits.no_memory_amount", value=repr(text))
    amount = int(float(match[1]) * unit) if "." in match[1] else int(match[1]) * unit
    if amount <= 0:
        raise Unreadable("limits.no_memory", value=repr(text))
    return amount


def format_memory(amount: int) -> str:
    """Return bytes for a person: the largest whole unit, else one decimal."""
    for unit, name in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if amount >= unit:
            number = f"{amount / unit:.1f}".removesuffix(".0")
            return f"{number} {name}"
    return f"{amount} B"


def exact_memory(amount: int) -> str:
    """Return bytes as text that is read back as the same number: ``16 GiB``, ``100 GB``."""
    for name in ("TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "KB"):
        number, rest = divmod(amount, _MEMORY[name.upper()])
        if number and not rest:
            return f"{number} {name}"
    return f"{amount} B"


def whole_mib(amount: int) -> int:
    """Return bytes in whole MiB, rounded down: what job scripts are given."""
    return amount // MIB


def parse_walltime(value: object) -> timedelta:
    """Return the time from ``D-HH:MM:SS``, ``HH:MM:SS`` or words such as ``90 minutes``.

    Raise ValueError for bare numbers, which is what YAML makes of an unquoted ``24:00``, and for
    two fields, which mean minutes to one scheduler and hours to another.
    """
    text = _text(value, "walltime", '"04:00:00"')
    match = _CLOCK.fullmatch(text.strip())
    if match:
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        if minutes > 59 or seconds > 59:
            raise Unreadable("limits.clock", value=repr(text))
        try:
            time = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        except OverflowError:
            raise Unreadable("limits.too_long", value=repr(text)) from None
    elif re.fullmatch(r"\s*\d+:\d+\s*", text):
        raise Unreadable("limits.two_fields", value=repr(text))
    elif text.strip().isdigit():
        raise Unreadable("limits.no_unit", value=repr(text))
    else:
        time = parse_duration(text)
    if time <= timedelta(0):
        raise Unreadable("limits.no_time", value=repr(text))
    return time


def format_walltime(time: timedelta) -> str:
    """Return ``HH:MM:SS``; hours may exceed 24. Fractions of a second are rounded up."""
    total = -int(-time.total_seconds() // 1)
    return f"{total // 3600:02}:{total // 60 % 60:02}:{total % 60:02}"


def parse_duration(value: object) -> timedelta:
    """Return the time from words: ``60 days``, ``2 hours 30 minutes``; 0 is allowed bare.

    Raise ValueError for a bare number other than 0 and for unknown units.
    """
    if value == 0 and not isinstance(value, bool):
        return timedelta(0)
    text = _text(value, "duration", "7 days")
    if text.strip() == "0":
        return timedelta(0)
    position, total = 0, timedelta(0)
    while position < len(text):
        match = _AMOUNT.match(text, position)
        if not match:
            break
        word = match[2].lower()
        unit = _DURATION.get(_SHORT.get(word, word.removesuffix("s")))
        if unit is None:
            break
        try:
            total += float(match[1]) * unit
        except OverflowError:
            raise Unreadable("limits.too_long", value=repr(text)) from None
        position = match.end()
    if not text.strip() or position < len(text):
        raise Unreadable("limits.no_duration", value=repr(text))
    return total


def format_duration(time: timedelta) -> str:
    """Return a duration for a person, in its two largest units: ``2 days 3 hours``."""
    seconds = round(time.total_seconds())
    if seconds < 0:
        return f"-{format_duration(-time)}"
    parts = []
    for name in ("day", "hour", "minute", "second"):
        unit = int(_DURATION[name].total_seconds())
        number, seconds = divmod(seconds, unit)
        if number:
            parts.append(f"{number} {name}{'s' if number != 1 else ''}")
    return " ".join(parts[:2]) or "0 seconds"


def exact_duration(time: timedelta) -> str:
    """Return whole seconds as text that is read back as the same time: ``60 days``, ``0 days``."""
    seconds = round(time.total_seconds())
    for name in ("day", "hour", "minute", "second"):
        number, rest = divmod(seconds, int(_DURATION[name].total_seconds()))
        if not rest:
            return f"{number} {name}{'s' if number != 1 else ''}"
    raise AssertionError(seconds)


def exact_share(share: float) -> str:
    """Return a fraction as text that is read back as the same one: ``25 %``."""
    return f"{share * 100:.4f}".rstrip("0").rstrip(".") + " %"


def parse_share(value: object) -> float:
    """Return a fraction from ``25 %``. Raise ValueError outside 0 to 100 percent."""
    text = _text(value, "share", "25 %")
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", text)
    if not match or float(match[1]) > 100:
        message = f"{text!r} is not a share; write it as 25 %"
        raise ValueError(message)
    return float(match[1]) / 100


def _text(value: object, what: str, example: str) -> str:
    if isinstance(value, str):
        return value
    message = f"{value!r} is not a {what} with its unit; quote it and write it as {example}"
    raise ValueError(message)
