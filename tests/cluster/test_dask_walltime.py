"""Workers leave before their job's walltime, or on SIGTERM, and what they hold goes on."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.daemons import wait_until
from tests.cluster.dask_rig import UNTIL_KNOWN, all_gone
from tests.cluster.face import Cluster
from tests.cluster.machine import VENV
from tests.cluster.sites import CommandLine
from tests.cluster.slurm import SlurmCluster
from tests.cluster.test_dask import queue, told
from tests.cluster.users import ClusterUser

PYTHON = f"{VENV}/bin/python"

# Each task notes its start in a file and gives an array of 2.5 MB, or what it makes of one.
HEAD = (
    """\
import json, os, subprocess, sys, time
import distributed
import pangeo_hpc

def note(what):
    with open("starts", "a") as file:
        file.write(what + "\\n")

def make(number, seconds=0.5):
    import numpy
    note(f"make {number}")
    time.sleep(seconds)
    return numpy.full(2_500_000 // 8, number, dtype="int64")

def use(array, number):
    note(f"use {number}")
    time.sleep(0.2)
    return int(array.sum()) // array.size

def tell(*what):
    print(json.dumps(what), flush=True)

def finish(client, made):
    used = [client.submit(use, array, number) for number, array in enumerate(made)]
    tell("used", client.gather(used) == list(range(len(made))))

"""
    + UNTIL_KNOWN
)

# A hundred megabytes live on while their workers' jobs end, three times.
GENERATIONS = """
with pangeo_hpc.start_cluster("short", workers=2, walltime="00:01:00", name="lives") as cluster:
    with cluster.get_client() as client:
        made = [client.submit(make, number, 0.5) for number in range(40)]
        distributed.wait(made)
        extra = []
        while (
            sum(job.state.ended for job in cluster.jobs) < 6
            or len(client.scheduler_info()["workers"]) < 2
        ):
            # something is always running when a worker has to go
            extra.append(client.submit(make, 1000 + len(extra), 2))
            distributed.wait(extra[-1])
            extra[-1:] = [client.submit(use, extra[-1], 1000 + len(extra) - 1)]
        finish(client, made)
    tell("ended", [job.id for job in cluster.jobs if job.state.ended])
"""

# The same with two processes in each job, once. Four must be there before the first has to go.
PAIRS = """
with pangeo_hpc.start_cluster("pairs", workers=4, name="pairs") as cluster:
    with cluster.get_client() as client:
        cluster.wait_for_workers(4, timeout=200)
        first = [job.id for job in cluster.jobs]
        made = [client.submit(make, number, 0.1) for number in range(40)]
        distributed.wait(made)
        tell("holders", sorted({each for names in client.who_has(made).values() for each in names}))
        extra = []
        while not all(job.state.ended for job in cluster.jobs if job.id in first):
            extra.append(client.submit(make, 1000 + len(extra), 2))
            distributed.wait(extra[-1])
            extra[-1:] = [client.submit(use, extra[-1], 1000 + len(extra) - 1)]
        finish(client, made)
        distributed.wait(extra)
    tell("first", first)
"""

PAIR = """\
  pairs:
    description: Two worker processes for two minutes
    queue: short
    cores: 2
    memory: 2 GiB
    walltime: "00:02:00"
    interface: {interface}
    dask: {{processes: 2, threads: 1}}
scratch:
"""

# The next job comes only when the last one has ended.
ALONE = """
begin = {"begin": "now+25"}
with pangeo_hpc.start_cluster(
    "compute", workers=1, walltime="00:01:00", name="alone", options=begin
) as cluster:
    with cluster.get_client() as client:
        made = [client.submit(make, number, 0.1) for number in range(40)]
        distributed.wait(made)
        first = client.run(os.getpid)
        distributed.wait([client.submit(make, 1000)])
        while len(cluster.jobs) < 2 or client.run(os.getpid, on_error="ignore") in (
            {}, first
        ):
            time.sleep(1)
        finish(client, made)
    tell("jobs", [[job.id, str(job.state), job.exit_code] for job in cluster.jobs])
"""

# One of two jobs is told to end.
TERMINATED = """
with pangeo_hpc.start_cluster("compute", workers=2, name="told") as cluster:
    cluster.wait_for_workers(2, timeout=120)
    with cluster.get_client() as client:
        made = [client.submit(make, number, 0.1) for number in range(40)]
        distributed.wait(made)
        running = client.map(make, range(1000, 1004), seconds=1.5)
        time.sleep(0.5)
        tell("jobs", [job.id for job in cluster.jobs])
        sys.stdin.readline()
        distributed.wait(running)
        finish(client, made)
"""

# One of two jobs, each on a node of its own, is pushed out, and another takes its place.
PUSHED_OUT = """
with pangeo_hpc.start_cluster("compute", workers=4, cores=5, name="pushed") as cluster:
    cluster.wait_for_workers(4, timeout=200)
    with cluster.get_client() as client:
        made = [client.submit(make, number, 0.1) for number in range(40)]
        distributed.wait(made)
        until_known(cluster)
        tell("jobs", [[job.id, job.node] for job in cluster.jobs])
        sys.stdin.readline()
        while [str(job.state) for job in cluster.jobs].count("running") < 2:
            time.sleep(1)
        cluster.wait_for_workers(4, timeout=200)
        finish(client, made)
        until_known(cluster)
        tell("jobs", [[job.id, str(job.state), job.node] for job in cluster.jobs])
"""

TOO_LONG = """
def endless(x):
    note("endless")
    time.sleep(3600)

with pangeo_hpc.start_cluster("short", workers=1, walltime="00:01:00", name="long") as cluster:
    with cluster.get_client() as client:
        task = client.submit(endless, 1, key="endless-task")
        short = client.submit(make, 1)
        error = task.exception()
        tell("error", type(error).__name__, str(error))
        tell("short", int(short.result()[0]))
"""


@pytest.fixture
def no_job_left(alice: ClusterUser) -> Iterator[None]:
    """Fail a test that leaves jobs."""
    (alice.shared / "starts").unlink(missing_ok=True)
    yield
    all_gone(alice, 20)


def run(cli: CommandLine, text: str, seconds: float, site: Path | None = None) -> dict[str, Any]:
    """Run a session and return what it tells, by the first word."""
    script = cli.script("walltime.py", HEAD + text)
    environment = {"PANGEO_HPC_SITE": str(site or cli.site)}
    done = cli.user.run(
        [PYTHON, str(script)], check=False, env=environment, cwd=cli.here, timeout=seconds
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row[0]: row[1:] if len(row) > 2 else row[1] for row in rows}


def starts(folder: Path) -> Counter[str]:
    """Return how often each task was started."""
    return Counter((folder / "starts").read_text().splitlines())


@pytest.mark.usefixtures("no_job_left")
@pytest.mark.timeout(900)
def test_three_generations(cli: CommandLine, alice: ClusterUser) -> None:
    """Nothing is computed twice while workers with a minute of walltime follow one another."""
    found = run(cli, GENERATIONS, 600)
    assert found["used"]
    often = {task: n for task, n in starts(cli.here).items() if n > 1}
    assert often == {}
    assert len(found["ended"]) >= 6
    for job in found["ended"]:
        state, code, seconds = told(alice, job, "State", "ExitCode", "ElapsedRaw")
        assert (state, code) == ("COMPLETED", "0:0")
        assert int(seconds) < 60


@pytest.mark.usefixtures("no_job_left")
def test_processes_of_a_job_leave_together(
    cluster: Cluster, cli: CommandLine, alice: ClusterUser
) -> None:
    """Jobs of two workers end before their walltime, and nothing of either is computed twice."""
    site = cluster.directory / "dask-pairs.yaml"
    types = PAIR.format(interface=cluster.interface)
    site.write_text(cli.site.read_text().replace("scratch:\n", types, 1))
    site.chmod(0o644)
    found = run(cli, PAIRS, 400, site)
    assert found["used"]
    assert len(found["holders"]) == 4
    assert {task: n for task, n in starts(cli.here).items() if n > 1} == {}
    assert len(found["first"]) == 2
    for job in found["first"]:
        state, code, seconds = told(alice, job, "State", "ExitCode", "ElapsedRaw")
        assert (state, code) == ("COMPLETED", "0:0")
        assert int(seconds) < 120


@pytest.mark.usefixtures("no_job_left")
def test_a_successor_that_comes_late(cli: CommandLine, alice: ClusterUser) -> None:
    """Results outlive the only worker in the cluster object's process."""
    found = run(cli, ALONE, 500)
    assert found["used"]
    assert {task: n for task, n in starts(cli.here).items() if n > 1} == {}
    assert told(alice, found["jobs"][0][0], "State", "ExitCode") == ["COMPLETED", "0:0"]


@pytest.mark.usefixtures("no_job_left")
@pytest.mark.parametrize(
    "words",
    [
        ["scancel"],
        ["scancel", "--signal=TERM", "--full"],
        ["scancel", "--signal=TERM", "--batch"],
        ["scancel", "--signal=USR1", "--batch"],
    ],
    ids=["cancelled", "all told", "shell told", "warned"],
)
def test_told_to_end(cli: CommandLine, alice: ClusterUser, words: list[str]) -> None:
    """What a job's workers hold when it is told to end is not computed again."""
    script = cli.script("walltime.py", HEAD + TERMINATED)
    environment = {"PANGEO_HPC_SITE": str(cli.site)}
    child = alice.popen([PYTHON, str(script)], env=environment, cwd=cli.here, stdin=-1)
    assert child.stdin and child.stdout and child.stderr
    with child:
        line = child.stdout.readline()
        job = (json.loads(line) if line else child.stderr.read())[1][0]
        alice.run([*words, job])
        assert wait_until(lambda: job not in queue(alice), 60), queue(alice)
        child.stdin.write("go on\n")
        child.stdin.flush()
        assert json.loads(child.stdout.readline()) == ["used", True]
        child.stdin.close()
        child.stderr.read()
    assert child.returncode == 0
    assert {task: n for task, n in starts(cli.here).items() if n > 1} == {}


@pytest.mark.usefixtures("no_job_left")
def test_a_task_that_never_fits(cli: CommandLine) -> None:
    """A task longer than a worker's life is named after its second try; others go on."""
    found = run(cli, TOO_LONG, 500)
    kind, text = found["error"]
    assert kind == "TaskTooLong"
    assert "endless-task" in text
    assert "walltime" in text
    assert starts(cli.here)["endless"] == 2
    assert found["short"] == 1


PREEMPTION = ("PreemptType=preempt/partition_prio", "PreemptMode=CANCEL")


@pytest.mark.usefixtures("no_job_left")
def test_pushed_out_by_a_better_job(
    cluster: SlurmCluster, cli: CommandLine, alice: ClusterUser, bob: ClusterUser
) -> None:
    """A preempted job is replaced elsewhere, and what its workers held is not computed again."""
    script = cli.script("walltime.py", HEAD + PUSHED_OUT)
    environment = {"PANGEO_HPC_SITE": str(cli.site)}
    with cluster.configured(*PREEMPTION):
        cluster.admin(["scontrol", "update", "partitionname=short", "prioritytier=9"])
        child = alice.popen([PYTHON, str(script)], env=environment, cwd=cli.here, stdin=-1)
        assert child.stdin and child.stdout and child.stderr
        try:
            (job, node), (other, _) = json.loads(child.stdout.readline())[1]
            where = ["--partition=short", f"--nodelist={node}", "--cpus-per-task=8", "--mem=100M"]
            what = ["--time=2", "--output=/dev/null", "--wrap=sleep 600"]
            bob.run(["sbatch", *where, *what])
            assert wait_until(lambda: job not in queue(alice), 90), queue(alice)
            said, complaints = child.communicate("go on\n", timeout=240)
        finally:
            child.kill()
            child.communicate()
            bob.run(["scancel", "--me"])
    assert child.returncode == 0, complaints
    used, (_, rows) = (json.loads(line) for line in said.splitlines())
    assert used == ["used", True]
    jobs = {number: (state, place) for number, state, place in rows}
    assert told(alice, job, "State") == ["PREEMPTED"]
    assert jobs.pop(job) == ("preempted", node)
    assert jobs.pop(other)[0] == "running"
    ((state, place),) = jobs.values()
    assert state == "running" and place != node
    assert {task: n for task, n in starts(cli.here).items() if n > 1} == {}
