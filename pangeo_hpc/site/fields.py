"""The kinds of values that stand in a site YAML, each with its reading, its text and its schema."""

from collections.abc import Hashable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from pangeo_hpc import units
from pangeo_hpc.site.amounts import (
    read_amount,
    read_flag,
    read_number,
    refuse_unquoted_clock,
    six_digits,
    whole_seconds,
)
from pangeo_hpc.site.reading import (
    read_account,
    read_account_name,
    read_bucket,
    read_choice,
    read_line,
    read_module,
    read_option,
    read_path,
    read_remark,
    read_source,
    read_template,
    read_token,
    read_url,
    read_user_path,
    read_variable,
    read_word,
)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


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


# What a plain scalar may look like to an editor that reads YAML 1.2.
_LOOSE = {"type": ["string", "number", "boolean"]}
_CLOCK = r"(\d+-)?\d+:[0-5]\d:[0-5]\d"
_AMOUNTS = r"(\d+(\.\d+)?\s*[A-Za-z]+\s*)+"

Remark = Annotated[str, BeforeValidator(read_remark), WithJsonSchema(_LOOSE)]
Line = Annotated[str, BeforeValidator(read_line), WithJsonSchema(_LOOSE)]
Token = Annotated[str, BeforeValidator(read_token), WithJsonSchema(_LOOSE)]
Word = Annotated[str, BeforeValidator(read_word), WithJsonSchema(_LOOSE)]
Account = Annotated[str, BeforeValidator(read_account), WithJsonSchema(_LOOSE)]
Module = Annotated[str, BeforeValidator(read_module), WithJsonSchema(_LOOSE)]
Bucket = Annotated[str, BeforeValidator(read_bucket), WithJsonSchema(_LOOSE)]
Variable = Annotated[str, BeforeValidator(read_variable), WithJsonSchema(_LOOSE)]
DashOption = Annotated[str, BeforeValidator(read_option), WithJsonSchema(_LOOSE)]
AccountName = Annotated[str, BeforeValidator(read_account_name), WithJsonSchema(_LOOSE)]
Source = Annotated[str, BeforeValidator(read_source), WithJsonSchema(_LOOSE)]
Choice = BeforeValidator(read_choice)
Whole = Annotated[
    int, BeforeValidator(read_number(1)), WithJsonSchema({"type": "integer", "minimum": 1})
]
Count = Annotated[
    int, BeforeValidator(read_number(0)), WithJsonSchema({"type": "integer", "minimum": 0})
]
Flag = Annotated[bool, BeforeValidator(read_flag), WithJsonSchema({"type": "boolean"})]
Memory = Annotated[
    int,
    BeforeValidator(read_amount(units.parse_memory, int)),
    PlainSerializer(units.exact_memory, when_used="json"),
    WithJsonSchema(
        {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*([KMGTkmgt]([iI]?[bB])?|B|b)\s*$"}
    ),
]
Walltime = Annotated[
    timedelta,
    BeforeValidator(read_amount(units.parse_walltime, timedelta)),
    BeforeValidator(refuse_unquoted_clock),
    AfterValidator(whole_seconds),
    PlainSerializer(units.format_walltime, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": rf"^\s*({_CLOCK}|{_AMOUNTS})\s*$"}),
]
Duration = Annotated[
    timedelta,
    BeforeValidator(read_amount(units.parse_duration, timedelta)),
    AfterValidator(whole_seconds),
    PlainSerializer(units.exact_duration, when_used="json"),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": rf"^\s*(0|{_AMOUNTS})\s*$"}, {"const": 0}]}
    ),
]
Share = Annotated[
    float,
    BeforeValidator(read_amount(units.parse_share, float)),
    AfterValidator(six_digits),
    PlainSerializer(units.exact_share, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*%\s*$"}),
]
FixedPath = Annotated[
    Path, BeforeValidator(read_path), PlainSerializer(str, when_used="json"), WithJsonSchema(_LOOSE)
]
PathTemplate = Annotated[str, BeforeValidator(read_template), WithJsonSchema(_LOOSE)]
UserPath = Annotated[str, BeforeValidator(read_user_path), WithJsonSchema(_LOOSE)]
Url = Annotated[
    str, BeforeValidator(read_url), WithJsonSchema({"type": "string", "pattern": "^https?://"})
]
WordSet = Annotated[
    frozenset[K],
    PlainSerializer(sorted, when_used="json"),
]
