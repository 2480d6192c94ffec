"""The test cluster is what its README says; a failure here explains failures elsewhere."""

import os
import pwd
import signal
import socket
import subprocess
import sys
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.cluster import cgroups, machine, record
from tests.cluster.config import BASE, ClusterConfig
from tests.cluster.conftest import PROJECT
from tests.cluster.daemons import Process, wait_until
from tests.cluster.errors import ClusterError
from tests.cluster.face import Cluster
from tests.cluster.sites import ENDED
from tests.cluster.slurm import SlurmCluster, sweep
from tests.cluster.users import ClusterUser

EAT = "x = bytearray(400 << 20); import time; time.sleep(60)"


def submit(user: ClusterUser, *words: str) -> str:
    """Submit a job whose output lies in the user's scratch; return its id."""
    output = f"--output={user.scratch}/%j.out"
    return user.run(["sbatch", "--parsable", output, *words]).stdout.strip()


def state(user: ClusterUser, job: str) -> str:
    """Return the first word of a job's state in sacct."""
    argv = ["sacct", "-n", "-P", "-X", "-o", "State", "-j", job]
    words = user.run(argv).stdout.split()
    return words[0] if words else ""


def final_state(user: ClusterUser, job: str, seconds: float = 150) -> str:
    """Wait for the end of a job and return its state in sacct."""
    assert wait_until(lambda: state(user, job) in ENDED, seconds), state(user, job)
    return state(user, job)


def shown(user: ClusterUser, job: str) -> str:
    """Return the state of a job as the controller remembers it."""
    text = user.run(["scontrol", "show", "job", job]).stdout
    return text.partition("JobState=")[2].split()[0]


def pending_because(user: ClusterUser, job: str, reason: str) -> bool:
    """Tell whether a job waits for this reason, in squeue's words."""
    argv = ["squeue", "--noheader", f"--jobs={job}", "--format=%T %r"]
    words = user.run(argv).stdout
    return words.startswith("PENDING") and reason in words


def output(user: ClusterUser, job: str) -> str:
    """Return what a job printed."""
    return user.run(["cat", user.scratch / f"{job}.out"]).stdout


def test_all_nodes_are_idle_but_one_is_down(cluster: Cluster) -> None:
    """All nodes take jobs, but for one."""
    up, (down,) = cluster.shape.up, cluster.shape.down

    def states() -> dict[str, str]:
        found = cluster.node_states()
        return {name: found[name] for name in up}

    # jobs of earlier tests may just be ending
    assert wait_until(lambda: states() == dict.fromkeys(up, "idle"), 60), states()
    assert cluster.node_states()[down].startswith("down")


def test_a_job_runs_on_three_nodes(cluster: Cluster, alice: ClusterUser) -> None:
    """The steps of a job run on as many nodes as it asked for, each with its own name."""
    job = submit(alice, "--nodes=3", "--ntasks-per-node=1", "--wrap=srun hostname")
    assert final_state(alice, job) == "COMPLETED"
    assert len(set(output(alice, job).split()) & set(cluster.shape.up)) == 3


def test_node_names_resolve(cluster: Cluster, alice: ClusterUser) -> None:
    """The login side reaches a node by its name, at the interface they share."""
    address = alice.run(["getent", "hosts", "c3"]).stdout.split()[0]
    assert ip_address(address).is_loopback == (cluster.interface == "lo")


def test_jobs_use_the_project(alice: ClusterUser) -> None:
    """The installed project and its virtual environment work inside a job."""
    job = submit(alice, "--wrap=python -c 'import pangeo_hpc; print(pangeo_hpc.__file__)'")
    assert final_state(alice, job) == "COMPLETED"
    assert output(alice, job).startswith(f"{machine.VENV}/")


@pytest.mark.slow
def test_a_job_over_its_walltime_times_out(alice: ClusterUser) -> None:
    """A job that runs longer than it asked for ends as TIMEOUT."""
    job = submit(alice, "--time=1", "--wrap=sleep 600")
    assert final_state(alice, job, 240) == "TIMEOUT"


