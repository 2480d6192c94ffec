"""One reduction in a process of its own: `python -m benchmarks._reduce_child WAY OPERATION …`.

Ways: `ours` and `xarray` compute; `read` only reads the same store, and `copy` reads and writes it;
all with threads in one process. The output of a store that is not packed is not packed either.
The last line of the output is JSON: what it took, without imports and opening: a few values are
computed and written first, which imports all that is needed.
"""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

OPERATIONS = ("temporal mean", "climatology", "annual mean", "spatial mean", "anomaly")
STEPS = 120


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

    from pangeo_hpc.workflow import reduce

    with reduce.defaults(threads), dask.config.set(scheduler="threads"):
        if way != "ours":
            dask.config.set(num_workers=threads)
        if way in ("read", "copy"):
            wall, cpu = _moving(way, Path(store), Path(out), threads)
        else:
            wall, cpu = _computing(way, operation, Path(store), Path(out))
    files = sum(path.is_file() for path in Path(out).rglob("*"))
    print(json.dumps({"wall": wall, "cpu": cpu, "files": files}))


def _computing(way: str, operation: str, store: Path, out: Path) -> tuple[float, float]:
    """Compute and write; return the seconds of wall time and of CPU."""
    import xarray as xr

    make = ours if way == "ours" else plain
    with _opened(store, way) as ds:
        few = ds.isel(time=slice(0, 24), lat=slice(0, 2), lon=slice(0, 2)).load().drop_encoding()
        _write(make(few.chunk(time=12).ta, operation), out, xr)
        began = time.perf_counter(), time.process_time()
        encoding = {} if store.name == "ta.zarr" else {"compressors": None}
        _write(make(ds.ta, operation), out, xr, encoding)
        return time.perf_counter() - began[0], time.process_time() - began[1]


def _opened(store: Path, way: str) -> Any:
    """Open a store lazily; Xarray reads a NetCDF file at once unless it is told chunks."""
    import xarray as xr

    if store.suffix == ".zarr":
        return xr.open_zarr(store, consolidated=False)
    return xr.open_dataset(store, chunks=None if way == "ours" else {"time": STEPS})


def _write(made: Any, out: Path, xr: Any, encoding: dict[str, Any] | None = None) -> None:
    ds = xr.Dataset({"ta": made}).drop_encoding()
    given = {"ta": encoding or {}}
    ds.to_zarr(out, mode="w", zarr_format=3, consolidated=False, encoding=given)


def _moving(way: str, store: Path, out: Path, threads: int) -> tuple[float, float]:
    """Read everything, or read and write it, with as many threads as compute."""
    from contextlib import nullcontext
    from threading import Lock

    import netCDF4
    import zarr

    array: Any
    lock: Any = nullcontext()
    if store.suffix == ".zarr":
        array = zarr.open_group(store, mode="r")["ta"]
    else:
        array = netCDF4.Dataset(store)["ta"]
        array.set_auto_maskandscale(False)
        lock = Lock()  # the library of NetCDF lets one thread in
    target: Any = None
    if way == "copy":
        cut: dict[str, Any] = {"chunks": (STEPS, *array.shape[1:])}
        if store.name != "ta.zarr":
            cut["compressors"] = None
        target = zarr.create_array(out, shape=array.shape, dtype="f4", **cut)

    def one(start: int) -> None:
        where = slice(start, start + STEPS)
        with lock:
            values = array[where]
        if target is not None:
            target[where] = values

    began = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(0, array.shape[0], STEPS)))
    return time.perf_counter() - began[0], time.process_time() - began[1]


if __name__ == "__main__":
    main()
