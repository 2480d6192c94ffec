"""What is in a NetCDF file, in the same terms as a Zarr store."""

from pathlib import Path
from typing import Any

from pangeo_hpc.errors import UsageError
from pangeo_hpc.workflow.contents import ArrayFacts, Contents
from pangeo_hpc.workflow.plain import of_numpy


def inspect_netcdf(path: Path) -> Contents:
    """Return what a NetCDF file of any version holds. Raise UsageError if it is none."""
    import netCDF4

    try:
        with netCDF4.Dataset(path) as root:
            arrays, groups = _walk(root, "")
            attributes = {key: of_numpy(root.getncattr(key)) for key in root.ncattrs()}
            form = root.data_model.replace("_", " ")
    except (OSError, ValueError) as error:
        text = f"{path} is no Zarr store and no NetCDF file"
        raise UsageError(text, hint="a store is a directory, or give a URL") from error
    return Contents(str(path), form, False, tuple(arrays), tuple(groups), attributes)


def _walk(group: Any, prefix: str) -> tuple[list[ArrayFacts], list[str]]:
    arrays = [_facts(f"{prefix}{name}", each) for name, each in sorted(group.variables.items())]
    groups = []
    for name, inner in sorted(group.groups.items()):
        more, deeper = _walk(inner, f"{prefix}{name}/")
        groups += [f"{prefix}{name}", *deeper]
        arrays += more
    return arrays, groups


def _facts(name: str, variable: Any) -> ArrayFacts:
    chunking = variable.chunking()
    chunks = tuple(chunking) if isinstance(chunking, list) else None
    itemsize = getattr(variable.dtype, "itemsize", 0)
    size = 1
    for length in variable.shape:
        size *= length
    return ArrayFacts(
        name,
        tuple(variable.dimensions),
        tuple(variable.shape),
        str(variable.dtype) if variable.dtype is not str else "string",
        chunks,
        None,
        _filters(variable.filters() or {}),
        size * itemsize,
        attributes={key: of_numpy(variable.getncattr(key)) for key in variable.ncattrs()},
    )


def _filters(filters: dict[str, Any]) -> str:
    names = [name for name in ("zlib", "szip", "zstd", "bzip2", "blosc") if filters.get(name)]
    if not names:
        return "none"
    shuffle = ["shuffle"] if filters.get("shuffle") else []
    return ", ".join([*shuffle, f"{names[0]} level {filters.get('complevel')}"])
