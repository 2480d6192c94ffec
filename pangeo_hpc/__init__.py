"""The Pangeo stack on HPC batch clusters, from one YAML per site.

The public names are imported on first use, so that `import pangeo_hpc` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pangeo_hpc._version import __version__

if TYPE_CHECKING:
    from pangeo_hpc import errors, scratch, workflow
    from pangeo_hpc.dask import start_cluster
    from pangeo_hpc.data import object_store, open_catalog
    from pangeo_hpc.site import Site, load_site

__all__ = [
    "Site",
    "__version__",
    "errors",
    "load_site",
    "object_store",
    "open_catalog",
    "scratch",
    "start_cluster",
    "workflow",
]

_MODULES = ("errors", "scratch", "workflow")
_NAMES = {
    "Site": "pangeo_hpc.site",
    "load_site": "pangeo_hpc.site",
    "object_store": "pangeo_hpc.data",
    "open_catalog": "pangeo_hpc.data",
    "start_cluster": "pangeo_hpc.dask",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"pangeo_hpc.{name}")
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    message = f"module 'pangeo_hpc' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted(__all__)
