"""The dataset that files make together: lazy Dask arrays, read by whoever computes them."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc.units import MIB
from pangeo_hpc.workflow.convert import tables
from pangeo_hpc.workflow.convert.agree import is_wider, mixed_packing
from pangeo_hpc.workflow.convert.arrange import Arrangement, Part
from pangeo_hpc.workflow.convert.chunks import Shape
from pangeo_hpc.workflow.convert.record import Record
from pangeo_hpc.workflow.convert.sources import Kind
from pangeo_hpc.workflow.convert.survey import PACKING, open_netcdf

if TYPE_CHECKING:
    import xarray as xr

# How much of one file a task reads at once.
_BLOCK = 64 * MIB


def assemble(arrangement: Arrangement, kind: Kind, variables: tuple[str, ...]) -> "xr.Dataset":
    """Return the joined dataset, lazily; its encoding packs values as the files do.

    Variables without the dimension are those of the first file.
    """
    return _tables(arrangement) if kind is Kind.TABLE else _netcdf(arrangement, variables)


def as_recorded(ds: "xr.Dataset", record: Record) -> "xr.Dataset":
    """Return a dataset with the types and the packing that a store has for its variables."""
    for name, variable in ds.variables.items():
        described = record.described.get(str(name))
        if described is not None and is_wider(described.dtype, str(variable.dtype)):
            ds[name] = ds[name].astype(described.dtype)
        ds[name].encoding = record.encoding(str(name))
    return ds


def _netcdf(arrangement: Arrangement, variables: tuple[str, ...]) -> "xr.Dataset":
    import xarray as xr

    along = arrangement.along
    opened = [_opened(part, along, variables) for part in arrangement.parts]
    joined = xr.concat(
        opened,
        along,
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="drop_conflicts",
    )
    mixed = set(mixed_packing([part.piece for part in arrangement.parts]))
    for name, variable in joined.variables.items():
        first = opened[0].variables[name]
        keep = {
            key: value
            for key, value in first.encoding.items()
            if key in {*PACKING, "units", "calendar"}
        }
        if str(name) in mixed or _is_time(variable):
            keep = {key: value for key, value in keep.items() if key not in PACKING}
        variable.encoding = keep
    return joined


def shapes(arrangement: Arrangement) -> dict[str, Shape]:
    """Return the shape of each variable when files are joined."""
    found = {}
    described = arrangement.parts[0].piece.variables if arrangement.parts else {}
    for name, each in described.items():
        lengths = tuple(
            arrangement.steps if dim == arrangement.along else length
            for dim, length in zip(each.dims, each.shape, strict=True)
        )
        found[name] = Shape(each.dims, lengths, _itemsize(each.dtype))
    return found


def _opened(part: Part, along: str, variables: tuple[str, ...]) -> "xr.Dataset":
    with open_netcdf(part.piece.path) as ds:
        step = sum(
            each.nbytes // max(1, part.piece.steps)
            for each in ds.variables.values()
            if along in each.dims
        )
    steps = max(1, _BLOCK // max(1, step))
    ds = open_netcdf(part.piece.path, chunks={along: steps})
    if variables:
        ds = ds[[name for name in ds.data_vars if name in part.piece.variables]]
    return ds.isel({along: slice(part.start, part.stop)})


def _tables(arrangement: Arrangement) -> "xr.Dataset":
    import dask.array
    import xarray as xr
    from dask.delayed import delayed

    along = arrangement.along
    types = table_types(arrangement)
    read = delayed(_columns, pure=True)
    columns: dict[str, list[Any]] = {name: [] for name in types}
    for part in arrangement.parts:
        rows = read(part.piece.path, part.start, part.stop, along, types)
        for name, dtype in types.items():
            block = dask.array.from_delayed(rows[name], (part.steps,), dtype=dtype)
            columns[name].append(block)
    joined = {name: (along, dask.array.concatenate(blocks)) for name, blocks in columns.items()}
    ds = xr.Dataset(joined)
    if along in ds:
        import numpy as np

        values = [part.piece.values[part.start : part.stop] for part in arrangement.parts]  # type: ignore[index]
        ds = ds.assign_coords({along: np.concatenate(values)})
    return ds


def table_types(arrangement: Arrangement) -> dict[str, str]:
    """Return the type of each column that holds the values of all tables."""
    types: dict[str, str] = {}
    for part in arrangement.parts:
        for name, each in part.piece.variables.items():
            types[name] = tables.wider(types.get(name), each.dtype)
    return types


def _columns(
    path: Path, start: int, stop: int, along: str, types: Mapping[str, str]
) -> dict[str, Any]:
    ds = tables.dataset(path, start, stop, along, types)
    return {name: ds[name].values for name in types}


def _is_time(variable: "xr.Variable") -> bool:
    return variable.dtype.kind in "mM" or "calendar" in variable.encoding


def _itemsize(dtype: str) -> int:
    import numpy as np

    try:
        return int(np.dtype(dtype).itemsize) or 8
    except TypeError:
        return 8
