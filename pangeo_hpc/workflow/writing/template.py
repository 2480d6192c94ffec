"""The empty store of an output: all metadata and coordinates, in place by one rename."""

import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc import files
from pangeo_hpc.errors import UsageError
from pangeo_hpc.workflow.lease import Lease
from pangeo_hpc.workflow.origin import GROUPS, PREFIX, STATE, TOKEN, UNFINISHED, attributes
from pangeo_hpc.workflow.writing.cutting import early_grid
from pangeo_hpc.workflow.writing.layout import Layout, is_lazy
from pangeo_hpc.workflow.writing.parts import Part
from pangeo_hpc.workflow.writing.store import DurableStore

if TYPE_CHECKING:
    import xarray as xr


def loaded(ds: "xr.Dataset", layout: Layout) -> "xr.Dataset":
    """Return a dataset whose early variables are in memory, computed together."""
    import xarray as xr

    lazy = [name for name in layout.early if is_lazy(ds.variables[name])]
    if not lazy:
        return ds
    values = xr.Dataset({name: ds.variables[name] for name in lazy}).compute()
    return _with_data(ds, {name: values.variables[name].data for name in lazy})


def create(
    parts: Sequence[Part], target: Path, *, token: str, told: Mapping[str, str], lease: Lease
) -> None:
    """Make the store of an output with its early variables, and nothing yet of the others.

    It is made beside its place and takes it by one rename, instead of whatever was there.
    """
    draft = _beside(target, token, "partial")
    files.make_directory(target.parent)
    with stable(), files.refusals(target):
        for part in parts:
            template = _empty(part)
            if not part.group:
                template.attrs |= {**told, TOKEN: token, STATE: UNFINISHED}
            template.to_zarr(
                DurableStore.at(draft, lease.fence),
                mode="a" if part.group else "w",
                group=part.group or None,
                compute=False,
                zarr_format=3,
                consolidated=False,
                write_empty_chunks=True,
                safe_chunks=False,
            )
    lease.check()
    _place(draft, target, _beside(target, token, "old"))


def _empty(part: Part) -> "xr.Dataset":
    """Return a part's dataset with its early values, and zeros for the others."""
    import dask.array

    layout = part.layout
    ds = loaded(part.ds, layout)
    template = _with_data(
        ds,
        {
            name: dask.array.zeros(
                ds.variables[name].shape, dtype=ds.variables[name].dtype, chunks=-1
            )
            for name in layout.names
            if name not in layout.early
        },
    )
    # an input that one of our runs wrote brings its own origin along
    template.attrs = {k: v for k, v in ds.attrs.items() if not str(k).startswith(PREFIX)}
    # set here, since an encoding given to to_zarr takes the place of all that a variable has
    for key, variable in template.variables.items():
        name = str(key)
        wishes = {
            k: v
            for k, v in part.asked.encoding.get(name, {}).items()
            if k not in ("chunks", "shards")
        }
        grid = layout.grids.get(name) or early_grid(name, variable, part.asked, layout.append)
        variable.encoding |= {**wishes, **(grid.encoding if grid else {})}
    return template


def tell(target: Path, told: Mapping[str, str], lease: Lease) -> None:
    """Change attributes of a store in one step, or take away those that are "".

    Its consolidated metadata stay as they are.
    """
    lease.check()
    path = target / "zarr.json"
    metadata = files.read_json(path)
    attributes = metadata["attributes"] | told
    metadata["attributes"] = {k: v for k, v in attributes.items() if told.get(k) != ""}
    files.write_json(path, metadata)


def consolidate(target: Path, lease: Lease) -> None:
    """Put the metadata of all variables into the file that readers open first."""
    import zarr

    lease.check()
    with stable(), files.refusals(target):
        zarr.consolidate_metadata(DurableStore.at(target, lease.fence), zarr_format=3)


def pieces(target: Path, token: str) -> Path:
    """Return the folder beside a store that keeps the pieces of its gathered variables."""
    return _beside(target, token, "pieces")


def parents(target: Path, group: str) -> None:
    """Make the groups above a group that is an output of its own.

    Raise UsageError for a store that was finished without it: its consolidated metadata would not
    know the group.
    """
    for place in [target, *(target.joinpath(*p) for p in _above(group))]:
        metadata = files.make_directory(place) / "zarr.json"
        try:
            found = files.read_json(metadata)
        except FileNotFoundError:
            root = {"zarr_format": 3, "node_type": "group", "attributes": {GROUPS: "one by one"}}
            files.write_json(metadata, root)
            continue
        if found.get("consolidated_metadata") and GROUPS not in found.get("attributes", {}):
            text = f"{place} has consolidated metadata, which would not know a new group {group}"
            raise UsageError(text, hint="write all groups by group=NAME, or at once as a DataTree")


def _above(group: str) -> Iterator[list[str]]:
    names = group.split("/")
    for depth in range(1, len(names)):
        yield names[:depth]


def sweep(target: Path, token: str) -> None:
    """Remove what an interrupted attempt to make a store left beside its place."""
    for kind in ("partial", "old"):
        _remove(_beside(target, token, kind))


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


def sweep_pieces(target: Path, token: str) -> None:
    """Remove the pieces of gathered variables, which are put together or of no use any more."""
    _remove(pieces(target, token))


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
