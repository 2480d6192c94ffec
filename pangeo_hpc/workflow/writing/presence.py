"""Look whether the files of finished units are still there, as they may not be on scratch.

A file that a purge took away reads as missing values, and nobody would say so.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc.workflow.writing.layout import GATHERED, Unit
from pangeo_hpc.workflow.writing.parts import Part
from pangeo_hpc.workflow.writing.store import survey
from pangeo_hpc.workflow.writing.work import piece

if TYPE_CHECKING:
    import zarr

Entries = Mapping[str, Mapping[str, Any]]


def lacks_metadata(target: Path, parts: Sequence[Part]) -> bool:
    """Tell whether a variable of a store is not even described there."""
    return not all(
        (target / part.path(name) / "zarr.json").is_file()
        for part in parts
        for name in (".", *part.layout.names)
    )


def incomplete(parts: Sequence[Part], target: Path, pieces: Path, finished: Entries) -> list[str]:
    """Return the keys of those finished units that lack a file."""
    present, _ = survey(target)
    # what those before us have not put in place must not get there any more
    kept, _ = survey(pieces)
    return [key for part in parts for key in _incomplete(part, target, present, kept, finished)]


def _incomplete(
    part: Part, target: Path, present: set[str], kept: set[str], finished: Entries
) -> Iterator[str]:
    layout = part.layout
    arrays = opened(part, target)
    gathered = part.key(GATHERED)
    together = gathered in finished and all(
        key in present for key in _files(Unit(GATHERED, layout.gathered), part, arrays, 0)
    )
    if gathered in finished and not together:
        yield gathered
    for unit in (layout.coordinates, *layout.units()):
        key = part.key(unit)
        if key not in finished:
            continue
        stop = int(finished[key].get("stop") or unit.stop)
        whole = all(name in present for name in _files(unit, part, arrays, stop))
        if unit.along and not together:
            whole = whole and all(piece(key, name) in kept for name in layout.gathered)
        if not whole:
            yield key


def opened(part: Part, target: Path) -> "dict[str, zarr.Array[Any]]":
    """Return the arrays of a part by name."""
    import zarr

    return {
        name: zarr.open_array(target / part.path(name), mode="r", zarr_format=3)
        for name in part.layout.names
    }


def _files(
    unit: Unit, part: Part, arrays: "Mapping[str, zarr.Array[Any]]", stop: int
) -> Iterator[str]:
    """Return the files that one unit consists of up to a step, as keys of its store.

    Those of gathered variables belong to no unit.
    """
    for name in unit.names:
        if name in part.layout.gathered and unit.key != GATHERED:
            continue
        array = arrays[name]
        ranges = []
        sizes = array.shards or array.chunks
        dims = part.ds.variables[name].dims
        for dim, length, size in zip(dims, array.shape, sizes, strict=True):
            within = slice(0, part.layout.length if dim == part.layout.append else length)
            if dim == unit.along:
                within = slice(unit.start, stop)
            ranges.append(range(within.start // size, -(-within.stop // size)))
        for place in product(*ranges):
            yield f"{part.path(name)}/{array.metadata.encode_chunk_key(place)}"
