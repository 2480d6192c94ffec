"""One reduction in a process of its own: `python -m benchmarks._reduce_child WAY OPERATION …`.

Ways: `ours` and `xarray` compute, `read` only reads what they do, all with threads in one process.
The last line of the output is JSON: what the computing took, without imports and opening.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

OPERATIONS = ("temporal mean", "climatology", "annual mean", "spatial mean", "anomaly")


def ours(ta: Any, operation: str) -> Any:
    """Return what `workflow.reduce` makes."""
    from pangeo_hpc.workflow import reduce

    makers: dict[str, Callable[[Any], Any]] = {
        "temporal mean": reduce.temporal_mean,
        "climatology": reduce.climatology,
        "annual mean": reduce.annual_mean,
        "spatial mean": reduce.spatial_mean,
        "anomaly": reduce.anomaly,
    }
    return makers[operation](ta)


def plain(ta: Any, operation: str) -> Any:
    """Return what Xarray makes, as its documentation says."""
    import numpy as np

    if operation == "spatial mean":
        return ta.weighted(np.cos(np.deg2rad(ta.lat))).mean(["lat", "lon"])
    if operation == "temporal mean":
        return ta.mean("time")
    groups = ta.groupby("time.year" if operation == "annual mean" else "time.month")
    means = groups.mean("time")
    return groups - means if operation == "anomaly" else means


def main() -> None:
    """Compute once and tell how long it took."""
    way, operation, store, out = sys.argv[1:5]
    threads = int(sys.argv[5])
    import dask
    import xarray as xr

    from pangeo_hpc.workflow import reduce

    with reduce.defaults(threads), dask.config.set(scheduler="threads"):
        if way != "ours":
            dask.config.set(num_workers=threads)
        began, cpu = time.perf_counter(), time.process_time()
        if way == "read":
            _read(store)
        else:
            with xr.open_zarr(store, consolidated=False) as ds:
                began, cpu = time.perf_counter(), time.process_time()
                made = (ours if way == "ours" else plain)(ds.ta, operation)
                made = made.rename("ta").to_dataset().drop_encoding()
                made.to_zarr(out, mode="w", zarr_format=3, consolidated=False)
        took = time.perf_counter() - began, time.process_time() - cpu
    files = sum(path.is_file() for path in Path(out).rglob("*"))
    print(json.dumps({"wall": took[0], "cpu": took[1], "files": files}))


def _read(store: str, steps: int = 480) -> None:
    """Read everything, a few hundred MiB at a time."""
    import zarr

    array: Any = zarr.open_group(store, mode="r")["ta"]
    for start in range(0, array.shape[0], steps):
        array[start : start + steps]


if __name__ == "__main__":
    main()