def test_a_job_over_its_memory_is_killed(cluster: Cluster, alice: ClusterUser) -> None:
    """A job that takes more memory than it asked for ends as OUT_OF_MEMORY.

    Where the machine has no cgroups for it, Slurm kills the job and calls it FAILED (22.05).
    """
    job = submit(alice, "--mem=100M", f"--wrap=exec python3 -c '{EAT}'")
    expected, word = {
        "cgroup": ("OUT_OF_MEMORY", "oom-kill"),
        "polling": ("FAILED", "exceeded memory limit"),
    }[cluster.memory_limits]
    assert final_state(alice, job) == expected
    assert word in output(alice, job)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--account=nosuch"], "Invalid account"),
        (["--partition=nosuch"], "invalid partition"),
        (["--qos=nosuch"], "Invalid qos"),
    ],
)
def test_wrong_names_are_refused(alice: ClusterUser, words: list[str], message: str) -> None:
    """A job with an unknown account, partition or QOS is refused at once."""
    done = alice.run(["sbatch", *words, "--wrap=true"], check=False)
    assert done.returncode == 1
    assert message in done.stderr


def test_accounts_belong_to_users(alice: ClusterUser, bob: ClusterUser) -> None:
    """The account ocean is alice's and not bob's; climate is the default of both."""
    assert bob.run(["sbatch", "--account=ocean", "--wrap=true"], check=False).returncode == 1
    job = submit(alice, "--account=ocean", "--wrap=true")
    assert final_state(alice, job) == "COMPLETED"
    listed = bob.run(["sacctmgr", "-n", "-P", "show", "user", "bob", "format=DefaultAccount"])
    assert listed.stdout.strip() == "climate"


def test_qos_limits_hold(alice: ClusterUser) -> None:
    """The QOS tiny takes two jobs of a user and refuses the third."""
    words = ["--qos=tiny", "--time=1", "--hold", "--wrap=true"]
    jobs = [submit(alice, *words), submit(alice, *words)]
    try:
        done = alice.run(["sbatch", *words], check=False)
        assert "QOSMaxSubmitJobPerUserLimit" in done.stderr
    finally:
        alice.run(["scancel", *jobs])


def test_pending_jobs_say_why(alice: ClusterUser) -> None:
    """A job for the broken node, and one beyond its partition's limit, wait with their reasons."""
    jobs = {
        submit(alice, "--partition=broken", "--wrap=true"): "DOWN",
        submit(alice, "--partition=short", "--time=30", "--wrap=true"): "PartitionTimeLimit",
        submit(alice, "--partition=small", "--cpus-per-task=4", "--wrap=true"): "PartitionConfig",
    }
    try:
        for job, reason in jobs.items():
            assert wait_until(partial(pending_because, alice, job, reason), 120)
    finally:
        alice.run(["scancel", *jobs])


def test_gpus_are_counted(cluster: Cluster, alice: ClusterUser) -> None:
    """A job gets the GPUs it asked for as numbers, on the one node that has some."""
    words = ["--partition=gpu", "--gres=gpu:1", "--wrap=hostname; echo $CUDA_VISIBLE_DEVICES"]
    job = submit(alice, *words)
    assert final_state(alice, job) == "COMPLETED"
    assert output(alice, job).split() == [cluster.shape.gpu, "0"]


def test_users_are_real(cluster: Cluster, alice: ClusterUser, bob: ClusterUser) -> None:
    """Each user runs as a Unix user with a clean environment and private directories."""
    uid = pwd.getpwnam("alice").pw_uid
    assert alice.run(["id", "-u"]).stdout.strip() == str(uid)
    assert alice.run(["pwd"]).stdout.strip() == "/home/alice"
    names = {line.partition("=")[0] for line in alice.run(["env"]).stdout.splitlines()}
    assert "SLURM_CONF" in names
    assert "AWS_CA_BUNDLE" not in names
    for path in (alice.home, alice.scratch, alice.shared):
        assert bob.run(["ls", path], check=False).returncode != 0
    for secret in cluster.secrets:
        assert secret.stat().st_size
        assert alice.run(["cat", secret], check=False).returncode == 1


