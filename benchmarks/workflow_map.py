"""Many small independent items: `run.map` beside submitit, on this machine and on a Slurm.

Overhead only: the tasks sleep, so what is measured is all that is not the task:

    python -m benchmarks.workflow_map [--tasks 1000] [--stock 60] [--sleep 0.01] [--slurm 1000]

On this machine, two at a time:

- Ours computes on two Dask workers, which are programs of this machine, keeps each result and notes
  each item durably. A rerun takes all of them from there.
- submitit's local executor starts a program for each item, as its Slurm executor starts an array
  element; its queue is not part of this. It is installed into a temporary environment, given fewer
  items (`--stock`), and its figure is per item. It has no rerun: what is called again is computed
  again.

On the test cluster's Slurm (`--slurm` items for each, 0 leaves it out), four at a time:

- Ours is `pangeo-hpc submit --wait` of one job on two nodes, from the command to its end.
- submitit's `map_array` is one array, of which four elements run at once, until all results are
  there. Messages to slurmctld are what sdiag counts of the user; those to the accounting, with
  which submitit looks after its jobs, are not among them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import _map_slurm
from benchmarks._table import Row, table

WIDTH = 2

SITE = """\
name: here
scheduler: local
user_state: "{here}/state/{{user}}"
node_types: {{all: {{cores: 2, memory: 2 GiB, walltime: "01:00:00"}}}}
scratch: {{scratch: {{path: "{here}/scratch/{{user}}"}}}}
"""

OURS = """\
import json, sys, time
from pangeo_hpc import workflow

tasks, sleep = int(sys.argv[1]), float(sys.argv[2])

def task(number):
    time.sleep(sleep)
    return number * number

took = []
with workflow.start("map", workers={width}) as run:
    for _ in range(2):
        began = time.monotonic()
        assert sum(run.map(task, range(tasks))) == sum(n * n for n in range(tasks))
        took.append(time.monotonic() - began)
print(json.dumps(took))
"""

STOCK = """\
import json, sys, time
import submitit

tasks, sleep = int(sys.argv[1]), float(sys.argv[2])

def task(number):
    time.sleep(sleep)
    return number * number

executor = submitit.LocalExecutor(folder=sys.argv[3])
executor.update_parameters(timeout_min=10)
began = time.monotonic()
waiting, flying, total = list(range(tasks)), [], 0
while waiting or flying:
    while waiting and len(flying) < {width}:
        flying.append(executor.submit(task, waiting.pop()))
    done = [job for job in flying if job.done()]
    total += sum(job.result() for job in done)
    flying = [job for job in flying if job not in done]
    time.sleep(0.005)
assert total == sum(n * n for n in range(tasks))
print(json.dumps([time.monotonic() - began, submitit.__version__]))
"""


def measured(python: str, here: Path, text: str, *words: str, **environ: str) -> list[Any]:
    """Run a script and return what it prints last."""
    script = here / "bench.py"
    script.write_text(text.replace("{width}", str(WIDTH)))
    done = subprocess.run(
        [python, str(script), *words],
        env={**os.environ, **environ},
        cwd=here,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> int:
    """Measure both and print the table; return 1 if ours is not the cheaper one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", type=int, default=1000, help="items for ours")
    parser.add_argument("--stock", type=int, default=60, help="items for submitit")
    parser.add_argument("--sleep", type=float, default=0.01, help="seconds that an item sleeps")
    parser.add_argument("--slurm", type=int, default=1000, help="items on Slurm, for each")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        site = here / "site.yaml"
        site.write_text(SITE.format(here=here))
        tasks, sleep = str(options.tasks), str(options.sleep)
        environ = {"PANGEO_HPC_SITE": str(site)}
        first, again = measured(sys.executable, here, OURS, tasks, sleep, **environ)
        venv.create(here / "venv", with_pip=True)
        python = str(here / "venv" / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "submitit"], check=True)
        logs = str(here / "logs")
        stock, of = measured(python, here, STOCK, str(options.stock), sleep, logs)
    mine = overhead(first, options.tasks, options.sleep)
    its = overhead(stock, options.stock, options.sleep)
    words = f"overhead of {options.tasks} items (submitit: scaled)"
    rows = [
        Row("overhead per item, ms", mine, its),
        Row(words, *scaled(mine, its, options), "s"),
        Row("the same items again, ms per item", 1000 * again / options.tasks, its),
    ]
    print(f"overhead only: {options.tasks} tasks that sleep {sleep} s, {WIDTH} at a time")
    print(table(rows, f"submitit {of}", 0.0))
    print(f"pangeo-hpc {version('pangeo-hpc')}, {time.monotonic() - began:.0f} s on this machine")
    fine = mine < its
    if options.slurm:
        ours, theirs = _map_slurm.measure(options.slurm, options.sleep)
        print(f"on the test cluster's Slurm, {_map_slurm.NODES * _map_slurm.CORES} at a time")
        print(table(_map_slurm.rows(ours, theirs), f"submitit {of}", 0.0))
        fine = fine and ours.messages < theirs.messages
    print(f"all of it in {time.monotonic() - began:.0f} s")
    return 0 if fine else 1


def overhead(seconds: float, tasks: int, sleep: float) -> float:
    """Return what one item costs beside its own time, in ms of one of the places."""
    return max(0.0, 1000 * (seconds * WIDTH / tasks - sleep))


def scaled(mine: float, its: float, options: argparse.Namespace) -> tuple[float, float]:
    """Return the seconds that the overhead of all items takes."""
    return (mine * options.tasks / 1000 / WIDTH, its * options.tasks / 1000 / WIDTH)


if __name__ == "__main__":
    sys.exit(main())
