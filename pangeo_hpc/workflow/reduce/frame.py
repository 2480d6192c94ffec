"""What surrounds the numbers: dimensions, coordinates, names, attributes and types, as Xarray's.

Xarray itself is asked for them: it reduces one column of zeros, whose result has them all.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pangeo_hpc.errors import UsageError
from pangeo_hpc.workflow.reduce.blocks import is_in_memory

if TYPE_CHECKING:
    import xarray as xr

Data = TypeVar("Data", "xr.DataArray", "xr.Dataset")
# Gives the result of one variable, whose dimensions may be in another order than Xarray's.
Reduce = Callable[["xr.Variable", "xr.Variable"], "xr.Variable"]

# The name of a DataArray while it is the only variable of a Dataset.
_ONLY = "reduced array"
# What our sums are made for. Xarray itself averages anything else.
_KINDS = "fiub"


def need_dimension(data: "xr.DataArray | xr.Dataset", *dims: Hashable) -> None:
    """Raise UsageError if data lack a dimension."""
    for dim in dims:
        if dim not in data.dims:
            told = ", ".join(map(str, data.dims)) or "none"
            hint = 'name the dimension of time: dim="…"'
            raise UsageError(f"there is no dimension {dim!r}; the data have: {told}", hint=hint)


def is_ours(variable: "xr.Variable") -> bool:
    """Tell whether the values are numbers that float64 can add."""
    return variable.dtype.kind in _KINDS and variable.dtype.itemsize <= 8


def column(data: Data, keep: Hashable | None) -> Data:
    """Return data of zeros, one value long in all dimensions but one. Nothing is read."""
    import xarray as xr

    one = data.isel({dim: slice(0, 1) for dim in data.dims if dim != keep})
    if isinstance(one, xr.DataArray):
        return one.copy(data=_zeros(one.variable))
    for name in one.data_vars:
        one = one.assign({name: one.variables[name].copy(data=_zeros(one.variables[name]))})
    return one


@contextmanager
def plainly() -> Iterator[None]:
    """Let Xarray reduce a column of zeros with NumPy alone: engines that compile cost seconds."""
    import xarray as xr

    with xr.set_options(use_numbagg=False, use_bottleneck=False, use_flox=False):
        yield


@dataclass(frozen=True)
class Frame:
    """How data are reduced over `dims`; the column had all values along `keep`.

    `reduce` gives the result of one variable; `by_xarray` is how Xarray does what is not ours.
    """

    dims: frozenset[Hashable]
    keep: Hashable | None
    reduce: Reduce
    by_xarray: Callable[[Any], Any]

    def around(self, data: Data, told: Data) -> Data:
        """Return the reduced data, in the frame of what Xarray made of one column."""
        import xarray as xr

        if isinstance(data, xr.DataArray):
            whole, column_ = data.to_dataset(name=_ONLY), told.to_dataset(name=_ONLY)
            return self._around(whole, column_)[_ONLY].rename(data.name)
        return self._around(data, told)

    def _around(self, data: "xr.Dataset", told: "xr.Dataset") -> "xr.Dataset":
        made = _coordinates(data, told, set(data.dims) - {self.keep})
        values: dict[Hashable, Any] = {}
        for name in told.data_vars:
            whole, frame = data.variables[name], told.variables[name]
            if self.dims.isdisjoint(whole.dims):
                values[name] = whole.copy(deep=False)
            elif is_ours(whole):
                values[name] = self.reduce(whole, frame).transpose(*frame.dims)
            else:
                values[name] = self.by_xarray(_chunked(data[[name]])).variables[name]
        made = made.assign(values)
        made.attrs = dict(told.attrs)
        return made


def _coordinates(data: "xr.Dataset", told: "xr.Dataset", cut: set[Hashable]) -> "xr.Dataset":
    """Return the coordinates of the result: those along what was cut to one column as they were."""
    kept = {name for name, c in told.coords.items() if not cut.isdisjoint(c.dims)}
    kept &= set(data.coords)
    ours = data.coords.to_dataset()
    ours = ours.drop_vars([name for name in ours.variables if name not in kept])
    theirs = told.coords.to_dataset().drop_vars(list(kept))
    return ours.assign_coords(theirs.coords)


def _chunked(data: "xr.Dataset") -> "xr.Dataset":
    """Return data that are not read before they are needed."""
    lazy = [v for v in data.variables.values() if v.chunks is None and not is_in_memory(v)]
    return data.chunk() if lazy else data


def _zeros(variable: "xr.Variable") -> Any:
    return np.zeros(variable.shape, dtype=variable.dtype)
