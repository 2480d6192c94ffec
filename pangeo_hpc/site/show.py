"""The effective site for people: as YAML, and value by value with where each came from."""

from collections.abc import Iterator
from typing import Any

import yaml

from pangeo_hpc.site.load import Loaded
from pangeo_hpc.site.overlay import Origin
from pangeo_hpc.site.tree import join


def as_yaml(value: Any) -> str:
    """Return plain values as YAML, keys in their order."""
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
    return text


def effective(loaded: Loaded) -> dict[str, Any]:
    """Return every value of the site, as its YAML would say it."""
    content = loaded.site.dump()
    del content["format"]
    return content


def origins(loaded: Loaded) -> Iterator[tuple[str, Any, Origin]]:
    """Yield each single value: its dotted path, the value, and where it came from."""
    for path, value in _leaves(effective(loaded), ""):
        yield path, value, loaded.origin(path)


def short(value: Any) -> str:
    """Return a single value, or a list of them, on one line."""
    if isinstance(value, list):
        return "[" + ", ".join(map(short, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "", True: "true", False: "false"}[value]
    return "{}" if value == {} else str(value)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, join(path, key))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for number, item in enumerate(value):
            yield from _leaves(item, join(path, number))
    else:
        yield path, value
