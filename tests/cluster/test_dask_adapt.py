"""Adaptive scaling on the real Slurm, where each job waits for its start; and what it costs."""

import json

import pytest

from tests.cluster.adaptive import PYTHON, measure
from tests.cluster.face import Cluster
from tests.cluster.sites import CommandLine
from tests.cluster.test_dask import fill, no_job_left, queue, sbatch, told  # noqa: F401
from tests.cluster.users import ClusterUser


@pytest.mark.usefixtures("no_job_left")  # jobs that have just begun may be cancelled at the end
def test_whole_jobs_against_a_queue(cluster: Cluster, cli: CommandLine, alice: ClusterUser) -> None:
    """All tasks end, each begun once, with no more jobs than they need and no cancel before.

    Jobs of 1, 2 and 4 workers; 4, 8 and 40 tasks of some seconds; at most four jobs at once.
    """
    outcomes = measure(cli, cluster.interface, "ours")
    assert [outcome for outcome in outcomes if not outcome.fine] == []
    assert queue(alice) == {}


COSTS = """\
import json, time
import pangeo_hpc

def kill():
    import psutil
    worker = psutil.Process()
    # the worker's shell and its nanny first: a job that is told to end hands its results on
    for process in (worker.parent().parent(), worker.parent(), worker):
        process.kill()

with pangeo_hpc.start_cluster("compute", workers=2, name="costs") as cluster:
    cluster.wait_for_workers(2, timeout=120)
    with cluster.get_client() as client:
        futures = client.map(lambda n: time.sleep(1) or n, range(8), pure=False)
        client.gather(futures)
        print(json.dumps(cluster.report().json()), flush=True)
        first = next(iter(client.scheduler_info()["workers"]))
        client.run(kill, workers=[first], on_error="ignore")
        while not any(job.state.ended for job in cluster.jobs):
            time.sleep(0.5)
        assert client.gather(futures) == list(range(8))
print(json.dumps(cluster.report().json()), flush=True)
"""


@pytest.mark.usefixtures("no_job_left")
def test_what_jobs_have_cost(cli: CommandLine, alice: ClusterUser) -> None:
    """The core-hours are those that Slurm charges; what a killed job had made is lost."""
    script = cli.script("costs.py", COSTS)
    environment = {"PANGEO_HPC_SITE": str(cli.site)}
    done = alice.run([PYTHON, str(script)], env=environment, cwd=cli.here, timeout=300)
    before, after = map(json.loads, done.stdout.splitlines())
    assert before["total"]["core_hours"]["busy"] * 3600 >= 8
    assert before["total"]["core_hours"]["lost"] == 0
    for row in after["jobs"]:
        (charged,) = told(alice, row["job"], "CPUTimeRAW")
        assert round(row["core_hours"]["requested"] * 3600) == int(charged), (row, done.stderr)
    total = after["total"]["core_hours"]
    assert total["lost"] * 3600 >= 1
    assert total["busy"] + total["idle"] + total["lost"] == pytest.approx(total["requested"])
    assert after["jobs"][0]["queue_wait_seconds"] is not None
    last = done.stderr.splitlines()[-1]
    assert f"pangeo-hpc: {len(after['jobs'])} jobs had " in last
    assert "in the queue" in last


def test_what_an_allocation_has_cost(cli: CommandLine) -> None:
    """A step over the nodes of a job is one unit with the cores of all of them."""
    end = (
        "print(json.dumps(cluster.report().json()), flush=True)\n"
        "try:\n    cluster.adapt(maximum=8)\n"
        "except pangeo_hpc.errors.UsageError as error:\n    print(error, flush=True)\n"
        "cluster.close()"
    )
    code, job, _ = sbatch(cli, fill(cli, "costs", end=end), "--nodes=2")
    said = (cli.here / "hand.out").read_text()
    assert code == 0, said
    (line,) = (line for line in said.splitlines() if line.startswith("{"))
    (row,) = json.loads(line)["jobs"]
    assert row["worker"] == f"job {job}"
    assert row["core_hours"]["requested"] > row["core_hours"]["busy"] > 0
    assert f"the workers of job {job} fill its nodes and do not adapt" in said
