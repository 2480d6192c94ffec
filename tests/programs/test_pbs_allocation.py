"""Dask workers that fill a PBS job: its step starts real ones, through a stand-in of pbs_tmrsh.

PBS gives a process on another node the environment of the job, not that of the script; so does the
stand-in. That the processes get to other nodes only a real PBS can prove.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.timeout(300)

TMRSH = """\
#!/bin/bash
host=$1; shift
echo "$host" >> {folder}/started
exec env -i PBS_JOBID=131.standin PATH=/usr/bin:/bin HOME={folder} TMPDIR={folder}/tmp \\
  PANGEO_TEST_NODE="$host" "$@"
"""

SITE = """\
name: testing
scheduler: pbs
schedulers: {{pbs: {{type: pbs, bin: {folder}}}}}
user_state: "{folder}/state/{{user}}"
node_types:
  small: {{cores: 2, memory: 2 GiB, walltime: "00:30:00", interface: lo}}
"""

BEGIN = """\
import os, sys, time
import pangeo_hpc

cluster = pangeo_hpc.start_cluster(where="allocation", site="SITE", cores=2, memory="1 GiB")
client = cluster.get_client()
nodes = client.run(lambda: os.environ["PANGEO_TEST_NODE"])
print(sorted(nodes.values()), client.submit(sum, [1, 2]).result(), cluster.folder, flush=True)
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Return a folder with a PBS job of two nodes, of which nothing may be left at the end."""
    for name, text in {"site.yaml": SITE, "pbs_tmrsh": TMRSH, "nodes": "cpu01\ncpu02\n"}.items():
        (tmp_path / name).write_text(text.format(folder=tmp_path))
    (tmp_path / "pbs_tmrsh").chmod(0o755)
    (tmp_path / "tmp").mkdir()
    yield tmp_path
    deadline = time.monotonic() + 60
    while left(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def left(folder: Path) -> list[list[str]]:
    """Return the commands that still have to do with a folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if any(str(folder) in word for word in words):
            found.append(words)
    return found


def script(place: Path, end: str) -> subprocess.CompletedProcess[str]:
    """Run a script as in the job, and return what it said."""
    path = place / "script.py"
    path.write_text(BEGIN.replace("SITE", str(place / "site.yaml")) + end)
    job = {"PBS_JOBID": "131.standin", "PBS_NODEFILE": str(place / "nodes"), "NCPUS": "2"}
    environ = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
    return subprocess.run(
        [sys.executable, str(path)],
        env={**environ, **job, "HOME": str(place)},
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_fills_its_nodes(place: Path) -> None:
    """Workers come on every node, by the full path of their program, and go with the cluster."""
    done = script(place, "cluster.close()\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("['cpu01', 'cpu02'] 3 "), done.stdout
    assert sorted((place / "started").read_text().split()) == ["cpu01", "cpu02"]


def test_killed(place: Path) -> None:
    """After kill -9 of the script none of its programs is left on the nodes.

    Workers that take longer than the step is given, as on a busy machine, cannot tidy up.
    """
    assert script(place, "os.kill(os.getpid(), 9)\n").returncode == -9
    deadline = time.monotonic() + 60
    while left(place) and time.monotonic() < deadline:
        time.sleep(0.2)
    for spill in (place / "tmp").iterdir():
        shutil.rmtree(spill)


LOSE = """\
def end():
    import psutil
    nanny = psutil.Process().parent()
    for process in (nanny.parent(), nanny, psutil.Process()):
        process.kill()
lost = next(address for address, node in nodes.items() if node == "cpu02")
spill = client.run(lambda: os.environ["PANGEO_HPC_SPILL"], workers=[lost])[lost]
client.run(end, workers=[lost], on_error="ignore")
while len(client.scheduler_info(n_workers=-1)["workers"]) > 1:
    time.sleep(0.1)
while not any("cpu02" in line for line in list(cluster._said)):
    time.sleep(0.1)
print(client.submit(sum, [1, 2]).result(30), flush=True)
cluster.close()
import shutil
shutil.rmtree(spill)  # of a node that has died
"""


def test_a_node_that_loses_its_workers(place: Path) -> None:
    """It is named, and the other works on."""
    done = script(place, LOSE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("\n3\n")
    assert "workers ended on node cpu02: ended with exit status 137" in done.stderr
