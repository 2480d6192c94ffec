"""The kinds of values that stand in a site YAML, each with its reading, its text and its schema.

A value from a file arrives as a `Scalar` with its raw text; one from Python may already be typed.
"""

import math
import re
from collections.abc import Callable, Hashable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core.core_schema import ValidationInfo

from pangeo_hpc import units
from pangeo_hpc.site.tree import Scalar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Wrong(ValueError):
    """A value that cannot be used, with the next step as its hint."""

    def __init__(self, text: str, hint: str | None = None) -> None:
        super().__init__(text)
        self.text, self.hint = text, hint


class FrozenDict(dict[K, V]):
    """A dict that never changes, so that a site is frozen all the way down."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        message = "a site is frozen: load another one instead of changing it"
        raise TypeError(message)

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type, tuple[dict[K, V]]]:
        return FrozenDict, (dict(self),)

    def __copy__(self) -> "FrozenDict[K, V]":
        return self

    def __deepcopy__(self, _: object) -> "FrozenDict[K, V]":
        return self


def shown(value: object) -> str:
    """Return a value as a person wrote it, short enough for a message."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple | set | frozenset):
        return "a list"
    text = str(value)
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _raw(value: object, what: str) -> str:
    """Return text as it was typed. Raise Wrong for lists, mappings and Python's own numbers."""
    if isinstance(value, Path):
        return str(value)
    if not isinstance(value, str):
        raise Wrong(f"{shown(value)} is not {what}", f"write {what} here")
    return str.__str__(value)


def _text(value: object) -> str:
    text = _raw(value, "text").strip()
    if not text:
        raise Wrong("the text is empty", "write something, or remove the key")
    return text


def _remark(value: object) -> str:
    text = " ".join(_raw(value, "text").split())
    if not text.isprintable():
        raise Wrong("there are control characters in it", "write plain text")
    return text


def _line(value: object) -> str:
    text = _text(value)
    if not text.isprintable():
        raise Wrong("this must be one line without control characters", "write it as one line")
    return text


def _word(value: object) -> str:
    text = _line(value)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", text):
        hint = "use letters, digits, dot, dash and underscore, a letter or digit first, at most 63"
        raise Wrong(f"{shown(text)} is not a name", hint)
    return text


def _token(value: object) -> str:
    """Return text without blanks: names that the scheduler knows."""
    text = _line(value)
    if re.search(r"\s", text) or text.startswith("-"):
        hint = "write it without blanks, a letter or digit first"
        raise Wrong(f"{shown(text)} is not one word", hint)
    return text


def _choice(value: object) -> str:
    """Return a word of a fixed list as it was typed; the list itself is checked after this."""
    return _raw(value, "a word").strip()


def _variable(value: object) -> str:
    text = _line(value)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        hint = "use letters, digits and underscore"
        raise Wrong(f"{shown(text)} is not the name of an environment variable", hint)
    return text


def _option(value: object) -> str:
    text = _line(value)
    if not re.fullmatch(r"-[A-Za-z]", text):
        raise Wrong(f"{shown(text)} is not an option", "write a dash and one letter, as in -A")
    return text


def _account(value: object) -> str:
    """Return a rule for accounts, and refuse what YAML readers take for true and false."""
    text = _token(value)
    plain = not isinstance(value, Scalar) or value.plain
    if plain and text.lower() in ("yes", "no", "true", "false", "on", "off"):
        hint = "write required, optional or none; quote it if an account has that name"
        raise Wrong(f"{shown(text)} is no rule for accounts", hint)
    return text


def _module(value: object) -> str:
    text = _token(value)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+/:=@-]*", text):
        hint = "write what follows `module load`, one module per item"
        raise Wrong(f"{shown(text)} is not the name of a module", hint)
    return text


def _bucket(value: object) -> str:
    text = _token(value)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", text):
        raise Wrong(f"{shown(text)} is not the name of a bucket", "write it without s3://")
    return text


def _account_name(value: object) -> str:
    text = _token(value)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@+:-]*", text) or ".." in text:
        hint = "use letters, digits, dot, dash, plus, colon, @ and underscore"
        raise Wrong(f"{shown(text)} cannot be an account or a project", hint)
    return text


def _source(value: object, info: ValidationInfo) -> str:
    """Return an address, or the path of a file."""
    text = _line(value)
    return text if "://" in text else _template(text, info)


def _quoted_number(text: str, value: object) -> bool:
    return isinstance(value, Scalar) and not value.plain and bool(re.fullmatch(r"-?\d+", text))


