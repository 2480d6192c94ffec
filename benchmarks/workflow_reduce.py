"""Means and anomalies beside plain Xarray and CDO, and beside merely reading the data.

    python -m benchmarks.workflow_reduce [--gib 0.5] [--repeat 3] [--missing 0.3] [--nodes]

Sample data of CMIP6 are tiled to the size asked for and written four times: packed, as Zarr (zstd)
and as NetCDF (deflated, as the CMIP6 archive has it), and not packed, as Zarr with shards and as
NetCDF in one piece, which suits CDO best. Outputs are packed as their inputs are.
Each operation runs in a process of its own, all of them in turn, so many times; the table has the
least of each figure. On a busy machine only the CPU times can be compared.

"Wall" is that of the operation, from the open store to the written result; of CDO it is its whole
process, which takes some 10 ms to start. "Floor" is merely reading the same input, in runs of ten
years with as many threads; for the anomaly, which writes as much as it reads, it is reading the
input and writing it. "Computing" is what is left: wall less floor. With `--nodes`, the operations
also run on one and two nodes of a test cluster (as root, on Debian), each held to one core.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks._reduce_child import OPERATIONS
from benchmarks._reduce_field import Field, make

CDO = {
    "temporal mean": ["timmean"],
    "climatology": ["ymonmean"],
    "annual mean": ["yearmean"],
    "spatial mean": ["fldmean"],
    "anomaly": ["ymonsub"],
}
# What ours is compared with: CDO where it is fastest.
PEER = "cdo, netcdf"
STORES = ("zarr", "plain", "netcdf", "deflated")
MIB = 2**20


@dataclass(frozen=True)
class Figures:
    """What one process took: seconds, bytes, files; `cpu` is that of the computing part."""

    computing: float
    cpu: float
    whole: float
    user: float
    system: float
    memory: int
    read: int
    written: int
    files: int


def run(words: Sequence[str], *, tells: bool) -> Figures:
    """Run a program to its end; one that `tells` says itself what its computing took."""
    began = time.perf_counter()
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        # it is kept until its counters were read
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        whole = time.perf_counter() - began
        counters = dict(
            line.split(": ") for line in Path(f"/proc/{process.pid}/io").read_text().splitlines()
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} failed")
    everything = {"wall": whole, "cpu": usage.ru_utime + usage.ru_stime, "files": 1}
    told = json.loads(output.splitlines()[-1]) if tells else everything
    return Figures(
        told["wall"],
        told["cpu"],
        whole,
        usage.ru_utime,
        usage.ru_stime,
        usage.ru_maxrss * 1024,
        int(counters["rchar"]),
        int(counters["wchar"]),
        told["files"],
    )


def once(way: str, operation: str, field: Field, folder: Path, threads: int) -> Figures:
    """Run one operation in one way, on one of the stores: "ours, zarr"."""
    program, _, kind = way.partition(", ")
    source: Path = getattr(field, kind)
    out = folder / ("out.nc" if program.startswith("cdo") else "out")
    shutil.rmtree(out, ignore_errors=True)
    out.unlink(missing_ok=True)
    if not program.startswith("cdo"):
        module = [sys.executable, "-m", "benchmarks._reduce_child", program, operation]
        return run([*module, str(source), str(out), str(threads)], tells=True)
    inputs = [str(source), "-ymonmean", str(source)] if operation == "anomaly" else [str(source)]
    packed = ["-z", "zip_1"] if kind == "deflated" and operation == "anomaly" else []
    operators = ["copy"] if program == "cdo copy" else CDO[operation]
    if program == "cdo copy":
        inputs = [str(source)]
    words = ["cdo", "-s", "-O", "-f", "nc4", *packed, *operators]
    return run([*words, *inputs, str(out)], tells=False)


def floor_of(operation: str, way: str) -> tuple[str, str]:
    """Return how what another reads is only read, or read and written if that writes as much."""
    program, _, kind = way.partition(", ")
    if operation != "anomaly":
        return "", f"read, {kind}"
    return operation, f"{'cdo copy' if program == 'cdo' else 'copy'}, {kind}"


def least(some: Sequence[Figures]) -> Figures:
    """Return the least of each figure."""
    return Figures(*(min(values) for values in zip(*(vars(f).values() for f in some), strict=True)))


def tell(found: dict[tuple[str, str], Figures], ways: Sequence[str]) -> None:
    """Print a table: for each way its floor, and ratios to what CDO takes without packing."""
    head = ("wall", "CPU", "floor", "CPU", "computing", "to floor", "CPU")
    head += ("to cdo", "CPU", "computing", "process", "peak", "read", "written", "files")
    print(f"{'':30}" + "".join(f"{word:>10}" for word in head))
    for operation in OPERATIONS:
        cdo = found.get((operation, PEER))
        for way in ways:
            one, floor = found[operation, way], found[floor_of(operation, way)]
            rest = one.computing - floor.computing
            seconds = (one.computing, one.cpu, floor.computing, floor.cpu, rest)
            cells = [f"{each:.2f} s" for each in seconds]
            cells += [ratio(one.computing, floor.computing), ratio(one.cpu, floor.cpu)]
            if cdo:
                of_cdo = cdo.computing - found[floor_of(operation, PEER)].computing
                cells += [ratio(one.computing, cdo.computing), ratio(one.cpu, cdo.cpu)]
                cells.append(ratio(rest, of_cdo))
            else:
                cells += ["-", "-", "-"]
            cells.append(f"{one.whole:.2f} s")
            cells += [f"{amount / MIB:.0f} MiB" for amount in (one.memory, one.read, one.written)]
            cells.append(str(one.files))
            print(f"{f'{operation}, {way}':30}" + "".join(f"{cell:>10}" for cell in cells))


def ratio(one: float, other: float) -> str:
    """Return a ratio as text; there is none to what took no time beyond its floor."""
    return f"{one / other:.2f}" if other > 0 else "-"


def on_one_machine(field: Field, folder: Path, options: argparse.Namespace) -> None:
    """Measure and tell all operations with threads."""
    ways = ["ours, plain", "ours, netcdf", "ours, zarr", "ours, deflated"]
    ways += [] if options.no_xarray else ["xarray, zarr"]
    if shutil.which("cdo"):
        ways += [PEER, "cdo, deflated"]
    else:
        print("CDO is not installed: apt-get install cdo")
    ways = [way for way in ways if way.partition(", ")[2] in options.stores]
    found: dict[tuple[str, str], list[Figures]] = {}
    for _ in range(options.repeat):
        for operation in OPERATIONS:
            floors = dict.fromkeys(floor_of(operation, way) for way in ways)
            for key in (*floors, *((operation, way) for way in ways)):
                figures = once(key[1], operation, field, folder, options.threads)
                told = f"{figures.computing:.2f} s, {figures.cpu:.2f} s of CPU"
                print(f"{operation}, {key[1]}: {told}", file=sys.stderr)
                found.setdefault(key, []).append(figures)
    tell({key: least(some) for key, some in found.items()}, ways)
    load = os.getloadavg()[0]
    print(f"least of {options.repeat} runs; load of the machine at the end {load:.1f}")


def on_a_cluster(folder: Path, options: argparse.Namespace) -> None:
    """Measure and tell all operations on one and two nodes, then tasks that sleep."""
    from benchmarks._reduce_nodes import on_nodes, sleeping
    from tests.cluster import machine
    from tests.cluster.sites import command_line
    from tests.cluster.slurm import SlurmCluster

    machine.ensure_venv(Path(__file__).parents[1])
    with SlurmCluster() as cluster:
        cli = command_line(cluster, cluster.user("alice"))
        field = make(folder, options.gib)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)
        steps = field.steps // 2
        found: dict[tuple[int, str, str], list[tuple[float, float]]] = {}
        for nodes in (1, 2) * 2:  # in turn, since the machine may have other work at times
            told = on_nodes(cli, field.zarr, nodes, options.repeat, steps)
            for operation, ways in told["found"].items():
                for way, took in ways.items():
                    found.setdefault((nodes, operation, way), []).extend(took)
    print(f"\n{field.nbytes / 2 / MIB:.0f} MiB for each node, one core each; least seconds")
    head = ("1 node", "2 nodes", "2 to 1", "CPU each", "CPU each", "2 to 1")
    print(f"{'':30}" + "".join(f"{word:>10}" for word in head))
    for operation in OPERATIONS:
        for way in ("ours", "xarray"):
            cells = ""
            for which in (0, 1):
                one, two = (min(t[which] for t in found[n, operation, way]) for n in (1, 2))
                cells += f"{one:10.2f}{two:10.2f}{two / one:10.2f}"
            print(f"{operation + ', ' + way:30}{cells}")
    print("\ntasks that sleep instead of reading, so only the overhead of graph and scheduler:")
    for threads in (4, 16, 64):
        took, ideal = sleeping(threads)
        print(f"{threads:4} threads, 10 tasks each: {took:.2f} s, of which {ideal:.2f} s asleep")


def main() -> int:
    """Make the data, measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--gib", type=float, default=0.5, help="size of the values, in GiB")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each operation")
    parser.add_argument("--missing", type=float, default=0.0, help="share of the grid that is")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path, help="where to put the data, else a temporary one")
    parser.add_argument("--stores", nargs="+", choices=STORES, default=STORES, help="which to read")
    parser.add_argument("--no-xarray", action="store_true", help="leave plain Xarray out")
    parser.add_argument("--nodes", action="store_true", help="measure on a test cluster too")
    parser.add_argument("--only-nodes", action="store_true", help="measure on a test cluster alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="reduce-") as name:
        folder = Path(name)
        if not options.only_nodes:
            field = make(folder, options.gib, options.missing)
            sizes = ", ".join(f"{path.name} {size(path) / MIB:.0f} MiB" for path in field.paths)
            print(f"{field.steps} months, {field.nbytes / MIB:.0f} MiB of values: {sizes}")
            on_one_machine(field, folder, options)
        if options.nodes or options.only_nodes:
            on_a_cluster(folder, options)
    return 0


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


if __name__ == "__main__":
    sys.exit(main())
