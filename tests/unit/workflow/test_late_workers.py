"""A Dask worker elsewhere outlives its killed attempt, and finishes a unit after the next began."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from pangeo_hpc.workflow.writing.output import Output
from tests.unit.workflow.conftest import Begin, Scripts, put, stamps

# Loaded into the worker: its write of unit 2, whose draft is there, waits before its last look at
# the fence, or after it, until the test lets it go on; then it tells what became of it.
PAUSE = """
import os, threading, time
from pathlib import Path
from pangeo_hpc import files
from pangeo_hpc.workflow.lease import Fence
from pangeo_hpc.workflow.writing import work
from pangeo_hpc.workflow.writing.store import DurableStore

marks, moment = Path(os.environ["MARKS"]), os.environ["MOMENT"]
here = threading.local()

def looks(fence):
    path = getattr(here, "path", None)
    third = path and (path.parent.name == "2" or path.name.startswith("unit-000002"))
    drafted = third and list(path.parent.glob(f".{path.name}.*.partial"))
    if drafted and moment == "before the fence":
        wait()
    fence.plain_check()
    if drafted and moment == "after the fence":
        wait()

def wait():
    (marks / "paused").touch()
    while not (marks / "go").exists():
        time.sleep(0.01)

def watched(call, at):
    def calls(*words, **more):
        here.path = words[at]
        try:
            call(*words, **more)
        except BaseException as error:
            tell(type(error).__name__)
            raise
        else:
            tell("written")
        finally:
            here.path = None
    return calls

def tell(what):
    if (marks / "go").exists():
        (marks / "ended.part").write_text(what)
        (marks / "ended.part").replace(marks / "ended")

if not hasattr(Fence, "plain_check"):
    # Dask loads this more than once
    Fence.check, Fence.plain_check = looks, Fence.check
    DurableStore._put = watched(DurableStore._put, 1)
    files.write_atomic = watched(files.write_atomic, 0)
"""

# The stale attempt has other values in unit 2, so that it would be seen whose are in the store.
STALE = """
import sys
import dask.array as da
import numpy as np
import xarray as xr
from distributed import Client
from pangeo_hpc import workflow

values = np.arange(48.0).reshape(24, 2)
values[8:12] *= -1
ds = xr.Dataset({"tas": (("time", "x"), da.from_array(values, chunks=(4, 2)))})
with Client(sys.argv[1]), workflow.start("climatology", cluster=False) as run:
    run.write_zarr(ds, "out.zarr", along="time", unit=4, key="one", encoding=ENCODING)
"""


def until(ready: Callable[[], Any], process: "subprocess.Popen[str] | None" = None) -> None:
    end = time.monotonic() + 180
    while not ready():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.fixture
def there() -> Iterator[ExitStack]:
    """What was started on the other node; it is ended with the test."""
    with ExitStack() as stack:
        yield stack


def start(there: ExitStack, log: Path, module: str, *words: str, **environment: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{module}", *words],
        env={**os.environ, **environment},
        stdout=there.enter_context(log.open("a")),
        stderr=subprocess.STDOUT,
    )
    there.callback(process.wait)
    there.callback(process.kill)


@pytest.mark.parametrize("moment", ["before the fence", "after the fence"])
@pytest.mark.parametrize("encoding", [{"tas": {"chunks": (4, 2)}}, {}], ids=["unit", "gathered"])
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_late_worker_puts_nothing_in_place(
    there: ExitStack,
    scripts: Scripts,
    attempt: Begin,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    encoding: dict[str, Any],
) -> None:
    """The script was killed, its scheduler and its worker were not; the fence refuses the worker.

    Whether the write had still to look at the fence or had passed it: its draft is gone then.
    """
    store = tmp_path / "scratch" / "out.zarr"
    (tmp_path / "pause.py").write_text(PAUSE)
    marks = {"MARKS": str(tmp_path), "MOMENT": moment}
    address, log = tmp_path / "scheduler.json", tmp_path / "dask.log"
    python_path = scripts.environment["PYTHONPATH"]
    words = ("--scheduler-file", str(address), "--no-dashboard")
    start(there, log, "dask_scheduler", "--host", "127.0.0.1", "--port", "0", *words)
    until(address.exists)
    start(
        there,
        log,
        "dask_worker",
        *words,
        *("--no-nanny", "--nthreads", "2", "--preload", str(tmp_path / "pause.py")),
        **{**marks, "PYTHONPATH": python_path},
    )
    path = scripts.write(STALE.replace("ENCODING", repr(encoding)))
    stale = subprocess.Popen(
        [sys.executable, str(path), json.loads(address.read_text())["address"]],
        env=scripts.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    there.callback(stale.wait)
    there.callback(stale.kill)
    until((tmp_path / "paused").exists, stale)
    stale.kill()
    stale.communicate()

    finish, seen = Output.finish, []

    def finishes(self: Output) -> int:
        # all units are there; now the worker goes on
        before = stamps(store)
        (tmp_path / "go").touch()
        until((tmp_path / "ended").exists)
        seen.append((tmp_path / "ended").read_text())
        assert stamps(store) == before
        return finish(self)

    monkeypatch.setattr(Output, "finish", finishes)
    values = np.arange(48.0).reshape(24, 2)
    ds = xr.Dataset({"tas": (("time", "x"), da.from_array(values, chunks=(4, 2)))})
    with attempt() as now:
        done = put(now, ds, store, along="time", unit=4, key="one", encoding=encoding)
    assert done.complete
    # the fence's own words, or the rename of a draft that the next attempt took away
    assert seen in (["RunBusy"], ["FileNotFoundError"])
    with xr.open_zarr(store, chunks=None) as found:
        np.testing.assert_array_equal(found.tas, values)
    assert not list(store.parent.rglob("*.partial"))
    assert not list(store.parent.glob(".*pieces"))
