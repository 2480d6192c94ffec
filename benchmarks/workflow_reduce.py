"""Means and anomalies beside plain Xarray and CDO, and beside merely reading the data.

    python -m benchmarks.workflow_reduce [--gib 0.5] [--repeat 3] [--threads 2] [--nodes]

Sample data of CMIP6 are tiled to the size asked for and written as Zarr, as NetCDF without
compression (which suits CDO best) and with it (as the CMIP6 archive has it). Each operation runs in
a process of its own, all of them in turn, so many times; the table has the least of each figure.
On a busy machine only the CPU times can be compared.
"Computing" begins when packages are imported and the store is open; CDO has no such part, so its
whole process stands there. With `--nodes`, the operations also run on one and two nodes of a test
cluster (as root, on Debian), each held to one core.
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
    """Run one operation in one way."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    if not way.startswith("cdo"):
        module = [sys.executable, "-m", "benchmarks._reduce_child", way, operation]
        return run([*module, str(field.zarr), str(out), str(threads)], tells=True)
    source = str(field.netcdf if way == "cdo" else field.deflated)
    inputs = [source, "-ymonmean", source] if operation == "anomaly" else [source]
    target = folder / "out.nc"
    target.unlink(missing_ok=True)
    packed = ["-z", "zip_1"] if way != "cdo" and operation == "anomaly" else []
    words = ["cdo", "-s", "-O", "-f", "nc4", *packed, *CDO[operation]]
    return run([*words, *inputs, str(target)], tells=False)


def least(some: Sequence[Figures]) -> Figures:
    """Return the least of each figure."""
    return Figures(*(min(values) for values in zip(*(vars(f).values() for f in some), strict=True)))


def tell(found: dict[tuple[str, str], Figures], ways: Sequence[str], reading: Figures) -> None:
    """Print a table, with ratios to reading and to CDO."""
    head = ("computing", "its CPU", "whole", "its CPU", "peak", "read", "written", "files")
    head += ("to reading", "CPU", "to cdo", "CPU")
    print(f"{'':26}" + "".join(f"{word:>11}" for word in head))
    print(line("reading alone", reading, reading, None))
    for operation in OPERATIONS:
        cdo = found.get((operation, "cdo"))
        for way in ways:
            label = f"{operation}, {way}"
            print(line(label, found[operation, way], reading, cdo))


def line(label: str, one: Figures, reading: Figures, cdo: Figures | None) -> str:
    """Return one line of the table."""
    seconds = (one.computing, one.cpu, one.whole, one.user + one.system)
    cells = [f"{each:.2f} s" for each in seconds]
    cells += [f"{amount / MIB:.0f} MiB" for amount in (one.memory, one.read, one.written)]
    cells.append(str(one.files))
    for other in (reading, cdo):
        if other:
            cells += [f"{one.computing / other.computing:.2f}", f"{one.cpu / other.cpu:.2f}"]
        else:
            cells += ["-", "-"]
    return f"{label:26}" + "".join(f"{cell:>11}" for cell in cells)


def on_one_machine(field: Field, folder: Path, options: argparse.Namespace) -> None:
    """Measure and tell all operations with threads."""
    ways = ["ours", *([] if options.no_xarray else ["xarray"])]
    ways += ["cdo", "cdo-deflated"] if shutil.which("cdo") else []
    if "cdo" not in ways:
        print("CDO is not installed: apt-get install cdo")
    found: dict[tuple[str, str], list[Figures]] = {}
    reading: list[Figures] = []
    for _ in range(options.repeat):
        for operation in OPERATIONS:
            reading.append(once("read", operation, field, folder, options.threads))
            told = f"{reading[-1].computing:.2f} s, {reading[-1].cpu:.2f} s of CPU"
            print(f"reading: {told}", file=sys.stderr)
            for way in ways:
                figures = once(way, operation, field, folder, options.threads)
                print(
                    f"{operation}, {way}: {figures.computing:.2f} s, {figures.cpu:.2f} s of CPU",
                    file=sys.stderr,
                )
                found.setdefault((operation, way), []).append(figures)
    tell({key: least(some) for key, some in found.items()}, ways, least(reading))
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
        found = {n: on_nodes(cli, field.zarr, n, options.repeat, steps) for n in (1, 2)}
    print(f"\n{field.nbytes / 2 / MIB:.0f} MiB for each node, one core each; least seconds")
    print(f"{'':30}{'1 node':>10}{'2 nodes':>10}{'kept':>8}")
    for operation in OPERATIONS:
        for way in ("ours", "xarray"):
            one, two = (min(found[n]["found"][operation][way]) for n in (1, 2))
            print(f"{operation + ', ' + way:30}{one:10.2f}{two:10.2f}{one / two:8.0%}")
    print("\ntasks that sleep instead of reading, so only the overhead of graph and scheduler:")
    for threads in (4, 16, 64):
        took, ideal = sleeping(threads)
        print(f"{threads:4} threads, 10 tasks each: {took:.2f} s, of which {ideal:.2f} s asleep")


def main() -> int:
    """Make the data, measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--gib", type=float, default=0.5, help="size of the values, in GiB")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each operation")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path, help="where to put the data, else a temporary one")
    parser.add_argument("--no-xarray", action="store_true", help="leave plain Xarray out")
    parser.add_argument("--nodes", action="store_true", help="measure on a test cluster too")
    parser.add_argument("--only-nodes", action="store_true", help="measure on a test cluster alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="reduce-") as name:
        folder = Path(name)
        if not options.only_nodes:
            field = make(folder, options.gib)
            sizes = ", ".join(
                f"{path.name} {size(path) / MIB:.0f} MiB"
                for path in (field.zarr, field.netcdf, field.deflated)
            )
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
