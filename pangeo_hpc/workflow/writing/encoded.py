"""The values of an output as Zarr stores them, lazily, and the arrays they go into.

Xarray does all of the encoding, exactly as in `to_zarr` into a region of a store that is there;
each array is opened once.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pangeo_hpc.workflow.writing.grid import Grid
from pangeo_hpc.workflow.writing.layout import is_lazy
from pangeo_hpc.workflow.writing.parts import Part
from pangeo_hpc.workflow.writing.store import DurableStore
from pangeo_hpc.workflow.writing.template import stable

if TYPE_CHECKING:
    import xarray as xr
    import zarr

Encoded = tuple[Any, "zarr.Array[Any]"]


class _Collected:
    """Takes the place of Xarray's writer, and writes nothing."""

    def __init__(self) -> None:
        self.found: dict[str, Encoded] = {}

    def add(self, source: Any, target: "zarr.Array[Any]", region: Any = None) -> None:  # noqa: ARG002, as Xarray calls it
        """Keep encoded values, which may be of Dask, and their array."""
        self.found[target.basename] = (source, target)


def encode(
    variables: "Mapping[str, xr.Variable]",
    store: DurableStore,
    part: Part,
    region: Mapping[str, slice] | None = None,
) -> dict[str, Encoded]:
    """Return the encoded values of variables and their arrays in a store.

    With a region, the variables are only that part of what is there.
    """
    from xarray.backends import ZarrStore

    collected = _Collected()
    with stable():
        backend = ZarrStore.open_group(
            store,
            mode="r+",
            group=part.group or None,
            zarr_format=3,
            consolidated=False,
            write_region=dict(region or {}),
            safe_chunks=False,
            write_empty=True,
        )
        backend.store(variables, {}, writer=collected)
    return collected.found


def as_dask(variable: "xr.Variable", grid: Grid) -> "xr.Variable":
    """Return a variable backed by Dask; what is in memory is cut, not copied, file by file."""
    import dask.array
    import xarray as xr

    if is_lazy(variable):
        return variable
    chunks = tuple(
        min(size, max(1, length)) for size, length in zip(grid.write, variable.shape, strict=True)
    )
    data = dask.array.from_array(variable.data, chunks=chunks, name=False)
    return xr.Variable(variable.dims, data, variable.attrs, variable.encoding)
