"""The mean over the horizontal, weighted with the cosine of the latitude."""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from pangeo_hpc.errors import UsageError
from pangeo_hpc.workflow.reduce import graph
from pangeo_hpc.workflow.reduce.blocks import blocks_of
from pangeo_hpc.workflow.reduce.compute import in_memory
from pangeo_hpc.workflow.reduce.frame import Frame, column, plainly
from pangeo_hpc.workflow.reduce.latitude import find_latitude, find_longitude, in_degrees

if TYPE_CHECKING:
    import xarray as xr

Data = TypeVar("Data", "xr.DataArray", "xr.Dataset")


def spatial_mean(
    data: Data,
    *,
    lat: Hashable | None = None,
    lon: Hashable | None = None,
    skipna: bool | None = None,
    keep_attrs: bool | None = None,
) -> Data:
    """Return the mean over latitude and longitude, each value weighted with cos(latitude).

    As ``data.weighted(cos(radians(latitude))).mean(dims)``, with sums in float64. `lat` and `lon`
    name the coordinates; if not given they are found by their CF attributes or names. Latitude in
    degrees may have one dimension or, on a curvilinear grid, two; where it is missing, the weight
    is 0. Without a longitude the mean is over latitude alone. Raise UsageError if no latitude is
    found, or more than one.
    """
    latitude = find_latitude(data, lat)
    dims = list(latitude.dims)
    dims += [dim for dim in find_longitude(data, lon) if dim not in dims]
    degrees = in_degrees(latitude)
    weights = latitude.copy(data=np.nan_to_num(np.cos(np.deg2rad(degrees)))).reset_coords(drop=True)

    def by_xarray(some: Any) -> Any:
        here = {dim: slice(0, some.sizes[dim]) for dim in weights.dims}
        part = weights.isel(here)
        part = part.drop_vars(list(part.coords))
        return some.weighted(part).mean(dims, skipna=skipna, keep_attrs=keep_attrs)

    def reduce(whole: "xr.Variable", frame: "xr.Variable") -> "xr.Variable":
        import xarray as xr

        over = [dim for dim in whole.dims if dim in dims]
        axes = tuple(whole.dims.index(dim) for dim in over)
        sizes = [whole.sizes[dim] for dim in over]
        weight = weights.variable.set_dims(dict(zip(over, sizes, strict=True)))
        values = weight.transpose(*over).values.astype(np.float64)
        how = graph.How(skipna is None or skipna, only=True)
        array = graph.weighted_means(blocks_of(whole), values, axes, frame.dtype, how)
        kept = [dim for dim in whole.dims if dim not in dims]
        return xr.Variable(kept, in_memory(array, whole), frame.attrs)

    _need(data, latitude, dims)
    with plainly():
        told = by_xarray(column(data, None))
    return cast("Data", Frame(frozenset(dims), None, reduce, by_xarray).around(data, told))


def _need(data: Any, latitude: "xr.DataArray", dims: list[Hashable]) -> None:
    missing = [dim for dim in latitude.dims if dim not in data.dims]
    if missing or not dims:
        text = f"the latitude {latitude.name!r} is along {latitude.dims}, which the data are not"
        raise UsageError(text, hint="name the coordinate of latitude with lat=")
