"""Walk the models by the path of a value: what may stand there, and what it looks like."""

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from pangeo_hpc.site.model.base import Part

# What a part stands in: under a name, in a list, or directly under the key.
Inside = Literal["names", "list"] | None
Location = Sequence[str | int]


def key_of(name: str, field: FieldInfo) -> str:
    """Return the key of a field in the YAML."""
    return field.alias or name


def fields_of(model: type[Part]) -> dict[str, FieldInfo]:
    """Return the fields of a model by their keys."""
    return {key_of(name, field): field for name, field in model.model_fields.items()}


def part_of(annotation: Any) -> tuple[type[Part] | None, Inside]:
    """Return the model that a field holds, and whether it is in a mapping or a tuple."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return part_of(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        for option in get_args(annotation):
            found = part_of(option)
            if found[0]:
                return found
        return None, None
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return part_of(get_args(annotation)[1])[0], "names"
    if origin is tuple:
        return part_of(get_args(annotation)[0])[0], "list"
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation, None
    return None, None


def model_at(model: type[Part], location: Location) -> type[Part] | None:
    """Return the model of the mapping at a location; None if there is none."""
    here: type[Part] | None = model
    inside: Inside = None
    for part in location:
        if inside is not None:
            inside = None
            continue
        field = fields_of(here).get(str(part)) if here else None
        if field is None:
            return None
        here, inside = part_of(field.annotation)
    return here if inside is None else None


def keys_at(model: type[Part], location: Location) -> list[str]:
    """Return the keys that may stand at a location."""
    found = model_at(model, location)
    return list(fields_of(found)) if found else []


def field_at(model: type[Part], location: Location) -> FieldInfo | None:
    """Return the field whose value is at a location; None inside free mappings and lists."""
    if not location:
        return None
    found = model_at(model, location[:-1])
    return fields_of(found).get(str(location[-1])) if found else None


def models(model: type[Part]) -> Iterator[type[Part]]:
    """Yield a model and all those below it, each once."""
    seen: dict[type[Part], None] = {}

    def walk(each: type[Part]) -> None:
        if each in seen:
            return
        seen[each] = None
        for field in each.model_fields.values():
            below, _ = part_of(field.annotation)
            if below:
                walk(below)

    walk(model)
    yield from seen
