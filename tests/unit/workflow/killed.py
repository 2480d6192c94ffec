"""A writer that is killed at a given event, and the datasets it writes. Runs in processes forked
from one that has imported everything."""

import os
import signal
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import xarray as xr

from pangeo_hpc import files
from pangeo_hpc.workflow.writing import template
from pangeo_hpc.workflow.writing.store import DurableStore
from tests.unit.workflow.conftest import begin_in, put

KINDS = (
    *("float", "packed", "int", "bool", "complex", "when", "lasts", "letters", "bytes"),
    *("names", "mean", "static", "static_here", "scalar", "empty", "transposed", "cftime"),
)


def dataset(kinds: list[str], length: int, chunk: int, lazy: bool) -> xr.Dataset:
    """Return a dataset with variables of some kinds, each with values of its own."""
    random = np.random.default_rng(length)
    values = random.random((length, 3, 4))
    values[:, 1, 1] = np.nan
    hours = (values[:, :, 0] * 1000).astype("i8").astype("m8[h]")
    texts = np.array([f"n{i}" * (1 + i % 3) for i in range(length)])
    packed = {"dtype": "i2", "scale_factor": 0.01, "_FillValue": -99}
    times = xr.date_range("2000-01-01", periods=length, calendar="noleap", use_cftime=True)
    found: dict[str, Any] = {
        "float": (("t", "y", "x"), values.astype("f4")),
        "packed": (("t", "y", "x"), np.round(values, 2), {"units": "K"}, packed),
        "int": (("t", "y"), hours.astype("i4")),
        "bool": (("t", "y"), hours.astype("i8") % 2 == 0),
        "complex": (("t", "x"), values[:, 0] + 1j),
        "when": (("t", "y"), np.datetime64("2001-01-01", "ns") + hours),
        "lasts": (("t", "y"), hours.astype("m8[ns]")),
        "letters": (("t",), texts),
        "bytes": (("t",), texts.astype("S")),
        "names": (("t", "b"), np.stack([texts, texts], 1).astype(object)),
        "mean": (("t",), values[:, 0, 0]),
        "static": (("y", "x"), da.from_array(values[0], chunks=(2, 4))),
        "static_here": (("y", "x"), values[0]),
        "scalar": ((), 3.5),
        "empty": (("t", "none"), np.zeros((length, 0))),
        "transposed": (("x", "t"), values[:, 2].T),
        "cftime": (("t",), times.values),
    }
    ds = xr.Dataset({kind: found[kind] for kind in kinds}, {"t": np.arange(length)})
    return ds.chunk(t=chunk) if lazy and "t" in ds.dims else ds


def write(
    folder: str, target: str, spec: tuple[Any, ...], options: dict[str, Any], kill_at: int
) -> None:
    """Write a dataset, and be killed at an event; 0 lets it end. Each event is counted in a file.

    Events are files written, of the store and of the ledger, before and after, and renames.
    """
    seen = [0]

    def event() -> None:
        seen[0] += 1
        if seen[0] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    atomic, place, put_file = files.write_atomic, template._place, DurableStore.set

    def write_atomic(path: Path, *words: Any, **more: Any) -> None:
        event()
        atomic(path, *words, **more)
        event()

    async def set_(self: DurableStore, key: str, value: Any) -> None:
        event()
        await put_file(self, key, value)
        event()

    def place_(draft: Path, there: Path, old: Path) -> None:
        event()
        place(draft, there, old)
        event()

    files.write_atomic, template._place = write_atomic, place_  # type: ignore[assignment]
    DurableStore.set = set_  # type: ignore[method-assign]
    with dask.config.set(num_workers=2), begin_in(Path(folder))() as now:
        put(now, dataset(*spec), Path(target), **options)
    Path(folder, "events").write_text(str(seen[0]))
