"""How numbers, flags and amounts with units are read; nothing is ever guessed."""

import math
import re
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from pangeo_hpc.site.reading import Wrong, raw_text, shown
from pangeo_hpc.site.tree import Scalar

V = TypeVar("V")


def _quoted_number(text: str, value: object) -> bool:
    return isinstance(value, Scalar) and not value.plain and bool(re.fullmatch(r"-?\d+", text))


def read_number(smallest: int) -> Callable[[object], int]:
    """Return a reader of whole numbers from a smallest one on."""

    def read(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            number = value
        else:
            text = raw_text(value, "a whole number").strip()
            if _quoted_number(text, value):
                raise Wrong(f"{shown(text)} is quoted", f"write {text} without quotes")
            if re.fullmatch(r"0\d+", text):
                plain = text.lstrip("0") or "0"
                raise Wrong(f"{text} could be read as an octal number", f"write {plain}")
            if not re.fullmatch(r"-?\d{1,12}", text):
                raise Wrong(f"{shown(text)} is not a whole number", "write digits only")
            number = int(text)
        if number < smallest:
            raise Wrong(f"{number} is too small", f"write {smallest} or more")
        return number

    return read


def read_flag(value: object) -> bool:
    """Return true or false, written in these words only."""
    if isinstance(value, bool):
        return value
    text = raw_text(value, "true or false").strip()
    plain = not isinstance(value, Scalar) or value.plain
    if plain and text in ("true", "True", "TRUE"):
        return True
    if plain and text in ("false", "False", "FALSE"):
        return False
    raise Wrong(f"{shown(text)} is neither true nor false", "write true or false, unquoted")


def read_amount(parse: Callable[[object], V], typed: type) -> Callable[[object], V]:
    """Return a reader that takes text with its unit, or a value that Python already typed."""

    def read(value: object) -> V:
        if isinstance(value, typed) and not isinstance(value, bool | str):
            return value  # type: ignore[return-value]
        try:
            return parse(raw_text(value, "text with a unit"))
        except Wrong:
            raise
        except (ValueError, OverflowError) as error:
            text, _, hint = str(error).partition("; ")
            raise Wrong(text, hint or None) from error

    return read


def whole_seconds(time: timedelta) -> timedelta:
    """Return a time in whole seconds, rounded up."""
    return timedelta(seconds=math.ceil(time.total_seconds()))


def six_digits(share: float) -> float:
    """Return a fraction that its text gives back exactly."""
    return round(share, 6)


def refuse_unquoted_clock(value: object) -> object:
    """Refuse what YAML would have made a number of, with the way to write it."""
    if isinstance(value, Scalar) and value.plain and value.kind == "int":
        text = str.__str__(value)
        if re.fullmatch(r"\d+:\d\d?", text):
            first, second = text.split(":")
            number = int(first) * 60 + int(second)
            fields = f'"{int(first):02}:{int(second):02}:00"'
            raise Wrong(
                f"unquoted {text} is the number {number} to YAML, and could be hours or minutes",
                f"quote it and write three fields, as in {fields} for {first} hours",
            )
    return value
