"""Means along time: of all steps, of each month or other group, of each year; and what is left."""

from typing import TYPE_CHECKING, TypeVar

from pangeo_hpc.workflow.reduce.along_time import AlongTime, component, need_dimension

if TYPE_CHECKING:
    import xarray as xr

Data = TypeVar("Data", "xr.DataArray", "xr.Dataset")


def climatology(
    data: Data,
    group: str = "month",
    *,
    dim: str = "time",
    skipna: bool | None = None,
    min_count: int | None = None,
    keep_attrs: bool | None = None,
) -> Data:
    """Return the mean of each month, season, day of the year, or other part of a date.

    As ``data.groupby("time.month").mean("time")``: `group` is a name that Xarray's ``.dt`` knows,
    and the result has it instead of `dim`. Sums are kept in float64. With `min_count`, a mean of
    fewer valid values is missing. Raise UsageError if there is no such dimension or group.
    """
    name = component(data, group, dim)
    return AlongTime(dim, name, skipna, min_count, keep_attrs).means(data)


def annual_mean(
    data: Data,
    *,
    dim: str = "time",
    skipna: bool | None = None,
    min_count: int | None = None,
    keep_attrs: bool | None = None,
) -> Data:
    """Return the mean of each calendar year, as ``data.groupby("time.year").mean("time")``.

    Each step counts the same; the first and the last year may have only some. With `min_count`, a
    mean of fewer valid values is missing.
    """
    return climatology(
        data, "year", dim=dim, skipna=skipna, min_count=min_count, keep_attrs=keep_attrs
    )


def temporal_mean(
    data: Data,
    *,
    dim: str = "time",
    skipna: bool | None = None,
    min_count: int | None = None,
    keep_attrs: bool | None = None,
) -> Data:
    """Return the mean of all steps, as ``data.mean("time")``.

    With `min_count`, a mean of fewer valid values is missing.
    """
    need_dimension(data, dim)
    return AlongTime(dim, None, skipna, min_count, keep_attrs).means(data)


def anomaly(
    data: Data,
    group: str = "month",
    *,
    dim: str = "time",
    skipna: bool | None = None,
    min_count: int | None = None,
    keep_attrs: bool | None = None,
) -> Data:
    """Return what each step differs from the climatology of its group, in the input's chunks.

    As ``groups - groups.mean("time")`` for Xarray's ``data.groupby("time.month")``. The data are
    read twice, unless they are small enough to be held meanwhile.
    """
    name = component(data, group, dim)
    return AlongTime(dim, name, skipna, min_count, keep_attrs).anomalies(data)
