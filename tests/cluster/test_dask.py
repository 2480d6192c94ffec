"""Dask on the real Slurm: workers as jobs, workers in an allocation, and what is left of them."""

import json
import re
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.daemons import until
from tests.cluster.dask_rig import all_gone
from tests.cluster.face import Cluster
from tests.cluster.machine import VENV
from tests.cluster.sites import CommandLine
from tests.cluster.users import ClusterUser

PYTHON = f"{VENV}/bin/python"

# A plain session: no `__main__` guard, no configuration.
JOBS = """\
import json, os, sys
import pangeo_hpc

with pangeo_hpc.start_cluster("compute", workers=2, name="plain") as cluster:
    cluster.wait_for_workers(2, timeout=120)
    print(json.dumps([job.id for job in cluster.jobs]), flush=True)
    with cluster.get_client() as client:
        total = client.submit(sum, client.map(lambda x: x * x, range(100))).result()
        tokens = client.run(lambda: [os.environ.get("SECRET_TOKEN"), os.environ["PANGEO_SCRATCH"]])
    print(json.dumps([total, list(tokens.values())]), flush=True)
    sys.stdin.readline()
    cluster.scale(3)
    print(json.dumps([job.id for job in cluster.jobs]), flush=True)
print(json.dumps([str(job.state) for job in cluster.jobs]), flush=True)
"""

# Ends however it is told to, with workers that are busy.
KILLED = """\
import json, os, sys, time
import pangeo_hpc

cluster = pangeo_hpc.start_cluster("compute", workers=1, name="killed", options={options})
if not {options}:
    cluster.wait_for_workers(1, timeout=120)
    client = cluster.get_client()
    def hold():
        import ctypes
        ctypes.PyDLL(None).sleep(600)
    task = client.submit(hold)
    time.sleep(1)
print(json.dumps([job.id for job in cluster.jobs]), flush=True)
os.kill(os.getpid(), 9)
"""

FILL = """\
import json, os, sys, time
import pangeo_hpc

cluster = pangeo_hpc.start_cluster({arguments})
client = cluster.get_client()
hosts = client.run(lambda: os.uname().nodename)
total = client.submit(sum, client.map(lambda x: x * x, range(100))).result()
busy = set(client.gather(client.map(lambda i: time.sleep(0.2) or os.uname().nodename, range(48))))
print(json.dumps([type(cluster).__name__, sorted(hosts.values()), total, sorted(busy)]), flush=True)
{end}
"""


@pytest.fixture
def no_job_left(alice: ClusterUser) -> Iterator[None]:
    """Fail a test that leaves jobs."""
    yield
    all_gone(alice, 20)


@pytest.fixture
def no_hard_job_left(hard_alice: ClusterUser) -> Iterator[None]:
    """Fail a test that leaves jobs on the hard cluster."""
    yield
    all_gone(hard_alice, 20)


@pytest.fixture
def nothing_left(alice: ClusterUser, no_job_left: None) -> Iterator[None]:
    """Fail a test that leaves jobs, or what its workers spilled."""
    clusters = alice.shared / "state" / "clusters"
    # what other tests kill by force, or a first try of this one, may leave what it spilled
    before = set(clusters.rglob("*.log"))
    yield
    all_gone(alice, 20)
    logs = set(clusters.rglob("*.log"))
    assert logs
    for path in logs - before:
        for spill in re.findall(r"Local Directory: (/tmp/dask-[^/\s]+)", path.read_text()):
            assert not Path(spill).exists(), path.read_text()


def queue(user: ClusterUser, *more: str) -> dict[str, str]:
    """Return the user's jobs and their states, as Slurm tells them."""
    words = ["squeue", "--noheader", "--me", "--array", "--format=%i %T", *more]
    return dict(row.split() for row in user.run(words).stdout.splitlines())


def rest(user: ClusterUser, seconds: float) -> float:
    """Return after how many seconds the queue is empty of the user's jobs."""
    started = time.monotonic()
    while queue(user):
        assert time.monotonic() - started < seconds, queue(user)
        time.sleep(0.5)
    return time.monotonic() - started


def told(user: ClusterUser, job: str, *columns: str) -> list[str]:
    """Return what the accounting knows of a job that has ended, as soon as it knows the end."""
    words = ["sacct", "-X", "-n", "-P", "-j", job, f"--format={','.join(('End', *columns))}"]
    row: list[str] = []

    def is_known() -> bool:
        row[:] = user.run(words).stdout.strip().split("|")
        return row[0] not in ("", "Unknown")

    until(is_known, 60, every=0.5)
    return row[1:]


