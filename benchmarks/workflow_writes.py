"""What it costs to write such that a kill loses nothing: `run.write_zarr` beside plain `to_zarr`.

The same data, chunks, shards and workers on both sides, one after the other, several times; the
table has medians. Both with a local Dask cluster and with the threads of one process.

    python -m benchmarks.workflow_writes [--size 1024] [--times 5] [--folder DIR]

What the disk takes to make files durable is printed apart, since plain `to_zarr` leaves that out:
its files may be gone after a node's crash. `plain, synced` is `to_zarr` into a store that syncs.
Each write is a process of its own, whose peak memory is told; all have written a little before.
Fails if ours takes more than 5 % over plain with synced files.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path

LIMIT = 1.05

# How the data are made costs no reading: a cheap computation over chunks of 8 MiB.
DATA = """
import json, os, resource, sys, time
import dask.array as da
import numpy as np
import xarray as xr

folder, way, threads, mib = sys.argv[1], sys.argv[2], sys.argv[3] == "threads", int(sys.argv[4])
STEPS, LAT, LON = 16, 256, 512
steps = mib * 2**20 // (LAT * LON * 4) // STEPS * STEPS

def field(block_info=None):
    place = block_info[None]["array-location"]
    shape = tuple(b - a for a, b in place)
    noise = np.random.default_rng(place[0][0]).integers(0, 4096, shape)
    return (noise / np.float32(64)).astype("f4")

tas = da.map_blocks(
    field, chunks=((STEPS,) * (steps // STEPS), (LAT,), (LON,)), dtype="f4",
    meta=np.empty((0, 0, 0), "f4"),
)
ds = xr.Dataset({"tas": (("time", "lat", "lon"), tas)}, {"time": np.arange(steps)})
"""

OURS = """
from pangeo_hpc import workflow

with workflow.start("bench", cluster=not threads, workers=None if threads else 2) as run:
    run.write_zarr(ds.isel(time=slice(0, STEPS)), f"{folder}/warm.zarr")
    begun, cpu = time.monotonic(), time.process_time()
    run.write_zarr(ds, f"{folder}/out.zarr")
    seconds = time.monotonic() - begun
"""

# Its layout is ours, so that both write the same files.
STOCK = """
import warnings
from contextlib import nullcontext
import zarr
from pangeo_hpc.workflow.writing.cutting import decide
from pangeo_hpc.workflow.writing.layout import Asked
from pangeo_hpc.workflow.lease import Fence
from pangeo_hpc.workflow.writing.store import DurableStore
from pathlib import Path
warnings.simplefilter("ignore")

layout = decide(ds, Asked())
grid = layout.grids["tas"]
target = f"{folder}/out.zarr"
cluster = nullcontext()
if not threads:
    import pangeo_hpc
    cluster = pangeo_hpc.start_cluster(workers=2)
with cluster as made:
    client = made.get_client() if made else None
    ds.isel(time=slice(0, STEPS)).to_zarr(f"{folder}/warm.zarr", zarr_format=3)
    begun, cpu = time.monotonic(), time.process_time()
    store = target
    if way == "synced":
        store = DurableStore.at(Path(target), Fence(Path(folder), 1))
    chunked = ds.chunk(time=grid.write[0])
    chunked.to_zarr(store, zarr_format=3, encoding={"tas": grid.encoding}, write_empty_chunks=True)
    seconds = time.monotonic() - begun
    if client:
        client.close()
"""

TELL = """
# of this process and its threads; what the workers of a cluster take is not in it
cpu = time.process_time() - cpu
peak = max(resource.getrusage(who).ru_maxrss
           for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
files = [p for p in __import__("pathlib").Path(folder, "out.zarr").rglob("*") if p.is_file()]
print("RESULT", json.dumps({
    "seconds": seconds, "cpu": cpu, "peak": peak / 1024, "files": len(files),
    "bytes": sum(p.stat().st_size for p in files),
}))
"""

SITE = """\
name: bench
scheduler: local
user_state: "{here}/state/{{user}}"
node_types: {{one: {{cores: 2, memory: 4 GiB, walltime: "01:00:00"}}}}
scratch: {{scratch: {{root: {here}, path: "{here}/scratch/{{user}}"}}}}
"""


@dataclass(frozen=True)
class Outcome:
    """One write: its seconds, those of its process's CPU, its peak memory (MiB), what it made."""

    seconds: float
    cpu: float
    peak: float
    files: int
    bytes: int


def write(way: str, with_what: str, size: int, folder: Path) -> Outcome:
    """Write once, in a process of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        site = Path(place, "site.yaml")
        site.write_text(SITE.format(here=place))
        script = Path(place, "bench.py")
        body = OURS if way == "ours" else STOCK
        script.write_text(DATA + body + TELL)
        done = subprocess.run(
            [sys.executable, str(script), place, way, with_what, str(size)],
            env={**os.environ, "PANGEO_HPC_SITE": str(site), "PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise SystemExit(f"{way}, {with_what} failed:\n{done.stderr[-3000:]}")
    return Outcome(**json.loads(lines[-1].removeprefix("RESULT ")))


def syncing(size: int, folder: Path) -> float:
    """Return the seconds that this disk takes to sync as many bytes, in files of 64 MiB."""
    program = textwrap.dedent("""
        import os, sys, time
        spent, block = 0.0, os.urandom(1 << 20)
        for number in range(max(1, int(sys.argv[2]) // 64)):
            with open(f"{sys.argv[1]}/{number}", "wb") as file:
                for _ in range(64):
                    file.write(block)
                file.flush()
                begun = time.monotonic()
                os.fsync(file.fileno())
                spent += time.monotonic() - begun
        print(spent)
    """)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        words = [sys.executable, "-c", program, place, str(size)]
        return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def main() -> int:
    """Measure all ways in turn; return 1 if ours costs more than 5 %."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=1024, help="MiB of data, uncompressed")
    parser.add_argument("--times", type=int, default=5, help="repetitions")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    ways = ("ours", "plain", "synced")
    worst = 0.0
    print(f"{options.size} MiB of float32, {options.times} times in turn, medians")
    heads = f"{'seconds':>9}{'ours/it':>9}{'CPU s':>8}{'files':>7}{'MiB made':>10}{'peak MiB':>10}"
    print(f"{'':28}{heads}")
    for with_what in ("threads", "cluster"):
        found: dict[str, list[Outcome]] = {way: [] for way in ways}
        for number in range(options.times):
            # each goes first as often as the others
            for way in (*ways[number % 3 :], *ways[: number % 3]):
                found[way].append(write(way, with_what, options.size, options.folder))
        for way in ways:
            many = found[way]
            pairs = [o.seconds / each.seconds for o, each in zip(found["ours"], many, strict=True)]
            ratio = statistics.median(pairs)
            worst = max(worst, ratio) if way == "synced" else worst
            seconds = statistics.median(each.seconds for each in many)
            cpu = statistics.median(each.cpu for each in many)
            peak = statistics.median(each.peak for each in many)
            row = f"{with_what}, {'plain, synced' if way == 'synced' else way}"
            print(
                f"{row:28}{seconds:9.2f}{ratio:9.3f}{cpu:8.2f}{many[0].files:7}"
                f"{many[0].bytes / 2**20:10.0f}{peak:10.0f}"
            )
    print(f"syncing that many bytes takes this disk {syncing(options.size, options.folder):.2f} s")
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
