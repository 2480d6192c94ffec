"""Worker jobs on the real Slurm: many with one submission, and the truth about each."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.daemons import wait_until
from tests.cluster.dask_rig import all_gone, jobs_of, session
from tests.cluster.face import Cluster
from tests.cluster.polling import JOB_QUERIES
from tests.cluster.sites import CommandLine
from tests.cluster.slurm import SlurmCluster
from tests.cluster.users import ClusterUser

NODE_TYPES = """\
  crowd:
    description: Jobs that do not start while a test runs
    queue: compute
    cores: 1
    memory: 512 MiB
    walltime: "00:10:00"
    directives: ["--begin=now+3600"]
  greedy:
    description: More memory than it asked for
    queue: compute
    cores: 1
    memory: 512 MiB
    walltime: "00:10:00"
    setup: ["python3 -c 'print(len(str(7) * (2 << 30)))' || exit 137"]
  hasty:
    description: Ends at once
    queue: compute
    cores: 1
    memory: 512 MiB
    walltime: "00:10:00"
    setup: ["echo the licence server is away; exit 7"]
  few:
    description: Two jobs of a user at most
    queue: compute
    qos: tiny
    cores: 1
    memory: 512 MiB
    walltime: "00:01:00"
    directives: ["--begin=now+3600"]
  whole:
    description: A whole node
    queue: compute
    cores: 8
    memory: 7000 MiB
    walltime: "00:10:00"
    exclusive: true
    interface: lo
    directives: ["--nodelist=c2"]
scratch:
"""


@pytest.fixture(scope="module")
def site(cluster: Cluster, cli: CommandLine) -> Path:
    """Return the cluster's site with node types that fail in ways of their own."""
    path = cluster.directory / "dask-jobs.yaml"
    path.write_text(cli.site.read_text().replace("scratch:\n", NODE_TYPES, 1))
    path.chmod(0o644)
    return path


@pytest.fixture(autouse=True)
def nothing_left(alice: ClusterUser) -> Iterator[None]:
    """Fail a test that leaves jobs; what killed ones spilled is taken away here."""
    yield
    for log in (alice.shared / "state" / "clusters").rglob("*.log"):
        for spill in re.findall(r"Local Directory: (/tmp/dask-[^/\s]+)", log.read_text()):
            shutil.rmtree(spill, ignore_errors=True)
    all_gone(alice, 60)


def rpcs(cluster: Cluster, *names: str) -> int:
    """Return how often the controller was sent some messages."""
    counts = cluster.sdiag_counts()
    return sum(counts.get(name, 0) for name in names)


SUBMIT = ("REQUEST_SUBMIT_BATCH_JOB", "REQUEST_SUBMIT_BATCH_JOB_HET")
CANCEL = ("REQUEST_KILL_JOB", "REQUEST_CANCEL_JOB_STEP")

CROWD = """\
cluster = pangeo_hpc.start_cluster("crowd", workers=0)
tell(None)
pause()
cluster.scale(200)
tell([[job.id, job.state, job.worker] for job in cluster.jobs])
pause()
cluster.scale(150)
cluster.scale(149)
tell(None)
pause()
cluster.close()
tell(sorted({job.state for job in cluster.jobs}))
"""


def test_200_jobs_with_one_submission(cluster: Cluster, cli: CommandLine, site: Path) -> None:
    """200 jobs are one submission, 50 of them and the other 149 end with one request each."""
    with session(cli, site, CROWD) as python:
        python.told()
        before = rpcs(cluster, *SUBMIT)
        python.go()
        rows = python.told()
        assert rpcs(cluster, *SUBMIT) - before == 1
        queue = jobs_of(cli.user)
        assert len(rows) == len({worker for _, _, worker in rows}) == 200
        assert {job for job, _, _ in rows} == set(queue)
        assert {state for _, state, _ in rows} == {"pending"}
        before = rpcs(cluster, *CANCEL)
        python.go()
        python.told()
        assert rpcs(cluster, *CANCEL) - before == 2
        assert len(jobs_of(cli.user)) == 149
        before = rpcs(cluster, *CANCEL)
        python.go()
        assert python.told() == ["cancelled"]
        assert rpcs(cluster, *CANCEL) - before == 1
        python.end()