@pytest.mark.usefixtures("nothing_left")
def test_a_plain_session(cli: CommandLine, alice: ClusterUser) -> None:
    """Worker jobs are in the queue, compute, grow, and are all gone when `with` ends."""
    script = cli.script("plain.py", JOBS)
    environment = {"PANGEO_HPC_SITE": str(cli.site), "SECRET_TOKEN": "hidden"}
    child = alice.popen([PYTHON, str(script)], env=environment, cwd=cli.here, stdin=-1)
    assert child.stdin and child.stdout and child.stderr
    with child:
        ids = json.loads(child.stdout.readline() or child.stderr.read())
        assert queue(alice) == dict.fromkeys(ids, "RUNNING")
        total, tokens = json.loads(child.stdout.readline())
        assert total == sum(x * x for x in range(100))
        assert tokens == [[None, str(alice.scratch)]] * 2
        child.stdin.write("go on\n")
        child.stdin.flush()
        assert len(json.loads(child.stdout.readline())) == 3
        states = json.loads(child.stdout.readline())
        assert queue(alice) == {}
        assert len(states) == 3
        assert set(states) <= {"cancelled", "completed"}
        said = child.stderr.read()
    assert child.returncode == 0
    first, second, *_, last = said.splitlines()
    assert first == (
        "pangeo-hpc: Dask workers are 2 slurm jobs of node type compute, 1 process of 2 threads "
        "each (this is not a job)"
    )
    assert second.startswith("pangeo-hpc: its dashboard: http://localhost:")
    assert re.match(r"pangeo-hpc: 3 jobs had [\d.]+ core-hours: \d+ % busy, ", last)


@pytest.mark.usefixtures("nothing_left")
def test_kill_9_with_running_workers(cli: CommandLine, alice: ClusterUser) -> None:
    """After the client's death busy workers give their job back within a minute."""
    ids = killed(cli, alice, {})
    assert rest(alice, 90) < 60
    assert told(alice, ids[0], "State")[0] in ("COMPLETED", "FAILED")


@pytest.mark.usefixtures("nothing_left")
def test_kill_9_with_waiting_workers(cli: CommandLine, alice: ClusterUser) -> None:
    """A job that starts after its client's death ends within a minute of its start."""
    (job,) = killed(cli, alice, {"begin": "now+8"})
    rest(alice, 150)
    (elapsed,) = told(alice, job, "ElapsedRaw")
    assert 5 < int(elapsed) < 60


def killed(cli: CommandLine, alice: ClusterUser, options: dict[str, str]) -> list[str]:
    """Run a session that kills itself; return its jobs."""
    script = cli.script("killed.py", KILLED.format(options=options))
    environment = {"PANGEO_HPC_SITE": str(cli.site)}
    done = alice.run([PYTHON, str(script)], check=False, env=environment, cwd=cli.here, timeout=150)
    assert done.returncode == -signal.SIGKILL, done.stderr
    ids = json.loads(done.stdout)
    assert list(queue(alice)) == ids
    return [str(job) for job in ids]


@pytest.mark.usefixtures("nothing_left")
def test_a_refusal(cli: CommandLine, alice: ClusterUser) -> None:
    """Slurm's own words, at once."""
    text = "import pangeo_hpc; pangeo_hpc.start_cluster('compute', workers=2, account='nobody')"
    environment = {"PANGEO_HPC_SITE": str(cli.site)}
    done = alice.run([PYTHON, "-c", text], check=False, env=environment, cwd=cli.here)
    assert done.returncode == 1
    assert "SubmitRefused" in done.stderr
    assert "Invalid account" in done.stderr


def fill(cli: CommandLine, name: str, *, end: str = "", arguments: str = "") -> str:
    """Write a script that computes in its allocation, and return it."""
    return str(cli.script(f"{name}.py", FILL.format(end=end, arguments=arguments)))


def sbatch(cli: CommandLine, script: str, *options: str) -> tuple[int, str, Any]:
    """Run a hand-written job to its end; return its exit code, its id and what it printed."""
    head = "#!/bin/bash\n#SBATCH --time=5 --mem=2G --cpus-per-task=4\n"
    job = cli.script("hand.sh", f"{head}export PANGEO_HPC_SITE={cli.site}\n{PYTHON} {script}\n")
    output = cli.here / "hand.out"
    output.unlink(missing_ok=True)
    code, number = cli.sbatch(job, f"--output={output}", *options)
    said = output.read_text()
    lines = [line for line in said.splitlines() if line.startswith("[")]
    assert lines, said
    return code, number, json.loads(lines[0])


@pytest.mark.usefixtures("nothing_left")
def test_fills_three_nodes(cli: CommandLine, alice: ClusterUser) -> None:
    """In a job of three nodes all three have workers that compute, the first too."""
    script = fill(cli, "fill", end="cluster.close()")
    code, job, (kind, hosts, total, busy) = sbatch(cli, script, "--nodes=3")
    assert code == 0
    assert kind == "AllocationCluster"
    assert len(set(hosts)) == 3
    assert set(busy) == set(hosts)
    assert total == sum(x * x for x in range(100))
    assert told(alice, job, "State") == ["COMPLETED"]


