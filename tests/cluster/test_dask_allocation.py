"""Dask inside an allocation: it fills the nodes, survives what it can, and lets them go."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.dask_rig import all_gone
from tests.cluster.machine import VENV
from tests.cluster.sites import CommandLine
from tests.cluster.test_dask import told as accounted
from tests.cluster.users import ClusterUser

PYTHON = f"{VENV}/bin/python"

# A job's nodes have to be free after its script's end within so many seconds.
RELEASED = 15

BEGIN = """\
import json, os, sys, time
import pangeo_hpc

def tell(**what):
    print(json.dumps(what), flush=True)

def hold():
    import ctypes
    ctypes.PyDLL(None).sleep(600)

cluster = pangeo_hpc.start_cluster()
client = cluster.get_client()
"""

# Tasks that hold the interpreters of all workers, which hear nothing then.
BUSY = """\
tasks = [client.submit(hold, workers=[address]) for address in client.run(os.getpid)]
time.sleep(1)
"""

# Is killed soon after the last moment that it tells.
GROWS = """\
data = []
while True:
    data.append(os.urandom(1 << 20) * 64)
    tell(at=time.time())
"""
ENDS = {
    "by itself": ("", 0),
    "exception": ("raise RuntimeError('boom')", 1),
    "killed": ("os.kill(os.getpid(), 9)", 137),
    # of a job out of memory Slurm tells a signal, 125, and no exit code
    "memory": (GROWS, 0),
}


@pytest.fixture(autouse=True)
def no_job_left(alice: ClusterUser) -> Iterator[None]:
    """Fail a test that leaves jobs. What was killed by force leaves what it spilled."""
    yield
    all_gone(alice, 20)
    clusters = alice.shared / "state" / "clusters"
    for log in clusters.rglob("*.log"):
        for place in re.findall(r"Local Directory: (/tmp/dask-[^/\s]+)", log.read_text()):
            shutil.rmtree(place, ignore_errors=True)
    shutil.rmtree(clusters, ignore_errors=True)


def job(
    cli: CommandLine, text: str, *options: str, nodes: int = 2, shell: str = "", begin: str = BEGIN
) -> tuple[int, str, list[dict[str, Any]], str]:
    """Run a script in a job to its end.

    Return the job's exit code, its id, what the script told, and all that was said.
    """
    script = cli.script("inside.py", begin + text + "\n")
    head = f"#!/bin/bash\n#SBATCH --time=5 --mem=2G --cpus-per-task=4 --nodes={nodes}\n"
    lines = f"export PANGEO_HPC_SITE={cli.site}\n{PYTHON} {script}\n{shell}"
    output = cli.here / "inside.out"
    output.unlink(missing_ok=True)
    batch = cli.script("inside.sh", head + lines)
    code, number = cli.sbatch(batch, f"--output={output}", *options)
    said = output.read_text()
    told = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return code, number, told, said


def ended(user: ClusterUser, number: str) -> tuple[str, float]:
    """Return a job's state and the moment of its end, as the accounting tells them."""
    state, moment = accounted(user, number, "State", "End")
    return state, datetime.fromisoformat(moment).timestamp()


@pytest.mark.parametrize("way", ENDS)
def test_its_nodes_are_free_soon_after(cli: CommandLine, alice: ClusterUser, way: str) -> None:
    """However a script ends, with workers that hear nothing, its job ends within 15 s."""
    end, expected = ENDS[way]
    text = f"{BUSY}tell(at=time.time())\n{end}"
    code, number, told, said = job(cli, text)
    assert code == expected, said
    state, moment = ended(alice, number)
    assert moment - told[-1]["at"] < RELEASED, (state, said)


def test_the_step_ends_where_the_job_goes_on(cli: CommandLine) -> None:
    """After kill -9 of the script its workers leave all nodes, whatever the job does next."""
    steps = (
        "squeue --noheader --steps --format=%i --jobs=$SLURM_JOB_ID | grep -v -e batch -e extern"
    )
    shell = (
        "begin=$SECONDS\n"
        f"for i in $(seq 120); do [ $({steps} | wc -l) = 0 ] && break; sleep 0.5; done\n"
        'echo "{\\"seconds\\": $((SECONDS - begin))}"\n'
    )
    text = f"{BUSY}os.kill(os.getpid(), 9)"
    code, _, told, said = job(cli, text, shell=shell)
    assert code == 0, said
    assert told[-1]["seconds"] < RELEASED


def test_a_worker_that_is_killed_comes_again(cli: CommandLine) -> None:
    """A task that takes more memory than there is costs its worker; the nanny starts another."""
    text = """\
def look():
    return os.getpid(), os.uname().nodename
def eat(pid):
    return len(os.urandom(1 << 20) * 6000) if os.getpid() == pid else "done again"
first = client.run(look)
here = os.uname().nodename
address, (pid, _) = next(item for item in first.items() if item[1][1] != here)
result = client.submit(eat, pid, workers=[address], allow_other_workers=True).result(60)
second = {}
while len(second) < len(first) or any(pid == each for each, _ in second.values()):
    second = client.run(look, on_error="ignore")
    time.sleep(0.3)
pids, hosts = ([sorted(w[i] for w in which.values()) for which in (first, second)] for i in (0, 1))
tell(result=result, pids=pids, hosts=hosts)
cluster.close()
"""
    code, _, told, said = job(cli, text)
    assert code == 0, said
    assert told[0]["result"] == "done again"
    first, second = told[0]["hosts"]
    assert first == second
    first, second = told[0]["pids"]
    assert len(set(first) & set(second)) == len(first) - 1


