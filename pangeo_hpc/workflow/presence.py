"""Look whether the files of finished units are still there, as they may not be on scratch.

A file that a purge took away reads as missing values, and nobody would say so.
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc.workflow.layout import Layout, Unit
from pangeo_hpc.workflow.store import survey

if TYPE_CHECKING:
    import xarray as xr
    import zarr


def lacks_metadata(target: Path, layout: Layout) -> bool:
    """Tell whether a variable of a store is not even described there."""
    names = [name for unit in layout.units() for name in unit.names]
    return not all((target / name / "zarr.json").is_file() for name in dict.fromkeys(names))


def incomplete(
    ds: "xr.Dataset", target: Path, layout: Layout, finished: Collection[str]
) -> list[str]:
    """Return the keys of those finished units that lack a file."""
    import zarr

    group = zarr.open_group(target, mode="r", zarr_format=3, use_consolidated=False)
    arrays = {str(name): array for name, array in group.arrays()}
    present, _ = survey(target)
    return [
        unit.key
        for unit in layout.units()
        if unit.key in finished and not all(key in present for key in files_of(ds, unit, arrays))
    ]


def files_of(
    ds: "xr.Dataset", unit: Unit, arrays: Mapping[str, "zarr.Array[Any]"]
) -> Iterator[str]:
    """Return the files that one unit consists of, as keys of its store."""
    for name in unit.names:
        array = arrays[name]
        ranges = []
        sizes = array.shards or array.chunks
        dims = ds.variables[name].dims
        for dim, length, size in zip(dims, array.shape, sizes, strict=True):
            part = (unit.region or {}).get(str(dim), slice(0, length))
            ranges.append(range(part.start // size, -(-part.stop // size)))
        for place in product(*ranges):
            yield f"{name}/{array.metadata.encode_chunk_key(place)}"
