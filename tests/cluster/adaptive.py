"""A workload for adaptive scaling whose jobs wait in the queue; tests and benchmarks share it."""

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.machine import VENV
from tests.cluster.sites import CommandLine

PYTHON = f"{VENV}/bin/python"

MOST = 4
"""Jobs at once."""

TASKS = (4, 8, 40)
"""How many tasks there are in each workload."""

NODE_TYPE = """\
  by{processes}:
    queue: compute
    cores: {processes}
    memory: {memory} MiB
    walltime: "00:05:00"
    max_jobs: {most}
    dask: {{processes: {processes}, threads: 1}}
    directives: ["--begin=now+{wait}"]
"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one workload.

    `jobs` were submitted and `cancelled` before the last task had ended; `starts` counts how often
    a task began.
    """

    processes: int
    tasks: int
    done: int
    jobs: int
    cancelled: int
    starts: int
    seconds: float


# One thread for each size of jobs, and in each one workload after the other.
SESSION = """\
import json, os, sys, time
from concurrent.futures import ThreadPoolExecutor
import pangeo_hpc
from distributed import Client
from pangeo_hpc.schedulers.base import JobState

seconds, sizes = float(sys.argv[1]), json.loads(sys.argv[2])

def work(number, path, seconds):
    with open(path, "a") as file:
        file.write(f"{number}\\n")
    time.sleep(seconds)
    return number

def workload(processes, tasks):
    name = f"by{processes}"
    with pangeo_hpc.start_cluster(name, workers=0, name=f"{name}-{tasks}") as cluster:
        cluster.adapt(minimum=0, maximum_jobs=4)
        starts = cluster.folder / "starts"
        starts.touch()
        begun = time.monotonic()
        with Client(cluster, set_as_default=False) as client:
            futures = client.map(work, range(tasks), path=str(starts), seconds=seconds, pure=False)
            done = client.gather(futures)
            took = time.monotonic() - begun
            jobs = cluster.jobs
        gone = [job for job in jobs if job.state is JobState.CANCELLED]
        outcome = dict(processes=processes, tasks=tasks, done=len(set(done)), jobs=len(jobs),
            cancelled=len(gone), starts=len(starts.read_text().split()), seconds=took)
        print(json.dumps(outcome), flush=True)

def one_after_the_other(processes):
    for tasks in sizes:
        workload(processes, tasks)

with ThreadPoolExecutor(3) as pool:
    list(pool.map(one_after_the_other, (1, 2, 4)))
"""


def site_with_queue(cli: CommandLine, wait: int = 10, most: int = MOST) -> Path:
    """Write the cluster's site with node types by1, by2 and by4, whose jobs wait some seconds."""
    more = "".join(
        NODE_TYPE.format(processes=n, memory=700 * n, most=most, wait=wait) for n in (1, 2, 4)
    )
    path = cli.site.with_name("queue-site.yaml")
    path.write_text(cli.site.read_text().replace("\nscratch:\n", f"\n{more}scratch:\n", 1))
    path.chmod(0o644)
    return path