def test_a_node_that_loses_its_workers(cli: CommandLine) -> None:
    """The rest of the nodes work on, and the node is named."""
    text = """\
hosts = client.run(lambda: os.uname().nodename)
lost = next(host for host in hosts.values() if host != os.uname().nodename)
def end():
    import psutil
    nanny = psutil.Process().parent()
    for process in (nanny.parent(), nanny, psutil.Process()):
        process.kill()
for address in [address for address, host in hosts.items() if host == lost]:
    client.run(end, workers=[address], on_error="ignore")
while len(client.scheduler_info(n_workers=-1)["workers"]) > 2 * len(hosts) // 3:
    time.sleep(0.3)
# srun may be slow to say so
while not any(f"node {lost}: " in text for text in cluster._said):
    time.sleep(0.3)
time.sleep(3)
hosts = sorted(set(client.run(lambda: os.uname().nodename).values()))
tell(lost=lost, left=hosts, total=client.submit(sum, [1, 2]).result(30))
cluster.close()
"""
    code, _, told, said = job(cli, text, nodes=3)
    assert code == 0, said
    assert len(told[0]["left"]) == 2
    assert told[0]["lost"] not in told[0]["left"]
    assert told[0]["total"] == 3
    assert f"workers ended on node {told[0]['lost']}: " in said


def test_all_is_lost(cli: CommandLine) -> None:
    """When the whole step has ended, what waits for workers ends with the reason."""
    text = """\
os.system("scancel --signal=KILL $SLURM_JOB_ID.0")
while client.scheduler_info(n_workers=-1)["workers"]:
    time.sleep(0.3)
task = client.submit(sum, [1, 2])
try:
    task.result(60)
except Exception as error:
    tell(error=type(error).__name__, text=str(error))
try:
    cluster.wait_for_workers(1, timeout=60)
except Exception as error:
    tell(error=type(error).__name__, text=str(error))
cluster.close()
"""
    code, _, told, said = job(cli, text)
    assert code == 0, said
    assert [each["error"] for each in told] == ["WorkerJobFailed", "WorkerJobFailed"], said


def test_empties_and_fills_again(cli: CommandLine) -> None:
    """`scale(0)` gives the nodes to others for a while, and says nothing of workers that ended."""
    text = """\
number = len(client.scheduler_info(n_workers=-1)["workers"])
client.scatter(list(range(8)))
cluster.scale(0)
tell(left=len(client.scheduler_info(n_workers=-1)["workers"]))
time.sleep(2)
cluster.scale(number)
cluster.wait_for_workers(number, timeout=150)
tell(hosts=sorted(set(client.run(lambda: os.uname().nodename).values())))
cluster.close()
"""
    code, _, told, said = job(cli, text)
    assert code == 0, said
    assert told[0] == {"left": 0}
    assert len(told[1]["hosts"]) == 2
    assert "ended" not in said


def test_memory_is_left_on_the_first_node_only(cli: CommandLine) -> None:
    """Client and scheduler need theirs where they are; the other workers have what is real."""
    text = """\
def look(dask_worker):
    return {"host": os.uname().nodename, "limit": dask_worker.memory_manager.memory_limit}
tell(here=os.uname().nodename, workers=list(client.run(look).values()))
cluster.close()
"""
    code, _, told, said = job(cli, text, nodes=3)
    assert code == 0, said
    limits: dict[bool, set[int]] = {True: set(), False: set()}
    for worker in told[0]["workers"]:
        limits[worker["host"] == told[0]["here"]].add(worker["limit"])
    assert len(limits[True]) == len(limits[False]) == 1
    assert max(limits[True]) < min(limits[False])
    per_node = len(told[0]["workers"]) // 3
    assert 1700 << 20 < min(limits[False]) * per_node < 2 << 30


def test_it_spills_to_a_disk(cli: CommandLine, alice: ClusterUser) -> None:
    """A place in memory is not used where there is a disk, even if the site names it."""
    folder = alice.cluster.local_disk
    text = (
        Path(cli.site)
        .read_text()
        .replace("    interface:", f"    local_disk: {folder}\n    interface:", 1)
    )
    site = cli.script("memory.yaml", text)
    script = (
        f"cluster = pangeo_hpc.start_cluster('compute', site='{site}', where='allocation')\n"
        "client = cluster.get_client()\n"
        "def look():\n    return os.environ['DASK_TEMPORARY_DIRECTORY']\n"
        "tell(places=sorted(client.run(look).values()))\ncluster.close()"
    )
    code, _, told, said = job(cli, script, begin=BEGIN.partition("cluster =")[0])
    assert code == 0, said
    assert told[0]["places"]
    assert all(place.startswith("/tmp/dask-") for place in told[0]["places"])
    assert not any(os.path.exists(place) for place in told[0]["places"])
    assert "spill" not in said


def test_an_interface_that_is_not_there(cli: CommandLine) -> None:
    """It is named at once, before anything is started."""
    text = Path(cli.site).read_text().replace("interface: ", "interface: ib9  # ", 1)
    site = cli.script("ib9.yaml", text)
    done = cli.user.run(
        [PYTHON, "-c", f"import pangeo_hpc; pangeo_hpc.start_cluster('compute', site='{site}')"],
        check=False,
        cwd=cli.here,
    )
    assert "has no network interface ib9" in done.stderr
