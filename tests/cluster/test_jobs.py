"""Jobs on the real Slurm: submitted once, and their ends told as they were."""

import json
import os
from pathlib import Path

import pytest

from tests.cluster.face import Cluster
from tests.cluster.sites import CommandLine, write_site
from tests.cluster.slurm import SlurmCluster
from tests.cluster.users import ClusterUser

pytestmark = pytest.mark.usefixtures("anew")

ENDS = """\
import os, sys, time
print("argument", sys.argv[1], flush=True)
if sys.argv[1] == "hog":
    block = bytearray(3 << 30)
    block[::4096] = b"x" * len(block[::4096])
if sys.argv[1] == "sleep":
    time.sleep(600)
if sys.argv[1] == "abort":
    os.abort()
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def ends(cli: CommandLine) -> str:
    return str(cli.script("ends.py", ENDS))


def attempt(cli: CommandLine, run: str) -> dict[str, object]:
    last: dict[str, object] = cli.json("runs", "show", run)["attempts"][-1]
    return last


def test_success_and_failure(cli: CommandLine, ends: str) -> None:
    """The script's own exit code reaches the shell's user and `runs show`."""
    cli("submit", ends, "--name", "good", "--wait", "--", "0")
    assert attempt(cli, "good")["state"] == "completed"
    done = cli("submit", ends, "--name", "bad", "--wait", "--", "7", code=1)
    assert "exit code 7" in done.stdout
    last = attempt(cli, "bad")
    assert (last["state"], last["exit_code"]) == ("failed", 7)
    assert cli("runs", "logs", "bad").stdout == "argument 7\n"
    cli("runs", "wait", "bad", code=1)
    again = cli("submit", ends, "--name", "later", "--wait", "--", "75", code=75)
    assert "submit it again" in again.stderr


def test_a_signal_is_named(cli: CommandLine, ends: str) -> None:
    """A script that dies of a signal has failed, with the status that a shell gives it."""
    cli("submit", ends, "--name", "aborts", "--wait", "--", "abort", code=1)
    last = attempt(cli, "aborts")
    assert (last["state"], last["exit_code"]) == ("failed", 134)


def test_out_of_memory_is_named(cli: CommandLine, ends: str, cluster: Cluster) -> None:
    """A job beyond its memory ended for that reason."""
    cli("submit", ends, "--name", "hog", "--wait", "--", "hog", code=1)
    wanted = "out of memory" if cluster.memory_limits == "cgroup" else "failed"
    assert attempt(cli, "hog")["state"] == wanted


@pytest.mark.slow
def test_walltime_is_named(cli: CommandLine, ends: str) -> None:
    """A job beyond its walltime ended for that reason."""
    words = ("submit", ends, "--name", "slow", "--node-type", "short", "--wait", "--", "sleep")
    cli(*words, code=1)
    assert attempt(cli, "slow")["state"] == "timeout"


def test_a_refusal_quotes_slurm(cli: CommandLine, ends: str) -> None:
    """Slurm's own words, exit code 4, and no job."""
    done = cli("submit", ends, "--name", "no", "--account", "nobody", "--", "0", code=4)
    assert "Invalid account" in done.stderr
    assert attempt(cli, "no")["job"] is None


def test_cancel_while_waiting_and_running(cli: CommandLine, ends: str) -> None:
    """A waiting job shows Slurm's reason; cancelled, it is told as cancelled."""
    cli("submit", ends, "--name", "waits", "--option", "begin=now+600", "--", "0")
    last = attempt(cli, "waits")
    assert (last["state"], last["reason"]) == ("pending", "BeginTime")
    busy = cli("submit", ends, "--name", "waits", "--", "0", code=4)
    assert "runs wait waits" in busy.stderr
    cli("runs", "cancel", "waits")
    cli("runs", "wait", "waits", code=1)
    assert attempt(cli, "waits")["state"] == "cancelled"


def test_after_another(cli: CommandLine, ends: str) -> None:
    """`--after` starts a job once the other succeeded."""
    cli("submit", ends, "--name", "first", "--option", "begin=now+3", "--", "0")
    cli("submit", ends, "--name", "second", "--after", "first", "--wait", "--", "0")
    first, second = attempt(cli, "first"), attempt(cli, "second")
    assert str(first["ended"]) <= str(second["started"])


def test_nothing_of_ours_leaks_into_a_job(cli: CommandLine, alice: ClusterUser) -> None:
    """The submitter's environment stays there; the job knows run, attempt, site and scratch."""
    text = "import json, os; print(json.dumps(dict(os.environ)))"
    script = str(cli.script("environment.py", text))
    cli("submit", script, "--wait", SECRET_TOKEN="hidden")
    found = json.loads(cli("runs", "logs", "environment").stdout)
    assert "SECRET_TOKEN" not in found
    assert "TZ" not in found
    assert found["PANGEO_SCRATCH"] == str(alice.scratch)
    site = Path(found["PANGEO_HPC_SITE"])
    assert json.loads(site.read_text())["name"] == "testcluster"


