"""Reductions along time: which step is in which group, and what is done with each variable."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pangeo_hpc.errors import UsageError
from pangeo_hpc.workflow.reduce import graph
from pangeo_hpc.workflow.reduce.blocks import blocks_of
from pangeo_hpc.workflow.reduce.compute import in_memory
from pangeo_hpc.workflow.reduce.frame import Frame, Reduce, column, plainly

if TYPE_CHECKING:
    import xarray as xr

Data = TypeVar("Data", "xr.DataArray", "xr.Dataset")


def need_dimension(data: "xr.DataArray | xr.Dataset", dim: str) -> None:
    """Raise UsageError if data have no such dimension."""
    if dim not in data.dims:
        told = ", ".join(map(str, data.dims)) or "none"
        text = f"there is no dimension {dim!r}; the data have: {told}"
        raise UsageError(text, hint="name the dimension of time with dim=")


def component(data: "xr.DataArray | xr.Dataset", group: str, dim: str) -> str:
    """Return the part of a date that names the groups: "month" for "month" and "time.month".

    Raise UsageError if the dimension is not there or holds no dates, or for an unknown part.
    """
    import xarray as xr

    need_dimension(data, dim)
    name = group.removeprefix(f"{dim}.")
    if dim not in data.coords:
        text = f"the dimension {dim!r} has no coordinate, so no {name} is known"
        raise UsageError(text, hint="give it dates: data.assign_coords(time=…)")
    try:
        dates = data[dim].dt
    except (AttributeError, TypeError):
        text = f"the coordinate {dim!r} holds no dates, but {data[dim].dtype}"
        raise UsageError(text, hint="decode it: xarray.decode_cf(dataset)") from None
    if not isinstance(getattr(dates, name, None), xr.DataArray):
        hint = "known are month, season, dayofyear, hour, year and what else Xarray's .dt has"
        raise UsageError(f"{group!r} is no part of a date", hint=hint)
    return name


@dataclass(frozen=True)
class AlongTime:
    """One reduction along a dimension of time: over groups of steps, or over all of them."""

    dim: str
    group: str | None
    skipna: bool | None
    min_count: int | None
    keep_attrs: bool | None

    def means(self, data: Data) -> Data:
        """Return the mean of each group."""
        with plainly():
            told = self._means_by_xarray(column(data, self.dim))
        groups = self._groups(data, told)

        def reduce(whole: "xr.Variable", frame: "xr.Variable") -> "xr.Variable":
            import xarray as xr

            axis = whole.dims.index(self.dim)
            array = graph.grouped_means(
                blocks_of(whole, axis), self._of(groups, axis), frame.dtype, self._how
            )
            dims = [self.group if dim == self.dim else dim for dim in whole.dims]
            named = [dim for dim in dims if dim is not None]
            return xr.Variable(named, in_memory(array, whole), frame.attrs)

        return self._frame(reduce, self._means_by_xarray).around(data, told)

    def anomalies(self, data: Data) -> Data:
        """Return what is left of each step without the mean of its group."""
        one = column(data, self.dim)
        with plainly():
            means = self._means_by_xarray(one)
            told = self._anomalies_by_xarray(one)
        groups = self._groups(data, means)
        if told.sizes[self.dim] != data.sizes[self.dim]:  # Xarray leaves steps without a date out
            return self._anomalies_by_xarray(data)

        def reduce(whole: "xr.Variable", frame: "xr.Variable") -> "xr.Variable":
            import xarray as xr

            axis = whole.dims.index(self.dim)
            blocks, here = blocks_of(whole, axis), self._of(groups, axis)
            # a mean of whole numbers is none; of others, it has their type
            dtype = whole.dtype if whole.dtype.kind == "f" else np.dtype(np.float64)
            mean = graph.grouped_means(blocks, here, dtype, self._how)
            array = graph.subtracted(blocks, mean, here, frame.dtype)
            return xr.Variable(whole.dims, in_memory(array, whole), frame.attrs)

        return self._frame(reduce, self._anomalies_by_xarray).around(data, told)

    def _frame(self, reduce: Reduce, by_xarray: Callable[[Any], Any]) -> Frame:
        return Frame(frozenset({self.dim}), self.dim, reduce, by_xarray)

    @property
    def _how(self) -> graph.How:
        skipna = self.skipna is None or self.skipna
        return graph.How(skipna, self.min_count, only=self.group is None)

    def _of(self, groups: tuple[Any, int], axis: int) -> graph.Groups:
        codes, number = groups
        return graph.Groups(axis, codes, number)

    def _groups(
        self, data: "xr.DataArray | xr.Dataset", told: "xr.DataArray | xr.Dataset"
    ) -> tuple[Any, int]:
        """Return the number of the group of each step, and how many groups there are."""
        if self.group is None:
            return np.zeros(data.sizes[self.dim], dtype=np.intp), 1
        labels = told.indexes[self.group]
        parts = data[f"{self.dim}.{self.group}"].values
        return np.asarray(labels.get_indexer(parts), dtype=np.intp), len(labels)

    def _means_by_xarray(self, data: Data) -> Data:
        options = {"skipna": self.skipna, "keep_attrs": self.keep_attrs}
        if self.group is None:
            return data.mean(self.dim, **options)
        return data.groupby(f"{self.dim}.{self.group}").mean(self.dim, **options)

    def _anomalies_by_xarray(self, data: Data) -> Data:
        import xarray as xr

        kept = self.keep_attrs
        with nullcontext() if kept is None else xr.set_options(keep_attrs=kept):
            means = self._means_by_xarray(data)
            return data.groupby(f"{self.dim}.{self.group}") - means
