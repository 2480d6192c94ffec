"""Means that all units of an output need are computed once, and not once for each unit."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pangeo_hpc.workflow.reduce.graph import HELD

if TYPE_CHECKING:
    import xarray as xr
    from dask.highlevelgraph import HighLevelGraph


def hold(ds: "xr.Dataset") -> "xr.Dataset":
    """Return a dataset whose anomalies have their climatologies computed.

    They are in the memory of the workers, or of this process without a cluster; nothing else is
    computed. A dataset without anomalies is returned as it is.
    """
    from dask.base import persist

    lazy = {name: v.data for name, v in ds.variables.items() if v.chunks is not None}
    held = {
        layer: _as_array(array.dask, layer)
        for array in lazy.values()
        for layer in array.dask.layers
        if str(layer).startswith(HELD)
    }
    if not held:
        return ds
    computed = dict(zip(held, persist(*held.values()), strict=True))
    result = ds.copy()
    for name, array in lazy.items():
        if not computed.keys().isdisjoint(array.dask.layers):
            result.variables[name].data = _with(array, computed)
    return result


def _as_array(graph: "HighLevelGraph", layer: str) -> Any:
    """Return a layer of a graph as an array; the lengths of its chunks do not matter here."""
    import dask.array

    keys = [key for key in graph.layers[layer] if isinstance(key, tuple) and key[0] == layer]
    counts = [max(positions) + 1 for positions in list(zip(*keys, strict=True))[1:]]
    chunks = tuple((math.nan,) * count for count in counts)
    return dask.array.Array(_below(graph, layer, {}), layer, chunks, dtype=float)


def _with(array: Any, computed: Mapping[str, Any]) -> Any:
    """Return an array whose graph has some layers computed, and no more than it needs."""
    import dask.array

    graph = _below(array.dask, array.name, computed)
    return dask.array.Array(graph, array.name, array.chunks, meta=array._meta)  # noqa: SLF001


def _below(graph: "HighLevelGraph", top: str, computed: Mapping[str, Any]) -> "HighLevelGraph":
    """Return a layer and what it needs. `HighLevelGraph.cull` would give the layers new names."""
    from dask.highlevelgraph import HighLevelGraph

    layers: dict[str, Any] = {}
    dependencies: dict[str, set[str]] = {}
    wanted = [top]
    while wanted:
        layer = wanted.pop()
        if layer in layers:
            continue
        if layer in computed:
            layers[layer], dependencies[layer] = dict(computed[layer].dask), set()
        else:
            layers[layer], dependencies[layer] = graph.layers[layer], graph.dependencies[layer]
            wanted += dependencies[layer]
    return HighLevelGraph(layers, dependencies)