def test_a_command_that_hangs_ends_at_its_timeout(alice: ClusterUser) -> None:
    """A command and its children end when the time is over."""
    with pytest.raises(subprocess.TimeoutExpired):
        alice.run(["sh", "-c", "sleep 4711 & wait"], timeout=1)
    looking = ["pgrep", "-u", "alice", "-f", "^sleep 4711"]
    assert wait_until(lambda: alice.run(looking, check=False).stdout == "", 30)


def test_input_reaches_a_command(alice: ClusterUser) -> None:
    """A script can be given on standard input."""
    text = f"#!/bin/sh\n#SBATCH --output={alice.scratch}/%j.out\necho from stdin\n"
    job = alice.run(["sbatch", "--parsable"], input=text).stdout.strip()
    assert final_state(alice, job) == "COMPLETED"
    assert output(alice, job) == "from stdin\n"


def test_questions_are_counted(cluster: Cluster, alice: ClusterUser) -> None:
    """The controller counts each squeue."""
    kinds = {"REQUEST_JOB_INFO", "REQUEST_JOB_USER_INFO", "REQUEST_JOB_INFO_SINGLE"}

    def asked() -> int:
        return sum(number for kind, number in cluster.sdiag_counts().items() if kind in kinds)

    before = asked()
    for _ in range(3):
        alice.run(["squeue"])
    assert asked() - before == 3


@pytest.mark.own_daemons
def test_jobs_outlive_the_controller(cluster: SlurmCluster, alice: ClusterUser) -> None:
    """A job goes on while the controller is away, and squeue fails in that time."""
    job = submit(alice, "--wrap=sleep 600")
    assert wait_until(lambda: shown(alice, job) == "RUNNING", 60)
    cluster.stop_controller()
    try:
        assert alice.run(["squeue"], check=False).returncode == 1
    finally:
        cluster.start_controller()
    assert shown(alice, job) == "RUNNING"
    alice.run(["scancel", job])
    assert final_state(alice, job) == "CANCELLED"


@pytest.mark.own_daemons
def test_a_node_can_fail_and_come_back(cluster: SlurmCluster, alice: ClusterUser) -> None:
    """A killed node's processes are gone, its job is requeued with its id, the node returns."""
    job = submit(alice, "--nodelist=c2", "--requeue", "--wrap=sleep 600")
    assert wait_until(lambda: shown(alice, job) == "RUNNING", 60)
    # Slurm calls it so before the node has begun it
    assert wait_until(lambda: len(cluster.pids("c2")) > 1, 60)
    cluster.kill_node("c2")
    cluster.mark_down("c2")
    try:
        assert cluster.pids("c2") == []
        assert wait_until(lambda: shown(alice, job) == "PENDING", 60)
    finally:
        cluster.start_node("c2")
        alice.run(["scancel", job])
    # until the news is there, sacct tells how the attempt on the dead node ended
    assert wait_until(lambda: state(alice, job) == "CANCELLED", 150), state(alice, job)


def test_the_hard_cluster_hides_what_it_says(
    hard_cluster: SlurmCluster, hard_alice: ClusterUser
) -> None:
    """On its nodes there is no home of alice and no sbatch; srun and the shared directory are."""
    hard_alice.run(["touch", hard_alice.home / "at-home", hard_alice.shared / "at-shared"])
    script = "; ".join(
        [
            "ls -A /home",
            *(f"command -v {word} || echo no {word}" for word in ("sbatch", "squeue", "sacct")),
            "command -v srun",
            f"ls {hard_alice.shared}",
        ]
    )
    job = submit(hard_alice, f"--wrap={script}")
    assert wait_until(lambda: shown(hard_alice, job) == "COMPLETED", 120)
    lines = output(hard_alice, job).splitlines()
    assert lines[-5:] == ["no sbatch", "no squeue", "no sacct", "/usr/bin/srun", "at-shared"]
    assert "at-home" not in lines


