"""Outputs that grow: find by their coordinate values which steps are new, and make room for them.

Until the last step is there, the consolidated metadata tell of the old record alone: whoever opens
the store in between reads that.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc import files
from pangeo_hpc.errors import Problem, RequestRefused, UsageError
from pangeo_hpc.workflow.attempt import Attempt
from pangeo_hpc.workflow.origin import STATE, UNFINISHED, is_complete
from pangeo_hpc.workflow.writing import template
from pangeo_hpc.workflow.writing.encoded import encode
from pangeo_hpc.workflow.writing.fitting import fit
from pangeo_hpc.workflow.writing.layout import COORDINATES
from pangeo_hpc.workflow.writing.ledger import Ledger
from pangeo_hpc.workflow.writing.parts import Part
from pangeo_hpc.workflow.writing.presence import incomplete
from pangeo_hpc.workflow.writing.store import DurableStore

if TYPE_CHECKING:
    import xarray as xr


def check_first(ds: "xr.Dataset", dim: str) -> None:
    """Raise RequestRefused if a dataset cannot be the beginning of something that grows."""
    if dim not in ds.coords or ds.coords[dim].ndim != 1:
        text = f"{dim} has no coordinate, by which steps that are there already could be known"
        raise RequestRefused([Problem("append", text, f"assign_coords({dim}=...)")])
    fit(ds.indexes[dim].values[:0], ds.indexes[dim].values, dim)


def recorded(part: Part, target: Path, length: int) -> "xr.Dataset":
    """Return the coordinates of a record up to a length, as a reader gets them."""
    import xarray as xr

    dim = str(part.layout.append)
    of_cftime = part.ds.indexes[dim].values.dtype.kind == "O"
    with (
        template.stable(),
        xr.open_zarr(
            target,
            consolidated=False,
            chunks=None,
            decode_times=xr.coders.CFDatetimeCoder(use_cftime=True if of_cftime else None),
        ) as ds,
    ):
        found = ds.set_coords([name for name in part.ds.coords if name in ds.variables])
        names = [name for name in part.layout.early if name in found.coords]
        kept: xr.Dataset = found[names].isel({dim: slice(length)}).load()
        return kept


def check_grid(record: "xr.Dataset", part: Part) -> None:
    """Raise UsageError if the dataset is on another grid than the record."""
    import numpy as np

    told = []
    for name in part.layout.early:
        if name not in record.variables or part.layout.append in record[name].dims:
            continue
        old, new = record.variables[name], template.loaded(part.ds, part.layout).variables[name]
        if old.dtype.kind == new.dtype.kind == "f":
            # packing may have rounded it
            same = np.allclose(old.values, new.values, rtol=1e-6, equal_nan=True)
        else:
            same = bool(old.equals(new))
        if not same:
            told.append(f"{name} has other values than in the record")
    if told:
        text = "\n".join(("what is to be added is on another grid:", *told))
        raise UsageError(text, hint="interpolate it to the record's grid, or write elsewhere")


class Growing:
    """A record and what is to be added to it, in this attempt."""

    def __init__(self, attempt: Attempt, ledger: Ledger, part: Part, target: Path) -> None:
        """Compare what is given with what is there.

        Raise UsageError where they do not belong together.
        """
        self._attempt, self._ledger, self._target = attempt, ledger, target
        entries = ledger.finished()
        entry = entries.get(part.key(COORDINATES), {})
        self._dim = str(part.layout.append)
        # room that was made and not filled with coordinates counts for nothing
        begun = ledger.template.get("length", part.layout.length)
        there = int(entry.get("length", begun))
        self.part = part.grown(there, 0)
        if part.key(COORDINATES) in incomplete([self.part], target, target, entries):
            text = f"the coordinates of {target} are no longer there"
            raise UsageError(text, hint="start over with --force and all of its steps")
        record = recorded(self.part, target, there)
        given = part.ds.indexes[self._dim].values
        self.offset = fit(record.indexes[self._dim].values, given, self._dim)
        check_grid(record, part)
        self.length = max(there, self.offset + len(given))

    def current(self) -> Part:
        """Return the record as it is, with those steps of the dataset that it has already."""
        return self.part.grown(self.part.layout.length, self.offset)

    @property
    def grows(self) -> bool:
        """Tell whether there is anything to add to a record that is whole."""
        return self.length > self.part.layout.length

    def extend(self, commit: Any) -> Part:
        """Make room for the new steps, and write their coordinates; return the longer record."""
        attempt, target = self._attempt, self._target
        old, new = self.part.layout.length, self.length
        longer = self.part.grown(new, self.offset)
        if is_complete(target):
            template.tell(target, {STATE: UNFINISHED}, attempt.lease)
        self._ledger.change(layouts={longer.group: longer.layout.dump()})
        store = DurableStore.at(target, attempt.lease.fence)
        with files.refusals(target):
            _resize(longer, store, new)
            _write_early(longer, store, old, new)
        _check_written(longer, target, new, self.offset)
        commit(longer, new)
        self.part = longer
        return longer


def _resize(part: Part, store: DurableStore, length: int) -> None:
    import zarr

    for name in part.layout.names:
        dims = part.ds.variables[name].dims
        if part.layout.append in dims:
            with template.stable():
                array = zarr.open_array(store, path=part.path(name), mode="r+", zarr_format=3)
                shape = [
                    length if dim == part.layout.append else size
                    for dim, size in zip(dims, array.shape, strict=True)
                ]
                array.resize(tuple(shape))


def _write_early(part: Part, store: DurableStore, old: int, new: int) -> None:
    """Write what of the coordinates is new."""
    import warnings

    dim = str(part.layout.append)
    ds = template.loaded(part.ds, part.layout).isel(
        {dim: slice(old - part.offset, new - part.offset)}
    )
    names = [name for name in part.layout.early if dim in ds.variables[name].dims]
    variables = {name: ds.variables[name] for name in names}
    with warnings.catch_warnings(), template.stable():
        # such as times that do not fit in the record's units: what was written is read again
        warnings.simplefilter("ignore")
        found = encode(variables, store, part, {dim: slice(old, new)})
        for name, (data, array) in found.items():
            axis = ds.variables[name].dims.index(dim)
            place: list[Any] = [slice(None)] * array.ndim
            place[axis] = slice(old, new)
            array[tuple(place)] = data


def _check_written(part: Part, target: Path, length: int, offset: int) -> None:
    """Raise UsageError if new coordinates do not fit in how the record stores them."""
    dim = str(part.layout.append)
    found = recorded(part, target, length).isel({dim: slice(offset, None)})
    wrong = [
        str(name)
        for name, variable in found.variables.items()
        if dim in variable.dims and not _equal(variable, part.ds.variables[name])
    ]
    if wrong:
        names = ", ".join(wrong)
        text = f"the new values of {names} do not fit in the units or type the record has for them"
        hint = f"begin the record with finer ones: encoding={{{wrong[0]!r}: {{'units': ...}}}}"
        raise UsageError(text, hint=hint)


def _equal(old: "xr.Variable", new: "xr.Variable") -> bool:
    import numpy as np

    if old.dtype.kind == new.dtype.kind == "f":
        return bool(np.allclose(old.values, new.values, rtol=1e-6, equal_nan=True))
    return bool(old.astype(new.dtype).equals(new) if old.dtype.kind == "M" else old.equals(new))