@pytest.mark.usefixtures("no_job_left")  # a job's end may be too sudden for workers to clean up
@pytest.mark.parametrize(
    ("end", "expected"),
    [("", 0), ("raise RuntimeError('boom')", 1), ("os.kill(os.getpid(), 9)", 137)],
    ids=["by itself", "exception", "killed"],
)
def test_the_job_ends_with_its_script(
    cli: CommandLine, alice: ClusterUser, end: str, expected: int
) -> None:
    """However the script ends, the nodes are free soon after it, not at walltime."""
    script = fill(cli, "ends", end=f"print('at', time.time(), flush=True)\n{end}")
    code, job, _ = sbatch(cli, script, "--nodes=2")
    assert code == expected
    state, moment = told(alice, job, "State", "End")
    assert state == ("COMPLETED" if expected == 0 else "FAILED")
    (at,) = re.findall(r"^at (\S+)$", (cli.here / "hand.out").read_text(), re.MULTILINE)
    assert datetime.fromisoformat(moment).timestamp() - float(at) < 45


@pytest.mark.usefixtures("no_job_left")
def test_one_node(cli: CommandLine, alice: ClusterUser) -> None:
    """In a job of one node workers are programs beside the script."""
    script = fill(cli, "one", end="cluster.close()")
    code, _, (kind, hosts, _, _) = sbatch(cli, script, "--nodes=1")
    assert (code, kind) == (0, "LocalCluster")
    assert len(set(hosts)) == 1


@pytest.mark.usefixtures("no_job_left")
def test_killed_in_an_interactive_job(cli: CommandLine, alice: ClusterUser) -> None:
    """In `salloc` the job goes on after kill -9 of Python, its worker step does not."""
    script = fill(cli, "salloc", end="os.kill(os.getpid(), 9)")
    steps = "squeue --noheader --steps --format=%i --jobs=$SLURM_JOB_ID | grep -cv extern"
    shell = (
        f"export PANGEO_HPC_SITE={cli.site}\n{PYTHON} {script}\n"
        f"for i in $(seq 60); do [ $({steps}) = 0 ] && break; sleep 1; done\necho waited $i"
    )
    words = ["salloc", "--nodes=2", "--time=5", "--mem=2G", "--cpus-per-task=2"]
    done = alice.run([*words, "bash", "-c", shell], timeout=200, cwd=cli.here)
    waited = int(done.stdout.split("waited")[1])
    assert waited < 60, done.stdout + done.stderr


@pytest.mark.usefixtures("no_hard_job_left")
def test_nodes_without_home_and_commands(hard_cli: CommandLine, hard_alice: ClusterUser) -> None:
    """Neither a home nor sbatch is needed on the nodes."""
    script = hard_cli.script("plain.py", JOBS)
    environment = {"PANGEO_HPC_SITE": str(hard_cli.site)}
    done = hard_alice.run(
        [PYTHON, str(script)], env=environment, cwd=hard_cli.here, timeout=240, input="go on\n"
    )
    assert len(json.loads(done.stdout.splitlines()[-1])) == 3
    assert queue(hard_alice) == {}
    script_there = fill(hard_cli, "fill", end="cluster.close()")
    code, _, (kind, hosts, _, _) = sbatch(hard_cli, script_there, "--nodes=2")
    assert (code, kind) == (0, "AllocationCluster")
    assert len(set(hosts)) == 2


def test_only_its_owner_gets_in(cluster: Cluster, cli: CommandLine, bob: ClusterUser) -> None:
    """Another user of the host reaches the scheduler's port, and nothing behind it."""
    text = (
        "import pangeo_hpc\n"
        "with pangeo_hpc.start_cluster('compute', workers=0) as cluster:\n"
        "    print(cluster.scheduler_address, cluster.folder, flush=True)\n"
        "    input()\n"
    )
    child = cli.user.popen(
        [PYTHON, "-c", text], env={"PANGEO_HPC_SITE": str(cli.site)}, cwd=cli.here, stdin=-1
    )
    assert child.stdin and child.stdout
    with child:
        address, folder = child.stdout.readline().split()
        attack = (
            "import sys, distributed\n"
            "from distributed.security import Security\n"
            "for address, security in ((sys.argv[1].replace('tls', 'tcp'), None),\n"
            "                          (sys.argv[1], Security.temporary())):\n"
            "    try:\n"
            "        distributed.Client(address, security=security, timeout='3s')\n"
            "    except OSError as error:\n"
            "        print('refused')\n"
        )
        done = bob.run([PYTHON, "-c", attack, address], timeout=120)
        assert done.stdout.split() == ["refused", "refused"]
        assert bob.run(["ls", folder], check=False).returncode != 0
        child.communicate("go on\n")
