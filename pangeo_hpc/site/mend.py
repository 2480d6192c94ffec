"""Mend what could not be read, so that everything else can still be checked."""

import copy
from typing import Any

from pydantic import ValidationError

from pangeo_hpc.site.explain import FOLLOWS, dotted
from pangeo_hpc.site.lookup import Location, field_at
from pangeo_hpc.site.model import Site
from pangeo_hpc.site.tree import Scalar

_ROUNDS = 5


def mend(
    value: Any, error: ValidationError, context: dict[str, Any]
) -> tuple[Site | None, set[str]]:
    """Return a site in which every broken value is left out, and the paths of those values.

    A required one gets the example of its field. The site is for checks only; None if even that
    gives none.
    """
    value = copy.deepcopy(value)
    broken: set[str] = set()
    for _ in range(_ROUNDS):
        for detail in error.errors(include_url=False):
            if detail["type"] == FOLLOWS:
                continue
            location = tuple(part for part in detail["loc"] if part != "[key]")
            broken.add(dotted(location))
            if detail["type"] == "missing":
                _fill(value, location)
            else:
                _remove(value, location)
        try:
            return Site.model_validate(value, context=context), broken
        except ValidationError as again:
            error = again
    return None, broken


def _fill(value: Any, location: Location) -> None:
    parent = _at(value, location[:-1])
    field = field_at(Site, location)
    if isinstance(parent, dict) and field is not None and field.examples:
        parent[str(location[-1])] = _plain(field.examples[0])


def _remove(value: Any, location: Location) -> None:
    # an item of a list takes the list with it, so that the others keep their numbers
    while location and isinstance(location[-1], int):
        location = location[:-1]
    parent = _at(value, location[:-1])
    if location and isinstance(parent, dict):
        parent.pop(location[-1], None)


def _at(value: Any, location: Location) -> Any:
    for part in location:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _plain(example: Any) -> Any:
    """Return an example as a file would have given it."""
    if isinstance(example, dict):
        return {key: _plain(item) for key, item in example.items()}
    if isinstance(example, list):
        return [_plain(item) for item in example]
    text = str(example).lower() if isinstance(example, bool) else str(example)
    return Scalar(text, plain=not isinstance(example, str))
