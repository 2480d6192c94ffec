"""Results that are computed again because worker jobs end at their walltime, beside stock Dask.

All are run for real, on the test cluster, with the same work: two worker jobs with a minute of
walltime hold forty results (100 MB) while other tasks go on; then each result is used once.

    python -m benchmarks.dask_walltime [--seconds 150] [--limit 400]

Ours: `start_cluster`, as it is. Stock: dask-jobqueue's SLURMCluster, once as it is (with `adapt`,
since `scale` replaces no job), and once as its documentation says for walltimes, with `--lifetime`.
Task starts are counted by the tasks themselves, in a file.
"""

import argparse
import json
import os
import sys
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.cluster.machine import VENV
from tests.cluster.sites import command_line
from tests.cluster.slurm import SlurmCluster
from tests.cluster.users import ClusterUser

OURS = """\
import pangeo_hpc
cluster = pangeo_hpc.start_cluster("short", workers=2, walltime="00:01:00", name="bench")
"""

STOCK = """\
from dask_jobqueue import SLURMCluster
cluster = SLURMCluster(
    queue="short", cores=1, processes=1, memory="1GiB", walltime="00:01:00",
    interface="{interface}", local_directory="/tmp", log_directory="stock-logs",
    worker_extra_args={extra},
)
cluster.adapt(minimum_jobs=2, maximum_jobs=2)
"""

WORK = """
import json, time
import distributed

def note(what):
    with open("bench-starts", "a") as file:
        file.write(what + "\\n")

def make(number, seconds):
    import numpy
    note(f"make {{number}}")
    time.sleep(seconds)
    return numpy.full(2_500_000 // 8, number)

def use(array, number):
    note(f"use {{number}}")
    return int(array.sum()) // array.size

client = cluster.get_client()
begun = time.monotonic()
made = [client.submit(make, number, 0.5) for number in range(40)]
distributed.wait(made)
held = time.monotonic()
other = 0
while time.monotonic() - held < {seconds}:
    distributed.wait(client.submit(make, 1000 + other, 2))
    other += 1
used = client.gather([client.submit(use, array, n) for n, array in enumerate(made)])
print(json.dumps([used == list(range(40)), time.monotonic() - begun]), flush=True)
client.close()
cluster.close()
"""


@dataclass(frozen=True)
class Outcome:
    """How often tasks were started, and after how long the work was done: None if it was not."""

    tasks: int
    starts: int
    seconds: float | None
    jobs: int


def measure(user: ClusterUser, site: Path, text: str, limit: float) -> Outcome:
    """Run the work on one cluster."""
    starts = user.shared / "bench-starts"
    starts.unlink(missing_ok=True)
    script = user.shared / "bench.py"
    script.write_text(text)
    os.chown(script, user.uid, user.gid)
    before = number_of_jobs(user)
    words = ["timeout", "--signal=INT", "--kill-after=20", str(limit), f"{VENV}/bin/python"]
    done = user.run(
        [*words, str(script)],
        check=False,
        env={"PANGEO_HPC_SITE": str(site)},
        cwd=user.shared,
        timeout=limit + 120,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    is_right, seconds = json.loads(lines[-1]) if lines else (False, None)
    if not is_right:
        print(done.stderr[-2000:], file=sys.stderr)
    user.run(["scancel", "--me"], check=False)
    counted = Counter(starts.read_text().splitlines() if starts.exists() else ())
    taken = number_of_jobs(user) - before
    return Outcome(len(counted), counted.total(), seconds if is_right else None, taken)


def number_of_jobs(user: ClusterUser) -> int:
    """Return how many jobs a user has had so far, elements of arrays one by one."""
    told = user.run(["sacct", "-X", "-n", "-P", "--format=JobID", "--starttime=now-1day"])
    return len(told.stdout.split())


def main() -> int:
    """Start a cluster, measure all, and return 1 if ours computes anything again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=150.0, help="how long results are held")
    parser.add_argument("--limit", type=float, default=400.0, help="when to give up, in seconds")
    options = parser.parse_args()
    work = WORK.format(seconds=options.seconds)
    name = f"dask-jobqueue {version('dask-jobqueue')}"
    with SlurmCluster() as cluster:
        alice = cluster.user("alice")
        site = command_line(cluster, alice).site
        lifetime = ["--lifetime", "40s", "--lifetime-stagger", "4s"]
        ways = {
            "pangeo-hpc": OURS,
            f"{name}, adapt": STOCK.format(interface=cluster.interface, extra=[]),
            f"{name}, adapt, --lifetime": STOCK.format(interface=cluster.interface, extra=lifetime),
        }
        found = {
            way: measure(alice, site, text + work, options.limit) for way, text in ways.items()
        }
    print(f"two workers, a minute of walltime, 40 results held for {options.seconds:.0f} s:")
    print(f"{'':45}{'tasks':>8}{'starts':>8}{'again':>8}{'jobs':>6}{'done after':>12}")
    for way, one in found.items():
        done = f"{one.seconds:.0f} s" if one.seconds is not None else "never"
        again = one.starts - one.tasks
        print(f"{way:45}{one.tasks:8}{one.starts:8}{again:8}{one.jobs:6}{done:>12}")
    ours = found["pangeo-hpc"]
    return int(ours.starts > ours.tasks or ours.seconds is None)


if __name__ == "__main__":
    sys.exit(main())