def test_a_hand_written_script(cli: CommandLine, ends: str) -> None:
    """`pangeo-hpc run` in a job of one's own: the job ends with the script's own code."""
    script = cli.script(
        "own.sh",
        "#!/bin/bash\n#SBATCH --time=2 --mem=500M\n"
        f"pangeo-hpc --site {cli.site} run {ends} --name own -- 9\n",
    )
    code, job = cli.sbatch(script)
    assert code == 9
    last = attempt(cli, "own")
    assert (last["state"], last["exit_code"]) == ("failed", 9)
    assert last["job"] == job
    assert attempt(cli, job) == last


LYING_SBATCH = """\
#!/bin/sh
# the real sbatch answers, and whoever asked is gone before the answer arrives
{sbatch} "$@" > {folder}/answer
touch {folder}/answered
kill -9 $PPID
"""


def test_a_killed_submitter_leaves_one_job(cli: CommandLine, alice: ClusterUser, ends: str) -> None:
    """kill -9 between sbatch's answer and our record: one job, and it is found again."""
    folder = cli.here / "lying"
    folder.mkdir()
    liar = folder / "sbatch"
    liar.write_text(LYING_SBATCH.format(sbatch="/usr/bin/sbatch", folder=folder))
    liar.chmod(0o755)
    for path in (folder, liar):
        os.chown(path, alice.uid, alice.gid)
    search = f"{folder}:{alice.environment()['PATH']}"
    words = ("submit", ends, "--name", "killed", "--option", "begin=now+600", "--", "0")
    cli(*words, code=-9, PATH=search)
    job = (folder / "answer").read_text().strip()
    last = attempt(cli, "killed")
    assert (last["job"], last["state"]) == (job, "pending")
    cli(*words, code=4)
    queue = alice.run(["squeue", "--noheader", "--format=%i %j"], timeout=30).stdout
    assert queue.count("killed-") == 1
    cli("runs", "cancel", "killed")


@pytest.mark.own_daemons
def test_no_controller(cli: CommandLine, ends: str, cluster: SlurmCluster) -> None:
    """Without a controller: exit code 4, its words, and no news is not an end."""
    cli("submit", ends, "--name", "patient", "--option", "begin=now+600", "--", "0")
    cluster.stop_controller()
    try:
        assert "Unable to contact slurm controller" in cli("nodes", code=4).stderr
        assert cli("runs", "show", "patient", code=4).stdout == ""
        cli("submit", ends, "--name", "unheard", "--", "0", code=4)
    finally:
        cluster.start_controller()
    assert attempt(cli, "patient")["state"] == "pending"
    cli("runs", "cancel", "patient")
    assert attempt(cli, "unheard")["state"] == "failed"
    cli("submit", ends, "--name", "unheard", "--wait", "--", "0")


def test_one_question_for_many_runs(cli: CommandLine, ends: str, cluster: Cluster) -> None:
    """`runs list` asks the controller once, however many runs are alive."""
    names = [f"many{number}" for number in range(6)]
    for name in names:
        cli("submit", ends, "--name", name, "--option", "begin=now+600", "--", "0")
    before = cluster.sdiag_counts()
    listed = cli.json("runs", "list")["runs"]
    after = cluster.sdiag_counts()
    assert {row["run"] for row in listed if row["state"] == "pending"} >= set(names)
    asked = {kind: after[kind] - before.get(kind, 0) for kind in after}
    assert sum(n for kind, n in asked.items() if "JOB_INFO" in kind) == 1, asked
    for name in names:
        cli("runs", "cancel", name)


def test_nodes(cli: CommandLine, cluster: Cluster) -> None:
    """Counts by node type, and a start only where a job can start."""
    rows = {row["node_type"]: row for row in cli.json("nodes")["node_types"]}
    counted = sum(rows["compute"][state] for state in ("idle", "partly", "busy", "down"))
    assert counted == len(cluster.shape.up)
    assert rows["down"]["down"] == 1
    assert rows["down"]["start"] is None
    assert rows["compute"]["start"] is not None


def test_disk_full(cli: CommandLine, ends: str, alice: ClusterUser, cluster: Cluster) -> None:
    """A full disk is one clear error, exit code 5, and nothing was submitted."""
    small = cluster.directory / "small"
    small.mkdir(exist_ok=True)
    options = f"size=64k,uid={alice.uid},gid={alice.gid},mode=0700"
    cluster.admin(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(small)])
    try:
        state = f"{small}/{{user}}"
        path = cluster.directory / "full.yaml"
        site = write_site(path, scratch_root=cluster.scratch_root, state=state)
        alice.run(["dd", "if=/dev/zero", f"of={small}/filler", "bs=1k"], check=False, timeout=30)
        done = cli("--site", str(site), "submit", ends, "--name", "full", "--", "0", code=5)
        assert "disk is full" in done.stderr
    finally:
        cluster.admin(["umount", str(small)])


def test_no_permission(cli: CommandLine, ends: str, bob: ClusterUser, cluster: Cluster) -> None:
    """Somebody else's folder is an error of permission, exit code 5."""
    path, state = cluster.directory / "bobs.yaml", f"{bob.home}/{{user}}"
    site = write_site(path, scratch_root=cluster.scratch_root, state=state)
    done = cli("--site", str(site), "submit", ends, "--name", "foreign", "--", "0", code=5)
    assert "Permission denied" in done.stderr
    private = cli("submit", str(bob.home / "x.py"), code=5)
    assert "Permission denied" in private.stderr
