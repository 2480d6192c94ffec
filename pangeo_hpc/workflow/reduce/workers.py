"""What is set on the workers of a cluster, those that come later too."""

from typing import Any

from distributed.diagnostics.plugin import WorkerPlugin

from pangeo_hpc.workflow.reduce.tuning import set_zarr


class Defaults(WorkerPlugin):
    """Sets each worker to its own number of threads."""

    name = "pangeo-hpc-defaults"

    def setup(self, worker: Any) -> None:
        """Set a worker that starts, or is there already."""
        set_zarr(worker.state.nthreads)
