"""The reductions on one and two nodes of the test cluster, each held to one core of this machine.

Weak scaling as in the Pangeo HPC benchmark of SC19: each node has as much to read as one has alone.
Beside the wall time stands the CPU time of the workers, which other work on this machine leaves
nearly as it is: what two nodes take more of it for the same values is the overhead of being two.
Beyond two nodes there are no cores here: tasks that sleep stand for reading, so that only what our
graphs and Dask's scheduler take is measured.
"""

import json
import time
from pathlib import Path
from typing import Any

from tests.cluster.machine import VENV
from tests.cluster.sites import CommandLine

WORK = """\
import json, os, sys, time
sys.path.insert(0, sys.argv[1])
import xarray as xr
from benchmarks._reduce_child import OPERATIONS, ours, plain
from pangeo_hpc import workflow

store, repeat, steps = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

def pin(dask_worker):
    core = int(os.uname().nodename[-1]) % os.cpu_count()
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), {core})
    return core

def cpu(run):
    return sum(run.client.run(time.process_time).values())

with workflow.start(sys.argv[5]) as run:
    cores = sorted(run.client.run(pin).values())
    nodes = len(cores)
    ta = xr.open_zarr(store, consolidated=False).ta.isel(time=slice(0, nodes * steps))
    found = {}
    for number in range(repeat + 1):
        for operation in OPERATIONS:
            for way, make in (("ours", ours), ("xarray", plain)):
                began, spent = time.perf_counter(), cpu(run)
                # a mean of the anomalies' squares, so that they need not be kept
                made = make(ta, operation)
                (abs(made).max() if operation == "anomaly" else made).compute()
                took = time.perf_counter() - began, (cpu(run) - spent) / nodes
                if number:  # the first one imports what it needs
                    found.setdefault(operation, {}).setdefault(way, []).append(took)
    print("found " + json.dumps({"cores": cores, "found": found}), flush=True)
"""


def on_nodes(cli: CommandLine, store: Path, nodes: int, repeat: int, steps: int) -> dict[str, Any]:
    """Run all operations in one job; return seconds of wall and CPU time by operation and way."""
    script = cli.script("reduce.py", WORK)
    name = f"reduce-{nodes}"
    root = Path(__file__).parents[1]
    output = cli.here / f"{name}.out"
    job = cli.script(
        f"{name}.sh",
        f"#!/bin/bash\n#SBATCH --nodes={nodes} --ntasks-per-node=1 --cpus-per-task=1\n"
        f"#SBATCH --time=30 --mem=1400M --output={output}\n"
        f"{VENV}/bin/pangeo-hpc --site {cli.site} run {script} --name {name} --force -- "
        f"{root} {store} {repeat} {steps} {name}\n",
    )
    code, _ = cli.sbatch(job, timeout=1800)
    text = output.read_text()
    if code:
        raise SystemExit(f"the job on {nodes} nodes failed:\n{text}")
    (line,) = (line for line in text.splitlines() if line.startswith("found "))
    found: dict[str, Any] = json.loads(line.removeprefix("found "))
    return found


def sleeping(threads: int, blocks: int = 10, seconds: float = 0.5) -> tuple[float, float]:
    """Reduce blocks that only sleep, so many for each thread; return the seconds, and the ideal."""
    import dask.array
    import distributed
    import numpy as np
    import xarray as xr

    from pangeo_hpc.workflow import reduce

    def rest(block: Any) -> Any:
        time.sleep(seconds)
        return block

    number = threads * blocks
    values = dask.array.zeros((number * 12, 4, 4), chunks=(12, 4, 4)).map_blocks(
        rest, meta=np.empty((0, 0, 0))
    )
    dates = xr.date_range("0001-01-01", periods=number * 12, freq="MS", use_cftime=True)
    array = xr.DataArray(values, {"time": dates}, ("time", "lat", "lon"))
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=threads, processes=False, dashboard_address=None
        ) as cluster,
        cluster.get_client(),
    ):
        began = time.perf_counter()
        reduce.climatology(array).compute()
        return time.perf_counter() - began, blocks * seconds
