"""Our clusters and stock dask-jobqueue's in the same sessions, for benchmarks."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.daemons import wait_until
from tests.cluster.dask_rig import PYTHON, Session, jobs_of, session
from tests.cluster.sites import CommandLine
from tests.cluster.slurm import SlurmCluster

KINDS = ("ours", "stock")
COUNTED = ("sbatch", "scancel")

OURS = 'cluster = pangeo_hpc.start_cluster("bench", workers=0)\n'

STOCK = """\
from dask_jobqueue import SLURMCluster
cluster = SLURMCluster(
    queue="compute", cores=1, processes=1, memory="700 MiB", walltime="00:10:00",
    interface="{interface}", local_directory="/tmp", log_directory="stock-logs", n_workers=0,
    scheduler_options={{"dashboard": False, "dashboard_address": ":0"}},
    job_extra_directives={directives}, job_script_prologue={setup},
)
"""

# The same as in STOCK.
NODE_TYPE = """\
  bench:
    queue: compute
    cores: 1
    memory: 700 MiB
    walltime: "00:10:00"
    interface: {interface}
    dask: {{processes: 1, threads: 1}}
    directives: {directives}
    setup: {setup}
scratch:
"""

# Notes when it begins and when it has ended.
COUNTING = """\
#!/bin/sh
echo "{name} +" >> {log}
/usr/bin/{name} "$@"
code=$?
echo "{name} -" >> {log}
exit $code
"""


@dataclass(frozen=True)
class Programs:
    """How many programs of a name were started, and how many were alive at once."""

    started: int
    at_once: int


@dataclass(frozen=True)
class Rig:
    """One user of a test cluster, whose programs sbatch and scancel are counted."""

    cluster: SlurmCluster
    cli: CommandLine

    @property
    def log(self) -> Path:
        """Return the file in which the programs note that they begin and end."""
        return self.cli.here / "programs"

    @contextmanager
    def session(
        self,
        kind: str,
        text: str,
        *,
        directives: tuple[str, ...] = (),
        setup: tuple[str, ...] = (),
    ) -> Iterator[Session]:
        """Run a session with an empty cluster of one kind, whose jobs are of one core.

        No job of the user's is left afterwards.
        """
        lines = {"directives": json.dumps(directives), "setup": json.dumps(setup)}
        more = NODE_TYPE.format(interface=self.cluster.interface, **lines)
        site = self.cli.site.with_name("bench-site.yaml")
        site.write_text(self.cli.site.read_text().replace("scratch:\n", more, 1))
        site.chmod(0o644)
        begin = STOCK.format(interface=self.cluster.interface, **lines)
        path = f"{self.counted()}:{self.cli.user.environment()['PATH']}"
        whole = (OURS if kind == "ours" else begin) + text
        try:
            with session(self.cli, site, whole, {"PATH": path}) as python:
                yield python
        finally:
            self.clear()

    def counted(self) -> Path:
        """Begin to count, and return the folder with the programs that do."""
        folder = self.cli.here / "counted"
        folder.mkdir(exist_ok=True)
        self.cli.script(self.log.name, "")
        for name in COUNTED:
            text = COUNTING.format(name=name, log=self.log)
            self.cli.script(f"{folder.name}/{name}", text).chmod(0o755)
        return folder

    def clear(self) -> None:
        """End the user's jobs, and wait until they are gone."""
        self.cli.user.run(["scancel", "--me"], check=False)
        assert wait_until(lambda: not jobs_of(self.cli.user), 120, every=0.5)

    def rpcs(self, *names: str) -> int:
        """Return how often the controller was sent some messages until now."""
        counts = self.cluster.sdiag_counts()
        return sum(counts.get(name, 0) for name in names)

    def rpcs_of_user(self) -> int:
        """Return how many messages of all kinds the user's programs sent to the controller."""
        text = self.cluster.admin(["sdiag"]).partition("by user")[2]
        found = re.search(rf"\b{self.cli.user.name}\s+\(\s*\d+\) count:(\d+)", text)
        return int(found[1]) if found else 0

    def programs(self, name: str) -> Programs:
        """Return what the session has started so far."""
        steps = [line.split()[1] for line in self.log.read_text().splitlines() if name in line]
        alive = at_once = 0
        for step in steps:
            alive += 1 if step == "+" else -1
            at_once = max(at_once, alive)
        return Programs(steps.count("+"), at_once)


BATCH = """\
#!/bin/bash
#SBATCH --time=10 --mem=2G --nodes=2 --ntasks-per-node={tasks} --cpus-per-task={cores}
export PANGEO_HPC_SITE={site}
{launch} {python} {script}
"""

IN_JOB = {
    "ours": "import pangeo_hpc\nclient = pangeo_hpc.start_cluster().get_client()\n",
    "stock": """\
from dask.distributed import Client
from dask_jobqueue.slurm import SLURMRunner
options = {{"interface": "{interface}", "dashboard": False}}
runner = SLURMRunner(scheduler_options=options, worker_options={{"interface": "{interface}"}})
client = Client(runner)
""",
}

# What an out-of-memory killer does to the script, in the middle of its work.
KILLED = """
import os, time
client.wait_for_workers(2, timeout=120)
tasks = client.map(time.sleep, [600, 600], pure=False)
time.sleep(1)
with open("killed-at", "w") as file:
    file.write(str(time.time()))
os.kill(os.getpid(), 9)
"""


def seconds_held(rig: Rig, kind: str, limit: float, launch: str | None = None) -> float | None:
    """Return how long two nodes are held after kill -9 of the client; None if for the limit.

    SLURMRunner is started by plain srun, unless `launch` says otherwise.
    """
    cli, user = rig.cli, rig.cli.user
    text = IN_JOB[kind] if kind == "ours" else IN_JOB[kind].format(interface=rig.cluster.interface)
    script = cli.script("killed.py", text + KILLED)
    launch = launch if launch is not None else "" if kind == "ours" else "srun"
    tasks, cores = (1, 4) if kind == "ours" else (2, 2)
    words = {"tasks": tasks, "cores": cores, "site": cli.site}
    batch = cli.script(
        "killed.sh", BATCH.format(launch=launch, python=PYTHON, script=script, **words)
    )
    note = cli.here / "killed-at"
    note.unlink(missing_ok=True)
    user.run(["sbatch", f"--output={cli.here}/killed.out", str(batch)], cwd=cli.here)
    try:
        if not wait_until(lambda: note.exists() and note.read_text(), 180, every=0.5):
            said = (cli.here / "killed.out").read_text()
            raise AssertionError(f"its workers did not come:\n{said}")
        at = float(note.read_text())
        is_free = wait_until(lambda: not jobs_of(user), at + limit - time.time(), every=0.5)
        return time.time() - at if is_free else None
    finally:
        rig.clear()
