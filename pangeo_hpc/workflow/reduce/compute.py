"""What was in memory stays there: results of NumPy arrays are computed at once, as Xarray does."""

from typing import TYPE_CHECKING, Any

from pangeo_hpc.units import MIB
from pangeo_hpc.workflow.reduce.blocks import is_in_memory

if TYPE_CHECKING:
    import xarray as xr

# Threads are worth their while from here on.
_LARGE = 8 * MIB


def in_memory(array: Any, of: "xr.Variable") -> Any:
    """Return a Dask array as it is, or its values if it was made of values in memory."""
    if of.chunks is not None or not is_in_memory(of):
        return array
    return array.compute(scheduler="threads" if of.nbytes > _LARGE else "sync")
