"""What runs set for everything they read and compute, and how it is used outside of runs."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pangeo_hpc.machine import this_machine

# Zarr reads what is set here when it is imported, and its configuration afterwards.
_VARIABLES = {
    "async.concurrency": "ZARR_ASYNC__CONCURRENCY",
    "threading.max_workers": "ZARR_THREADING__MAX_WORKERS",
}


@contextmanager
def defaults(threads: int | None = None) -> Iterator[None]:
    """Read and compute with as many threads as there are cores to use, until the end of `with`.

    `threads` is the number of cores, by default those that this process may use: its CPU affinity
    and its control group count, not what the node has. One thread more than cores computes, so
    that chunks are read while others are worked on; Zarr decodes with as many as there are cores.
    What a person has set for Dask is kept.
    """
    import dask

    cores = threads or this_machine().cores
    ours = {} if "num_workers" in dask.config.config else {"num_workers": cores + 1}
    # four chunks of each task that reads are asked for at once, never fewer than Zarr's own ten
    with dask.config.set(ours), _zarr(_settings(cores)):
        yield


def on_workers(client: Any) -> None:
    """Set for the workers of a Dask cluster what is set here, by their own numbers of threads."""
    from pangeo_hpc.workflow.reduce.workers import Defaults

    client.register_plugin(Defaults())


def set_zarr(cores: int) -> None:
    """Set for good how many chunks Zarr asks for, and how many threads decode them."""
    settings = _settings(cores)
    for key, variable in _VARIABLES.items():
        os.environ.setdefault(variable, str(settings[key]))
    if "zarr" in sys.modules:
        import zarr

        zarr.config.set({key: int(os.environ[name]) for key, name in _VARIABLES.items()})


def _settings(cores: int) -> dict[str, int]:
    return {"async.concurrency": max(10, 4 * cores), "threading.max_workers": max(2, cores)}


@contextmanager
def _zarr(settings: dict[str, int]) -> Iterator[None]:
    """Set Zarr's configuration for a while, except for what a person has set by a variable."""
    import zarr

    told = {key: value for key, value in settings.items() if _VARIABLES[key] not in os.environ}
    with zarr.config.set(told):
        yield
