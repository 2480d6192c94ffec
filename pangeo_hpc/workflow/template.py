"""The empty store of an output: all metadata and coordinates, in place by one rename."""

import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc import files
from pangeo_hpc.errors import UsageError
from pangeo_hpc.workflow.layout import Layout, is_lazy
from pangeo_hpc.workflow.lease import Lease
from pangeo_hpc.workflow.origin import PREFIX, STATE, TOKEN, UNFINISHED, attributes
from pangeo_hpc.workflow.store import DurableStore

if TYPE_CHECKING:
    import xarray as xr

# How the source of a variable was stored; how values are packed (dtype, units, fill) is kept.
_OF_THE_SOURCE = {
    "cache_metadata",
    "chunk_key_encoding",
    "chunks",
    "compressor",
    "compressors",
    "filters",
    "order",
    "preferred_chunks",
    "serializer",
    "shards",
    "write_empty_chunks",
}


def without_storage(ds: "xr.Dataset") -> "xr.Dataset":
    """Return a dataset whose variables have forgotten how their source was chunked and packed."""
    result = ds.copy()
    for variable in result.variables.values():
        variable.encoding = {
            key: value for key, value in variable.encoding.items() if key not in _OF_THE_SOURCE
        }
    return result


def loaded(ds: "xr.Dataset", layout: Layout) -> "xr.Dataset":
    """Return a dataset whose early variables are in memory, computed together."""
    import xarray as xr

    lazy = [name for name in layout.early if is_lazy(ds.variables[name])]
    if not lazy:
        return ds
    values = xr.Dataset({name: ds.variables[name] for name in lazy}).compute()
    return _with_data(ds, {name: values.variables[name].data for name in lazy})


def create(
    ds: "xr.Dataset",
    layout: Layout,
    target: Path,
    *,
    token: str,
    told: Mapping[str, str],
    encoding: Mapping[str, Mapping[str, Any]],
    lease: Lease,
) -> None:
    """Make the store of a dataset with its early variables, and nothing yet of the others.

    It is made beside its place and takes it by one rename, instead of whatever was there.
    """
    import dask.array

    empty = {
        name: dask.array.zeros(ds.variables[name].shape, dtype=ds.variables[name].dtype, chunks=-1)
        for name in (*layout.static, *layout.by_unit)
    }
    template = _with_data(ds, empty)
    # an input that one of our runs wrote brings its own origin along
    kept = {k: value for k, value in ds.attrs.items() if not str(k).startswith(PREFIX)}
    template.attrs = {**kept, **told, TOKEN: token, STATE: UNFINISHED}
    # set here, since an encoding given to to_zarr takes the place of all that a variable has
    for key, variable in template.variables.items():
        grid = layout.grids.get(str(key))
        variable.encoding |= {**encoding.get(str(key), {}), **(grid.encoding if grid else {})}
    draft = _beside(target, token, "partial")
    files.make_directory(target.parent)
    with stable(), files.refusals(target):
        template.to_zarr(
            DurableStore.at(draft, lease.fence),
            mode="w",
            compute=False,
            zarr_format=3,
            consolidated=False,
            write_empty_chunks=True,
        )
    lease.check()
    _place(draft, target, _beside(target, token, "old"))


def sweep(target: Path, token: str) -> None:
    """Remove what an interrupted attempt to make a store left beside its place."""
    for left in (_beside(target, token, "partial"), _beside(target, token, "old")):
        _remove(left)


def mark(target: Path) -> str | None:
    """Return what tells a store from others: its token if it is of ours; None if nothing is there.

    Raise UsageError for something that is no Zarr store, and so is never replaced.
    """
    with files.refusals(target):
        there = target.exists() or target.is_symlink()
        store = any((target / name).is_file() for name in ("zarr.json", ".zgroup", ".zmetadata"))
    if not there:
        return None
    if not store:
        text = f"{target} is there already, and is no Zarr store"
        raise UsageError(text, hint="remove it, or write elsewhere")
    return str(attributes(target).get(TOKEN, "of others"))


@contextmanager
def stable() -> Iterator[None]:
    """Silence what zarr says of what its format 3 does and the standard has not yet."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"(?s).*Consolidated metadata is currently not part")
        warnings.filterwarnings("ignore", r"(?s).*does not have a Zarr V3 specification")
        yield


def _place(draft: Path, target: Path, old: Path) -> None:
    with files.refusals(target):
        if target.exists() or target.is_symlink():
            target.rename(old)
        draft.rename(target)
        files.sync_directory(target.parent)
    _remove(old)


def _beside(target: Path, token: str, kind: str) -> Path:
    return target.with_name(f".{target.name}.{token}.{kind}")


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)


def _with_data(ds: "xr.Dataset", data: Mapping[str, Any]) -> "xr.Dataset":
    """Return a dataset in which some variables have other values of the same shape."""
    result = ds.copy()
    for name, values in data.items():
        result.variables[name].data = values
    return result
