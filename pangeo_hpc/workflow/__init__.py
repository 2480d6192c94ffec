"""Runs: work that is computed unit by unit and goes on where it stopped.

`start` opens a run inside a script, `Chain` submits several that follow one another; Xarray, Zarr
and Dask are imported when they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pangeo_hpc.workflow import reduce
    from pangeo_hpc.workflow.chains.chain import Chain
    from pangeo_hpc.workflow.session import Run, start

__all__ = ["Chain", "Run", "reduce", "start"]

_FROM = {"Chain": "chains.chain", "Run": "session", "start": "session"}


def __getattr__(name: str) -> Any:
    if name == "reduce":
        return import_module("pangeo_hpc.workflow.reduce")
    if name in _FROM:
        return getattr(import_module(f"pangeo_hpc.workflow.{_FROM[name]}"), name)
    message = f"module 'pangeo_hpc.workflow' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted(__all__)
