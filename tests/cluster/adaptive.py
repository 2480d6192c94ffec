"""A workload for adaptive scaling whose jobs wait in the queue; tests and benchmarks share it."""

import json
import math
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

    @property
    def needed(self) -> int:
        """Return how many jobs have a task for each worker, at most."""
        return min(MOST, math.ceil(self.tasks / self.processes))

    @property
    def fine(self) -> bool:
        """Tell whether all tasks ended, once each, with few jobs and no cancel."""
        once = self.done == self.starts == self.tasks
        return once and self.cancelled == 0 and self.jobs <= 1.2 * self.needed


# One thread for each size of jobs, and in each one workload after the other. Arguments: "ours" or
# "stock", the network interface, and as JSON the seconds of a task, the seconds that a workload may
# take, the seconds in the queue, and the numbers of tasks.
SESSION = """\
import json, os, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
import pangeo_hpc
from distributed import Client

kind, interface, told = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
if kind == "stock":
    from dask_jobqueue import SLURMCluster

def work(number, path, seconds):
    with open(path, "a") as file:
        file.write(f"{number}\\n")
    time.sleep(seconds)
    return number

def start(processes, name):
    if kind == "ours":
        return pangeo_hpc.start_cluster(f"by{processes}", workers=0, name=name)
    return SLURMCluster(
        queue="compute", cores=processes, processes=processes, memory=f"{700 * processes} MiB",
        walltime="00:05:00", job_extra_directives=[f"--begin=now+{told['queue']}"],
        interface=interface, job_name=f"{name}-x", log_directory="logs", local_directory="/tmp",
        scheduler_options={"dashboard": False, "dashboard_address": ":0"}, n_workers=0)

def accounted(name):
    words = ["sacct", "-X", "-n", "-P", "--format=JobName,State"]
    rows = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
    return [row.split("|")[1] for row in rows if row.startswith(f"{name}-")]

def workload(processes, tasks):
    # no name twice: jobs are counted by it, and a second try must not count those of the first
    name = f"{kind}{processes}x{tasks}p{os.getpid()}"
    with start(processes, name) as cluster:
        cluster.adapt(minimum=0, maximum_jobs=4)
        starts = Path.cwd() / f"{name}.starts"
        starts.write_text("")
        begun = time.monotonic()
        with Client(cluster, set_as_default=False) as client:
            futures = client.map(
                work, range(tasks), path=str(starts), seconds=told["task"], pure=False)
            while time.monotonic() - begun < told["limit"]:
                if all(future.done() for future in futures):
                    break
                time.sleep(0.1)
            took = time.monotonic() - begun
            states = accounted(name)
            finished = [future for future in futures if future.status == "finished"]
            count = dict(done=len(finished), starts=len(starts.read_text().split()))
            if len(finished) == tasks:
                assert client.gather(futures) == list(range(tasks))
        gone = [state for state in states if state.startswith("CANCELLED")]
        outcome = dict(processes=processes, tasks=tasks, jobs=len(states),
            cancelled=len(gone), seconds=took, **count)
        print(json.dumps(outcome), flush=True)

def one_after_the_other(processes):
    for tasks in told["tasks"]:
        workload(processes, tasks)

with ThreadPoolExecutor(3) as pool:
    list(pool.map(one_after_the_other, (1, 2, 4)))
"""


def measure(
    cli: CommandLine,
    interface: str,
    kind: str,
    *,
    queue: int = 10,
    task: float = 3.0,
    limit: float = 150.0,
    tasks: tuple[int, ...] = TASKS,
) -> list[Outcome]:
    """Run all workloads and return their outcomes; `kind` is ours or stock."""
    site = site_with_queue(cli, wait=queue)
    script = cli.script("adapts.py", SESSION)
    told = json.dumps({"queue": queue, "task": task, "limit": limit, "tasks": tasks})
    done = cli.user.run(
        [PYTHON, str(script), kind, interface, told],
        env={"PANGEO_HPC_SITE": str(site)},
        cwd=cli.here,
        timeout=len(tasks) * (limit + 60),
    )
    outcomes = [Outcome(**json.loads(line)) for line in done.stdout.splitlines()]
    assert len(outcomes) == 3 * len(tasks), done.stdout + done.stderr
    return sorted(outcomes, key=lambda outcome: (outcome.processes, outcome.tasks))


def site_with_queue(cli: CommandLine, wait: int = 10, most: int = MOST) -> Path:
    """Write the cluster's site with node types by1, by2 and by4, whose jobs wait some seconds."""
    more = "".join(
        NODE_TYPE.format(processes=n, memory=700 * n, most=most, wait=wait) for n in (1, 2, 4)
    )
    path = cli.site.with_name("queue-site.yaml")
    text = cli.site.read_text().replace("\nscratch:\n", f"\n{more}scratch:\n", 1)
    # other tests look at what is left in the usual folder: jobs cancelled at their start leave some
    path.write_text(text.replace("/state\n", "/adaptive\n", 1))
    path.chmod(0o644)
    return path
