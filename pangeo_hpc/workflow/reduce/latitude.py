"""Find latitude and longitude among the coordinates, by CF attributes first and by names then."""

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pangeo_hpc.errors import UsageError

if TYPE_CHECKING:
    import xarray as xr

# CF conventions 1.11, sections 4.1 and 4.2: units that alone tell a latitude or a longitude.
_NORTH = {"degrees_north", "degree_north", "degree_N", "degrees_N", "degreeN", "degreesN"}
_EAST = {"degrees_east", "degree_east", "degree_E", "degrees_E", "degreeE", "degreesE"}
_NAMES = {
    "latitude": ("lat", "latitude", "nav_lat", "xlat", "tlat", "yt_ocean", "geolat"),
    "longitude": ("lon", "longitude", "nav_lon", "xlong", "tlong", "xt_ocean", "geolon"),
}


def find_latitude(data: "xr.DataArray | xr.Dataset", given: Hashable | None) -> "xr.DataArray":
    """Return the coordinate of latitude. Raise UsageError if there is none, or more than one."""
    if given is not None:
        if given not in data.coords:
            told = ", ".join(map(str, data.coords)) or "none"
            raise UsageError(f"there is no coordinate {given!r}; the data have: {told}")
        return data.coords[given]
    found = _find(data, "latitude", _NORTH)
    if len(found) == 1:
        return data.coords[found[0]]
    told = ", ".join(map(str, found or data.coords)) or "none"
    words = "more than one coordinate is a latitude" if found else "no coordinate is a latitude"
    hint = 'name it: spatial_mean(data, lat="…"), or give it the attribute units: degrees_north'
    raise UsageError(f"{words}: {told}", hint=hint)


def find_longitude(data: "xr.DataArray | xr.Dataset", given: Hashable | None) -> list[Hashable]:
    """Return the dimensions of longitude; none if the data have no such coordinate.

    A dimension that is called like a longitude needs no coordinate.
    """
    if given is not None:
        if given in data.coords:
            return list(data.coords[given].dims)
        if given in data.dims:
            return [given]
        raise UsageError(f"there is no coordinate or dimension {given!r}")
    found = _find(data, "longitude", _EAST)
    dims = [dim for name in found for dim in data.coords[name].dims]
    named = [dim for dim in data.dims if str(dim).lower() in _NAMES["longitude"]]
    return list(dict.fromkeys([*dims, *named]))


def in_degrees(latitude: "xr.DataArray") -> NDArray[Any]:
    """Return the values of a latitude in degrees."""
    units = str(latitude.attrs.get("units", "degrees"))
    values = np.asarray(latitude.values)
    if values.dtype.kind not in "fiu":
        raise UsageError(f"the latitude {latitude.name!r} holds no numbers, but {values.dtype}")
    return np.rad2deg(values) if units.startswith("rad") else values


def _find(data: "xr.DataArray | xr.Dataset", what: str, units: Iterable[str]) -> list[Hashable]:
    """Return the coordinates along the data's dimensions that are a latitude or a longitude."""
    along = {
        name: coordinate
        for name, coordinate in data.coords.items()
        if coordinate.ndim and set(coordinate.dims) <= set(data.dims)
    }
    told = [
        name
        for name, coordinate in along.items()
        if coordinate.attrs.get("standard_name") == what or coordinate.attrs.get("units") in units
    ]
    told = told or [name for name in along if str(name).lower() in _NAMES[what]]
    return [name for name in told if name in data.dims] or told
