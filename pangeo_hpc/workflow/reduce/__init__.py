"""Means of large arrays near the speed of reading them, on lazy Xarray objects of any chunking.

`climatology`, `anomaly`, `annual_mean` and `temporal_mean` go along time, `spatial_mean` over the
horizontal with the weights cos(latitude). Xarray, Zarr and Dask are imported when they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pangeo_hpc.workflow.reduce.horizontal import spatial_mean
    from pangeo_hpc.workflow.reduce.times import annual_mean, anomaly, climatology, temporal_mean
    from pangeo_hpc.workflow.reduce.tuning import defaults

_HOMES = {
    "annual_mean": "times",
    "anomaly": "times",
    "climatology": "times",
    "defaults": "tuning",
    "spatial_mean": "horizontal",
    "temporal_mean": "times",
}
__all__ = ["annual_mean", "anomaly", "climatology", "defaults", "spatial_mean", "temporal_mean"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted(__all__)