def test_the_hard_cluster_keeps_no_accounts(hard_alice: ClusterUser) -> None:
    """The command sacct says that accounting is off, and any account is accepted."""
    done = hard_alice.run(["sacct"], check=False)
    assert done.returncode == 1
    assert "Slurm accounting storage is disabled" in done.stderr
    job = submit(hard_alice, "--account=nosuch", "--wrap=true")
    assert wait_until(lambda: shown(hard_alice, job) == "COMPLETED", 120)


def test_two_clusters_do_not_meet(
    cluster: SlurmCluster, hard_cluster: SlurmCluster, alice: ClusterUser, hard_alice: ClusterUser
) -> None:
    """Two clusters share no port, process, cgroup or job."""
    assert not set(cluster.record.ports.values()) & set(hard_cluster.record.ports.values())
    name = f"only-here-{os.getpid()}"
    job = submit(alice, f"--job-name={name}", "--nodelist=c1", "--wrap=sleep 600")
    assert wait_until(lambda: shown(alice, job) == "RUNNING", 60)
    assert name not in hard_alice.run(["squeue", "--format=%j"]).stdout
    assert cluster.pids("c1")
    assert not set(cluster.pids()) & set(hard_cluster.pids())
    hard_cluster.kill_node("c1")
    hard_cluster.start_node("c1")
    assert shown(alice, job) == "RUNNING"
    alice.run(["scancel", job])


@pytest.mark.own_daemons
def test_stop_leaves_nothing() -> None:
    """After stop() no process, cgroup, mount or file of the cluster is left."""
    with SlurmCluster(ClusterConfig(accounting=False)) as cluster:
        mark, directory = cluster.mark, cluster.directory
        alice = cluster.user("alice")
        escape = "setsid sh -c 'sleep 4712 & sleep 4712' & wait"
        job = submit(alice, "--nodes=2", f'--wrap=srun sh -c "{escape}"')
        assert wait_until(lambda: shown(alice, job) == "RUNNING", 60)
        with alice.popen(["setsid", "--fork", "sleep", "4712"], stdout=None, stderr=None) as child:
            assert child.wait() == 0
        daemons = [daemon.process for daemon in cluster.daemons.values()]
        inside = [Process.of(pid) for pid in cluster.pids()]
        cluster.stop()
    assert not [each for each in daemons + inside if each.alive]
    assert not directory.exists()
    assert not any(Path(path).exists() for path in cgroups.paths(mark).values())
    assert str(directory) not in Path("/proc/self/mountinfo").read_text()
    assert subprocess.run(["pgrep", "-f", "^sleep 4712"], check=False).returncode == 1


@pytest.mark.own_daemons
def test_a_killed_run_is_cleared_away_by_the_next() -> None:
    """What a test run left that was killed with SIGKILL ends before the next cluster starts."""
    code = (
        "import sys, time\n"
        "from tests.cluster.slurm import ClusterConfig, SlurmCluster\n"
        "cluster = SlurmCluster(ClusterConfig(accounting=False))\n"
        "cluster.start()\n"
        "print(cluster.directory, flush=True)\n"
        "time.sleep(600)\n"
    )
    argv = [sys.executable, "-c", code]
    with subprocess.Popen(argv, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        directory = Path(run.stdout.readline().strip())
        # a cluster that starts beside this test would clear it away, too
        with machine.locked(BASE / "lock"):
            run.send_signal(signal.SIGKILL)
            run.wait()
            found = record.load(directory)
            assert found is not None
            assert all(process.alive for process in found.processes.values())
    sweep()
    assert not directory.exists()
    assert not any(process.alive for process in found.processes.values())


@pytest.mark.own_daemons
def test_a_daemon_that_dies_is_named() -> None:
    """A start that fails names the daemon and shows its command and the end of its log."""
    place = BASE / f"dies-{os.getpid()}"
    with socket.socket() as busy:
        busy.bind(("", 0))
        port = busy.getsockname()[1]
        config = ClusterConfig(accounting=False, first_port=port, state_directory=place)
        with pytest.raises(ClusterError) as caught:
            SlurmCluster(config).start()
    text = str(caught.value)
    assert text.startswith("slurmctld ended with code 1")
    assert "command: /usr/sbin/slurmctld -D" in text
    assert "Address already in use" in text
    sweep()
    assert not place.exists()
