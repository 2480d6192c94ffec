"""Outputs that were not begun to grow: which of them can, and how they are laid out then."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pangeo_hpc.workflow.writing.layout import Layout


def growable(
    structure: Mapping[str, Any], layouts: Mapping[str, Any], dim: str
) -> dict[str, Any] | None:
    """Return structure, layouts and length of an output not begun to grow, as of one that grows.

    None if it grows already, or cannot: its files must not end amid a unit, or cover all of `dim`.
    """
    if structure["append"] is not None or structure["groups"] != [""]:
        return None
    layout = Layout.load(layouts[""])
    if layout.along != dim or layout.gathered:
        return None
    variables = structure["variables"]
    common = math.lcm(
        *(layout.grids[n].write[variables[n]["dims"].index(dim)] for n in layout.by_unit)
    )
    unit = layout.unit
    if unit >= layout.length:
        # there is but one, which ends where a file of whole chunks would
        unit = -(-unit // common) * common
    if unit % common:
        return None
    grown = replace(layout, unit=unit, append=dim)
    return {
        "structure": {
            **structure,
            "append": dim,
            "variables": {name: _growing(each, dim) for name, each in variables.items()},
        },
        "layouts": {"": grown.dump()},
        # its entry of coordinates does not tell it
        "length": layout.length,
    }


def _growing(variable: Mapping[str, Any], dim: str) -> dict[str, Any]:
    lengths = zip(variable["dims"], variable["shape"], strict=True)
    return {**variable, "shape": ["growing" if name == dim else size for name, size in lengths]}