FEW = """\
with pangeo_hpc.start_cluster("few", workers=0) as cluster:
    tell(error_of(cluster.scale, 5))
    tell([job.id for job in cluster.jobs])
    pause()
"""


def test_more_than_a_user_may_submit(cluster: Cluster, cli: CommandLine, site: Path) -> None:
    """What the QOS allows is taken, for the rest `scale` raises Slurm's words."""
    before = rpcs(cluster, *SUBMIT)
    with session(cli, site, FEW) as python:
        kind, text = python.told()
        assert kind == "SubmitRefused"
        assert "MaxSubmit" in text
        ids = python.told()
        assert len(ids) == 2
        assert set(ids) == set(jobs_of(cli.user))
        assert rpcs(cluster, *SUBMIT) - before <= 3
        python.go()
        python.end()


REPLACED = """\
with pangeo_hpc.start_cluster("compute", workers=2) as cluster:
    cluster.wait_for_workers(2, timeout=200)
    client = cluster.get_client()
    future = client.submit(lambda: os.uname().nodename)
    until_known(cluster)
    tell([job.id for job in cluster.jobs])
    tell({job.id: job.node for job in cluster.jobs})
    pause()
    while len(cluster.jobs) < 3 or sum(job.state == "running" for job in cluster.jobs) < 2:
        time.sleep(0.2)
    cluster.wait_for_workers(2, timeout=200)
    tell(client.submit(sum, [1, 2]).result(timeout=60))
    tell([[job.id, job.state] for job in cluster.jobs])
    print(cluster.jobs)
    assert "<td>running</td>" in cluster.jobs._repr_html_()
"""


def test_a_job_that_somebody_cancelled(cli: CommandLine, site: Path, cluster: Cluster) -> None:
    """`scancel` by somebody: the job is told as cancelled, and another takes its place."""
    with session(cli, site, REPLACED) as python:
        ids = python.told()
        python.told()
        before = rpcs(cluster, *SUBMIT)
        cluster.admin(["scancel", ids[1]])
        python.go()
        assert python.told() == 3
        rows = python.told()
        assert rows[:2] == [[ids[0], "running"], [ids[1], "cancelled"]]
        assert rows[2][1] == "running"
        assert len(rows) == 3
        assert rpcs(cluster, *SUBMIT) - before == 1
        said = python.end()
    assert "worker jobs ended (cancelled); others take their place" in said


def test_a_node_that_fails(cli: CommandLine, site: Path, cluster: Cluster) -> None:
    """A failed node is the reason, and another job takes the place of its job."""
    with session(cli, site, REPLACED) as python:
        ids = python.told()
        nodes = python.told()
        # the two may share a node: then both are replaced
        node = nodes[ids[1]]
        cluster.mark_down(node)
        try:
            python.go()
            assert python.told() == 3
            rows = dict(python.told())
        finally:
            # the node comes back by itself, its slurmd is well
            assert wait_until(lambda: "down" not in cluster.node_states()[node], 120)
        assert rows[ids[1]] == "node fail"
        assert list(rows.values()).count("running") == 2
        python.end()


FAILS = """\
{before}
cluster = pangeo_hpc.start_cluster("{node_type}", workers=1)
client = cluster.get_client()
early = client.submit(lambda: 1)
tell(error_of(cluster.wait_for_workers, 1, timeout=200))
late = client.submit(lambda: 2)
tell([error_of(early.result, timeout=60), error_of(client.gather, [late]),
      error_of(cluster.scale, 1)])
tell([[job.id, job.state, job.exit_code] for job in cluster.jobs])
cluster.close()
"""