def _number(smallest: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            number = value
        else:
            text = _raw(value, "a whole number").strip()
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


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = _raw(value, "true or false").strip()
    plain = not isinstance(value, Scalar) or value.plain
    if plain and text in ("true", "True", "TRUE"):
        return True
    if plain and text in ("false", "False", "FALSE"):
        return False
    raise Wrong(f"{shown(text)} is neither true nor false", "write true or false, unquoted")


def _from_units(parse: Callable[[object], V], typed: type) -> Callable[[object], V]:
    """Return a reader that takes text with its unit, or a value that Python already typed."""

    def read(value: object) -> V:
        if isinstance(value, typed) and not isinstance(value, bool | str):
            return value  # type: ignore[return-value]
        try:
            return parse(_raw(value, "text with a unit"))
        except Wrong:
            raise
        except (ValueError, OverflowError) as error:
            text, _, hint = str(error).partition("; ")
            raise Wrong(text, hint or None) from error

    return read


def _whole_seconds(time: timedelta) -> timedelta:
    return timedelta(seconds=math.ceil(time.total_seconds()))


def _six_digits(share: float) -> float:
    return round(share, 6)


def _unquoted_clock(value: object) -> object:
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


def _placed(text: str, info: ValidationInfo) -> str:
    """Return a path below the folder of the file it stands in, unless it is absolute."""
    context = info.context or {}
    if text.startswith(("/", "~")) or "base" not in context:
        return text
    return str(_normal(Path(context["base"]) / text))


def _normal(path: Path) -> Path:
    """Return a path without ``..``, symlinks untouched."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts and parts[-1] not in ("/", ".."):
            parts.pop()
        elif part != ".":
            parts.append(part)
    return Path(*parts)


def _template(value: object, info: ValidationInfo) -> str:
    text = _line(value)
    if "$" in text:
        hint = "use {user}, {user[0]}, {group}, {project} or ~, which work for everybody"
        raise Wrong(f"{shown(text)} has a shell variable, which is not expanded here", hint)
    if text.startswith("~") and not re.match(r"~(/|$)", text):
        raise Wrong(f"{shown(text)} names another user's home", "write the whole path")
    return _placed(text, info)


def _path(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    text = _template(value, info)
    if "{" in text:
        raise Wrong(f"{shown(text)} has a placeholder", "this path is the same for all users")
    if text.startswith("~"):
        home = (info.context or {}).get("home")
        text = str(Path(home or Path.home()) / text[1:].lstrip("/"))
    return _normal(Path(text))


def _url(value: object) -> str:
    text = _line(value)
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", text):
        hint = "write http:// or https://, a host, and perhaps a port and a path"
        raise Wrong(f"{shown(text)} is not the address of a web server", hint)
    return text


# What a plain scalar may look like to an editor that reads YAML 1.2.
_LOOSE = {"type": ["string", "number", "boolean"]}
_CLOCK = r"(\d+-)?\d+:[0-5]\d:[0-5]\d"
_AMOUNTS = r"(\d+(\.\d+)?\s*[A-Za-z]+\s*)+"

Remark = Annotated[str, BeforeValidator(_remark), WithJsonSchema(_LOOSE)]
Line = Annotated[str, BeforeValidator(_line), WithJsonSchema(_LOOSE)]
Token = Annotated[str, BeforeValidator(_token), WithJsonSchema(_LOOSE)]
Word = Annotated[str, BeforeValidator(_word), WithJsonSchema(_LOOSE)]
Account = Annotated[str, BeforeValidator(_account), WithJsonSchema(_LOOSE)]
Module = Annotated[str, BeforeValidator(_module), WithJsonSchema(_LOOSE)]
Bucket = Annotated[str, BeforeValidator(_bucket), WithJsonSchema(_LOOSE)]
Variable = Annotated[str, BeforeValidator(_variable), WithJsonSchema(_LOOSE)]
DashOption = Annotated[str, BeforeValidator(_option), WithJsonSchema(_LOOSE)]
AccountName = Annotated[str, BeforeValidator(_account_name), WithJsonSchema(_LOOSE)]
Source = Annotated[str, BeforeValidator(_source), WithJsonSchema(_LOOSE)]
Choice = BeforeValidator(_choice)
Whole = Annotated[
    int, BeforeValidator(_number(1)), WithJsonSchema({"type": "integer", "minimum": 1})
]
Count = Annotated[
    int, BeforeValidator(_number(0)), WithJsonSchema({"type": "integer", "minimum": 0})
]
Flag = Annotated[bool, BeforeValidator(_flag), WithJsonSchema({"type": "boolean"})]
Memory = Annotated[
    int,
    BeforeValidator(_from_units(units.parse_memory, int)),
    PlainSerializer(units.exact_memory, when_used="json"),
    WithJsonSchema(
        {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*([KMGTkmgt]([iI]?[bB])?|B|b)\s*$"}
    ),
]
Walltime = Annotated[
    timedelta,
    BeforeValidator(_from_units(units.parse_walltime, timedelta)),
    BeforeValidator(_unquoted_clock),
    AfterValidator(_whole_seconds),
    PlainSerializer(units.format_walltime, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": rf"^\s*({_CLOCK}|{_AMOUNTS})\s*$"}),
]
Duration = Annotated[
    timedelta,
    BeforeValidator(_from_units(units.parse_duration, timedelta)),
    AfterValidator(_whole_seconds),
    PlainSerializer(units.exact_duration, when_used="json"),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": rf"^\s*(0|{_AMOUNTS})\s*$"}, {"const": 0}]}
    ),
]
Share = Annotated[
    float,
    BeforeValidator(_from_units(units.parse_share, float)),
    AfterValidator(_six_digits),
    PlainSerializer(units.exact_share, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*%\s*$"}),
]
FixedPath = Annotated[
    Path, BeforeValidator(_path), PlainSerializer(str, when_used="json"), WithJsonSchema(_LOOSE)
]
PathTemplate = Annotated[str, BeforeValidator(_template), WithJsonSchema(_LOOSE)]
Url = Annotated[
    str, BeforeValidator(_url), WithJsonSchema({"type": "string", "pattern": "^https?://"})
]
WordSet = Annotated[
    frozenset[K],
    PlainSerializer(sorted, when_used="json"),
]