@pytest.mark.parametrize(
    ("node_type", "before", "states", "words"),
    [
        ("greedy", "", ["out of memory"], ["out of memory", "ask for more memory"]),
        (
            "compute",
            "sys.executable = '/nowhere/bin/python'",
            ["failed"],
            ["exit code 127", "No such file", "the workers' Python"],
        ),
        (
            "hasty",
            "",
            ["failed"] * 3,
            ["3 worker jobs ended in the same way", "exit code 7", "the licence server is away"],
        ),
    ],
    ids=["out of memory", "bad python", "exits at once"],
)
def test_what_is_not_tried_for_ever(
    cli: CommandLine,
    site: Path,
    cluster: Cluster,
    node_type: str,
    before: str,
    states: list[str],
    words: list[str],
) -> None:
    """Waiting, futures of before and after, and `scale` end with state, output and advice."""
    count = rpcs(cluster, *SUBMIT)
    with session(cli, site, FAILS.format(node_type=node_type, before=before)) as python:
        kind, text = python.told()
        assert kind == "WorkerJobFailed"
        for word in words:
            assert word in text, text
        assert python.told() == [[kind, text]] * 3
        assert [state for _, state, _ in python.told()] == states
        python.end()
    assert rpcs(cluster, *SUBMIT) - count == len(states)


SILENT = """\
with pangeo_hpc.start_cluster("compute", workers=1) as cluster:
    cluster.wait_for_workers(1, timeout=200)
    client = cluster.get_client()
    tell([[job.id, job.state] for job in cluster.jobs])
    pause()
    ledger = cluster.desk.ledger
    asked = ledger.changes
    while ledger.changes < asked + 2:
        cluster.jobs
        time.sleep(0.2)
    tell([[job.id, job.state] for job in cluster.jobs])
    tell(client.submit(sum, [1, 2]).result(timeout=60))
    pause()
    tell([[job.id, job.state] for job in cluster.jobs])
"""


@pytest.mark.own_daemons
def test_a_controller_that_is_away(cli: CommandLine, site: Path, cluster: SlurmCluster) -> None:
    """No news is no end: while Slurm does not answer, jobs stay what they were and work."""
    with session(cli, site, SILENT) as python:
        rows = python.told()
        assert [state for _, state in rows] == ["running"]
        cluster.stop_controller()
        try:
            python.go()
            assert python.told() == rows
            assert python.told() == 3
        finally:
            cluster.start_controller()
        python.go()
        assert python.told() == rows
        python.end()


SHARED = """\
clusters = [pangeo_hpc.start_cluster("compute", workers=1) for _ in range(3)]
for cluster in clusters:
    cluster.wait_for_workers(1, timeout=200)
tell(None)
pause()
asked = [cluster.desk.ledger.changes for cluster in clusters]
while any(c.desk.ledger.changes < n + 2 for c, n in zip(clusters, asked)):
    time.sleep(0.1)
tell(max(c.desk.ledger.changes - n for c, n in zip(clusters, asked)))
pause()
for cluster in clusters:
    cluster.close()
"""


def test_one_question_for_all_clusters(cli: CommandLine, site: Path, cluster: Cluster) -> None:
    """Three clusters of a process are followed with as many questions as one."""
    with session(cli, site, SHARED) as python:
        python.told()
        before = rpcs(cluster, *JOB_QUERIES)
        python.go()
        answers = python.told()
        assert rpcs(cluster, *JOB_QUERIES) - before <= answers + 1
        python.go()
        python.end()


WHOLE = """\
with pangeo_hpc.start_cluster("whole", workers=2) as cluster:
    cluster.wait_for_workers(2, timeout=200)
    workers = cluster.scheduler_info["workers"].values()
    until_known(cluster)
    tell([job.node for job in cluster.jobs])
    tell([each["nthreads"] for each in workers])
"""
ONE, TWO = "SocketsPerBoard=1 CoresPerSocket=8", "SocketsPerBoard=2 CoresPerSocket=4"


def test_a_job_is_cut_by_the_sockets_of_its_node(
    cluster: SlurmCluster, cli: CommandLine, site: Path
) -> None:
    """On a node of two sockets a job has a process for each; the controller is asked once."""
    line = next(
        line
        for line in (cluster.directory / "slurm.conf").read_text().splitlines()
        if line.startswith("NodeName=c2 ")
    )
    with cluster.configured(instead={line: line.replace(ONE, TWO)}):
        before = rpcs(cluster, "REQUEST_NODE_INFO")
        with session(cli, site, WHOLE) as python:
            assert python.told() == ["c2"]
            assert python.told() == [4, 4]
            said = python.end()
        assert "2 processes of 4 threads each" in said
        assert rpcs(cluster, "REQUEST_NODE_INFO") - before == 1
