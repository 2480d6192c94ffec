"""Doctor on the real cluster: each check sees its own thing broken, and names the remedy."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import machine
from tests.cluster.daemons import until, wait_until
from tests.cluster.sites import CommandLine
from tests.cluster.slurm import SlurmCluster
from tests.cluster.users import ClusterUser

# it breaks daemons, and the site it breaks is that of one machine
pytestmark = [pytest.mark.own_daemons, pytest.mark.usefixtures("anew")]

SITE = """\
name: testcluster
scheduler: slurm
{top}
user_state: "{state}"
node_types:
  compute:
    default: true
    queue: compute
    cores: 2
    max_cores: 8
    memory: 1500 MiB
    max_memory: 7000 MiB
    walltime: "00:10:00"
    max_walltime: "01:00:00"
    max_nodes: 4
    interface: lo
{node}
scratch:
  scratch: {{path: "{scratch}"}}
"""
TELLING = """\
#!/bin/sh
exec > {told}
id
tr '\\0' '\\n' < /proc/$PPID/environ
[ $(ps -o sid= -p $PPID) = $PPID ] && echo a session of its own
echo speaks to $(readlink /proc/$PPID/fd/1 /proc/$PPID/fd/2)
"""
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


@dataclass
class Doctor:
    """A site of one node type, of which each test breaks one thing, and its doctor."""

    cli: CommandLine
    cluster: SlurmCluster

    def site(self, *, top: str = "", node: str = "", **changes: str) -> Path:
        """Write the site with lines of the node type added or replaced, and return its path."""
        shared = self.cli.user.shared.parent
        values = {
            "state": f"{shared}/{{user}}/state",
            "scratch": f"{self.cluster.scratch_root}/{{user}}",
        }
        values |= {key: changes.pop(key) for key in tuple(changes) if key in values}
        text = SITE.format(top=top, node=node, **values)
        lines = text.splitlines()
        for key, value in changes.items():
            lines = [line for line in lines if not line.startswith(f"    {key}:")]
            lines.insert(lines.index("  compute:") + 1, f"    {key}: {value}")
        path = self.cluster.directory / "doctor.yaml"
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o644)
        return path

    def __call__(
        self, *words: str, code: int, environ: dict[str, str] | None = None, **changes: Any
    ) -> dict[str, Any]:
        """Examine a site and return the findings, with none of the jobs left behind."""
        path = str(self.site(**changes))
        done = self.cli("--site", path, "doctor", *words, "--json", code=code, **(environ or {}))
        found: dict[str, Any] = json.loads(done.stdout)
        assert found["format"] == 1
        assert self.queue() == ""
        return found

    def queue(self) -> str:
        """Return the jobs of doctors that are in the queue."""

        def jobs() -> str:
            listed = self.cluster.admin(["squeue", "--noheader", "--format=%i %j %T"])
            return "".join(line for line in listed.splitlines(True) if " doctor-" in line)

        # one that was cancelled while it ran is gone a moment later
        return "" if wait_until(lambda: not jobs(), 60, every=0.3) else jobs()


@pytest.fixture(scope="module")
def doctor(cli: CommandLine, cluster: SlurmCluster) -> Doctor:
    return Doctor(cli, cluster)


@pytest.fixture(scope="module")
def hard_doctor(hard_cli: CommandLine, hard_cluster: SlurmCluster) -> Doctor:
    return Doctor(hard_cli, hard_cluster)


def only(found: dict[str, Any], check: str, severity: str = "problem") -> dict[str, Any]:
    """Return the one finding of a check and a severity; no other check has a problem."""
    problems = {row["check"] for row in found["findings"] if row["severity"] == "problem"}
    assert problems <= {check}, found
    [row] = [r for r in found["findings"] if (r["check"], r["severity"]) == (check, severity)]
    return dict(row)


def severities(found: dict[str, Any]) -> set[str]:
    return {row["severity"] for row in found["findings"]}


# -- all is well ----------------------------------------------------------------------------


def test_a_healthy_cluster(doctor: Doctor, alice: ClusterUser) -> None:
    """Every check says that it is fine, and nothing is left: no job, no folder, no mark."""
    found = doctor(code=0)
    assert severities(found) == {"ok", "note"}
    assert (found["user"], found["problems"], found["warnings"]) == ("alice", 0, 0)
    checks = {row["check"] for row in found["findings"] if row["severity"] == "ok"}
    assert {"person", "scheduler", "queues", "limits", "accounts", "privacy", "history"} <= checks
    assert {"canary", "state", "scratch", "grants", "clock", "interfaces"} <= checks
    assert "environments" in checks
    assert list((alice.shared / "state" / "doctor").iterdir()) == []
    assert [path.name for path in alice.scratch.iterdir() if "doctor" in path.name] == []


def test_words_for_a_person(doctor: Doctor) -> None:
    """Results go to stdout, each with its remedy; what goes on is said on stderr meanwhile."""
    done = doctor.cli("--site", str(doctor.site(interface="ib7")), "doctor", code=1)
    assert (
        "problem  interfaces: interface ib7 of node type compute is not there on c" in done.stdout
    )
    assert "         remedy: set it to one of lo (127.0.0.1)" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("testcluster: 1 problem, no warnings")
    assert done.stderr.splitlines()[0] == "asking slurm…"
    assert "canary compute: job " in done.stderr
    quiet = doctor.cli("--site", str(doctor.site(interface="ib7")), "--quiet", "doctor", code=1)
    assert quiet.stderr == ""
    assert len(quiet.stdout.splitlines()) == 3


# -- as somebody else -----------------------------------------------------------------------


def as_root(doctor: Doctor, *words: str, code: int, cwd: str = "/root") -> Any:
    """Run doctor as root, with nothing in the environment but the cluster and a secret."""
    environ = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/root",
        "SECRET_TOKEN": "hidden",
        **doctor.cluster.environment(),
    }
    program = str(machine.VENV / "bin" / "pangeo-hpc")
    argv = [program, "--site", str(doctor.site()), "doctor", *words]
    done = subprocess.run(
        argv, env=environ, cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done


def test_root_checks_as_a_user(doctor: Doctor, alice: ClusterUser) -> None:
    """`--as` sees what the user sees, from a folder of root's where they may not be."""
    found = json.loads(as_root(doctor, "--as", "alice", "--json", code=0).stdout)
    assert found["user"] == "alice"
    assert only(found, "person", "ok")["text"] == "checked as alice"
    assert (alice.shared / "state" / "doctor").owner() == "alice"
    bob = json.loads(as_root(doctor, "--as", "bob", "--json", code=0).stdout)
    assert "bob may charge climate (default) on slurm" in [row["text"] for row in bob["findings"]]


def test_root_alone_says_little(doctor: Doctor) -> None:
    """Checks as root tell how to make them as a user."""
    found = json.loads(as_root(doctor, "--no-jobs", "--json", code=0).stdout)
    note = only(found, "person", "note")
    assert note["remedy"] == "check as a user: pangeo-hpc doctor --as USER"


def test_who_may_check_as_whom(doctor: Doctor) -> None:
    """Only root may, and only as somebody who is there."""
    refused = doctor.cli("doctor", "--as", "bob", code=5)
    assert "only root may check as another user" in refused.stderr
    unknown = as_root(doctor, "--as", "nobody-of-that-name", code=2)
    assert "there is no user 'nobody-of-that-name'" in unknown.stderr


def test_the_other_user_has_nothing_of_roots(doctor: Doctor, bob: ClusterUser) -> None:
    """The program has bob's ids alone, a clean environment, and a session away from root's.

    A stand-in for sbatch writes down what it sees of the program that called it.
    """
    folder = doctor.cluster.directory / "telling"
    folder.mkdir(exist_ok=True)
    told = bob.shared / "told"
    teller = folder / "sbatch"
    teller.write_text(TELLING.format(told=told))
    teller.chmod(0o755)
    site = doctor.site(top=f"schedulers: {{slurm: {{bin: {folder}}}}}")
    program = str(machine.VENV / "bin" / "pangeo-hpc")
    argv = [program, "--site", str(site), "doctor", "--as", "bob", "--no-jobs"]
    environ = {"PATH": "/usr/bin:/bin", "HOME": "/root", "SECRET_TOKEN": "hidden"}
    # as at root's terminal
    ours, theirs = os.openpty()
    with subprocess.Popen(argv, env=environ, stdin=theirs, stdout=theirs, stderr=theirs) as child:
        assert child.wait(120) == 1
    assert b"problem  scheduler" in os.read(ours, 1 << 16)
    os.close(ours)
    os.close(theirs)
    said = told.read_text()
    assert f"uid={bob.uid}(bob) gid={bob.gid}(bob)" in said
    assert "0(root)" not in said
    assert "hidden" not in said
    assert f"HOME={bob.home}" in said
    assert "a session of its own" in said
    assert re.search(r"speaks to pipe:\S+ pipe:", said)


# -- the scheduler --------------------------------------------------------------------------


def test_a_controller_that_is_down(doctor: Doctor, cluster: SlurmCluster) -> None:
    """It is named with Slurm's own words, and what needs it is not checked."""
    cluster.stop_controller()
    try:
        done = doctor.cli("--site", str(doctor.site()), "doctor", "--json", code=1)
    finally:
        cluster.start_controller()
    found = json.loads(done.stdout)
    down = only(found, "scheduler")
    assert "Unable to contact slurm controller" in down["text"]
    assert "Slurm is overloaded or down" in down["remedy"]
    skipped = {row["check"] for row in found["findings"] if row["severity"] == "skipped"}
    assert {"queues", "limits", "accounts", "canary", "clock"} <= skipped


def test_commands_that_are_not_there(doctor: Doctor) -> None:
    """A wrong `bin` is one problem with one remedy."""
    found = doctor(code=1, top="schedulers: {slurm: {bin: /nowhere/at/all}}")
    missing = only(found, "scheduler")
    assert "/nowhere/at/all/sbatch: command not found" in missing["text"]
    assert "set `bin` of this scheduler" in missing["remedy"]


def test_an_old_version(doctor: Doctor, cluster: SlurmCluster) -> None:
    """Programs that say they are older than what is supported are warned of."""
    folder = cluster.directory / "old"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in ("scontrol", "squeue", "sacct", "sacctmgr", "scancel"):
        (folder / name).symlink_to(f"/usr/bin/{name}")
    (folder / "sbatch").write_text("#!/bin/sh\necho slurm 20.02.7\n")
    (folder / "sbatch").chmod(0o755)
    found = doctor("--no-jobs", code=0, top=f"schedulers: {{slurm: {{bin: {folder}}}}}")
    old = only(found, "scheduler", "warning")
    assert old["text"] == "slurm 20.02.7 is older than 21.08"
    assert "update it to 21.08 or later" in old["remedy"]


# -- queues, limits, accounts, QOS ----------------------------------------------------------


def test_a_queue_that_is_not_there(doctor: Doctor) -> None:
    """A misspelt queue has a guess; those that no node type names are a note."""
    found = doctor("--no-jobs", code=1, queue="computte")
    wrong = only(found, "queues")
    assert wrong["text"] == "slurm has no queue computte, which node type compute names"
    assert wrong["remedy"].startswith("did you mean compute? queues there: compute, short, small")
    assert wrong["path"] == "node_types.compute.queue"
    note = only(found, "queues", "note")
    assert note["text"].endswith("compute, short, small, broken, gpu")


def test_a_job_for_a_queue_that_is_not_there(doctor: Doctor) -> None:
    """The canary is refused, too, and Slurm is quoted."""
    found = doctor(code=1, queue="computte")
    [refused] = [r for r in found["findings"] if r["check"] == "canary"]
    assert "invalid partition specified: computte" in refused["text"]
    assert "correct `queue` of the node type" in refused["remedy"]


@pytest.mark.parametrize(
    ("key", "value", "limit"),
    [
        ("max_walltime", '"02:00:00"', "01:00:00"),
        ("max_cores", "9", "8"),
        ("max_memory", "8001 MiB", "8000 MiB"),
        ("max_nodes", "5", "4"),
        ("max_gpus", "3", "2"),
    ],
)
def test_limits_beyond_the_queue(doctor: Doctor, key: str, value: str, limit: str) -> None:
    """What users may ask for is more than the queue or any node of it can give."""
    found = doctor("--no-jobs", code=1, **{key: value})
    beyond = only(found, "limits")
    assert beyond["remedy"] == f"lower node_types.compute.{key} to {limit}"
    assert beyond["path"] == f"node_types.compute.{key}"


def test_limits_of_a_queue_per_node(doctor: Doctor) -> None:
    """A queue may give less of its nodes than they have."""
    found = doctor("--no-jobs", code=1, queue="small", max_nodes="1")
    beyond = only(found, "limits")
    assert beyond["text"].endswith("is 8, which is more than queue small has or allows (2)")


def test_a_feature_that_no_node_has(doctor: Doctor) -> None:
    """No node meets the constraint."""
    found = doctor("--no-jobs", code=1, constraint="icelake")
    assert only(found, "limits")["path"] == "node_types.compute.constraint"


def test_a_qos_that_is_not_there(doctor: Doctor) -> None:
    """Slurm's QOS are listed."""
    wrong = only(doctor("--no-jobs", code=1, qos="premium"), "accounts")
    assert wrong["text"] == "slurm has no QOS premium, which node type compute names"
    assert wrong["remedy"] == "correct node_types.compute.qos; QOS there: normal, high, tiny"


def test_a_qos_that_gives_less_time(doctor: Doctor) -> None:
    """The limit of a QOS counts as that of a queue."""
    wrong = only(doctor("--no-jobs", code=1, qos="tiny"), "accounts")
    assert wrong["text"] == "00:10:00 is more than QOS tiny allows (00:01:00)"
    assert wrong["remedy"] == "lower node_types.compute.walltime to 00:01:00"


def test_a_qos_of_others(doctor: Doctor, cluster: SlurmCluster) -> None:
    """It is there, but not for alice."""
    cluster.admin(["sacctmgr", "-i", "add", "qos", "secret"])
    try:
        wrong = only(doctor("--no-jobs", code=1, qos="secret"), "accounts")
    finally:
        cluster.admin(["sacctmgr", "-i", "delete", "qos", "secret"])
    assert wrong["text"] == "alice may not use QOS secret of node type compute"
    assert "they may use: high, normal, tiny" in wrong["remedy"]


@pytest.mark.parametrize("fixed", [True, False])
def test_an_account_that_is_not_hers(doctor: Doctor, fixed: bool) -> None:
    """Whether the site or the user names it, hers are listed."""
    given = {"account": "lab7"} if fixed else {}
    environ = {} if fixed else {"PANGEO_HPC_ACCOUNT": "lab7"}
    wrong = only(doctor("--no-jobs", code=1, environ=environ, **given), "accounts")
    assert wrong["text"] == "alice may not charge lab7 on slurm"
    assert wrong["remedy"] == "accounts of alice: climate, ocean"
    assert wrong["path"] == ("node_types.compute.account" if fixed else "defaults.account")


# -- what the scheduler shows and keeps -----------------------------------------------------


def test_private_jobs(doctor: Doctor, cluster: SlurmCluster) -> None:
    """With PrivateData a hub's user needs a right; what the remedy says, gives it."""
    hub = "hub: {url: 'https://h.example', connect_url: 'http://h.example', service_user: bob}"
    with cluster.configured("PrivateData=jobs"):
        found = doctor("--no-jobs", code=0)
        note = only(found, "privacy", "note")
        assert note["text"].startswith("alice sees only their own jobs on slurm")
        wrong = only(doctor("--no-jobs", code=1, top=hub), "privacy")
        assert wrong["text"] == "the hub's user bob does not see other users' jobs on slurm"
        assert wrong["remedy"] == "sacctmgr modify user bob set adminlevel=operator"
        program, *words = wrong["remedy"].split()
        cluster.admin([program, "-i", *words])
        try:
            doctor("--no-jobs", code=0, top=hub)
        finally:
            cluster.admin([program, "-i", *words[:-1], "adminlevel=none"])


def test_no_history(hard_doctor: Doctor) -> None:
    """Without slurmdbd ended jobs are forgotten: a warning, since our own jobs keep their end."""
    found = hard_doctor("--no-jobs", code=0)
    off = only(found, "history", "warning")
    assert "AccountingStorageType=accounting_storage/slurmdbd" in off["remedy"]


def test_a_history_that_does_not_answer(doctor: Doctor, cluster: SlurmCluster) -> None:
    """slurmdbd is configured and down: history and accounts are problems."""
    cluster.stop_database()
    try:
        found = doctor("--no-jobs", code=1)
    finally:
        cluster.start_database()
    rows = {row["check"]: row for row in found["findings"] if row["severity"] == "problem"}
    assert set(rows) == {"history", "scheduler"}
    assert rows["history"]["remedy"].startswith("start slurmdbd")
    assert "its accounts cannot be asked" in rows["scheduler"]["text"]


# -- canaries -------------------------------------------------------------------------------


def test_nodes_that_are_down(doctor: Doctor) -> None:
    """A job that can never start is given up soon, with the queue's reason, and cancelled."""
    found = doctor(code=1, queue="broken", max_nodes="1")
    waits = only(found, "canary")
    assert "every node of it is down (broken on purpose)" in waits["text"]
    assert waits["remedy"].startswith("bring a node back")


def test_a_full_cluster_is_no_problem(doctor: Doctor, bob: ClusterUser) -> None:
    """A job that waits because all is in use is a warning with the reason, and is cancelled."""
    words = ["sbatch", "--parsable", "-N4", "--exclusive", "--time=5", "--output=/dev/null"]
    job = bob.run([*words, "--wrap=sleep 300"]).stdout.strip()
    queued = partial(bob.run, ["squeue", "-h", "-j", job, "-o%T"])
    try:
        until(lambda: "RUNNING" in queued().stdout)
        found = doctor("--timeout", "4 seconds", code=0)
    finally:
        bob.run(["scancel", job])
        # the next test needs free nodes
        until(lambda: not queued(check=False).stdout)
    waits = only(found, "canary", "warning")
    assert "did not start within 4 s" in waits["text"]
    assert waits["text"].endswith((": Resources", ": Priority"))
    assert "--timeout" in waits["remedy"]


def test_a_reason_that_is_no_full_cluster(doctor: Doctor) -> None:
    """A job that waits though nodes are free is a problem: somebody has to do something."""
    found = doctor("--timeout", "4 seconds", code=1, directives='["--begin=now+600"]')
    waits = only(found, "canary")
    assert waits["text"].endswith("though nodes are free: BeginTime")


def test_a_setup_that_fails(doctor: Doctor) -> None:
    """The job's last words are quoted, and its output stays for a look."""
    found = doctor(code=1, setup='["echo no compiler here; exit 9"]')
    ended = only(found, "canary")
    assert "(failed, exit code 9); it said: no compiler here" in ended["text"]
    output = Path(ended["remedy"].partition(": ")[2].partition(",")[0])
    assert output.read_text() == "no compiler here\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("by_root", [False, True])
def test_interrupted(doctor: Doctor, alice: ClusterUser, number: int, by_root: bool) -> None:
    """Whatever ends doctor early, its jobs leave the queue first."""
    site = str(doctor.site(directives='["--begin=now+600"]'))
    before = list((alice.shared / "state").glob("doctor/*"))
    program = str(machine.VENV / "bin" / "pangeo-hpc")
    argv = [program, "--site", site, "doctor"]
    if by_root:
        environ = {"PATH": "/usr/bin:/bin", "HOME": "/root", **doctor.cluster.environment()}
        child = subprocess.Popen(
            [*argv, "--as", "alice"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    else:
        child = alice.popen(argv)  # type: ignore[assignment]
    with child:
        queue = ["squeue", "--noheader", "--format=%j"]
        until(lambda: "doctor-" in alice.run(queue).stdout)
        child.send_signal(number)
        _, said = child.communicate(timeout=120)
    assert child.returncode == 130, said
    assert doctor.queue() == ""
    assert list((alice.shared / "state").glob("doctor/*")) == before


# -- what a job sees on its node ------------------------------------------------------------


def test_user_state_that_nodes_do_not_see(hard_doctor: Doctor) -> None:
    """A job that leaves nothing in user_state did not see it."""
    found = hard_doctor(code=1, state="~/.local/state/doctor-test")
    unseen = only(found, "state")
    assert "its node does not see user_state (~/.local/state/doctor-test)" in unseen["text"]
    assert unseen["remedy"] == "set user_state to a folder on a filesystem that compute nodes see"
    assert unseen["path"] == "user_state"


def test_user_state_that_is_not_hers(doctor: Doctor, bob: ClusterUser) -> None:
    """A folder that alice may not write is told before any job."""
    found = doctor(code=1, state=f"{bob.home}/{{user}}")
    refused = only(found, "state")
    assert "Permission denied" in refused["text"]
    assert refused["path"] == "user_state"


def test_scratch_that_is_not_there(doctor: Doctor) -> None:
    """Whom it would belong to is in the remedy."""
    wrong = only(doctor("--no-jobs", code=1, scratch="/srv/nowhere/{user}"), "scratch")
    assert "/srv/nowhere/alice cannot be used: it does not exist" in wrong["text"]
    assert "install -d -m 700 -o alice -g alice /srv/nowhere/alice" in wrong["remedy"]
    assert wrong["path"] == "scratch.scratch.path"


def test_scratch_that_cannot_be_written(doctor: Doctor, cluster: SlurmCluster) -> None:
    """A folder of root's is not scratch of hers."""
    top = cluster.directory / "roots"
    (top / "alice").mkdir(parents=True, exist_ok=True)
    wrong = only(doctor("--no-jobs", code=1, scratch=f"{top}/{{user}}"), "scratch")
    assert f"{top}/alice cannot be written by alice: Permission denied" in wrong["text"]
    assert wrong["remedy"].startswith("check its owner")


def test_scratch_that_nodes_do_not_see(hard_doctor: Doctor, hard_alice: ClusterUser) -> None:
    """It is fine here and not there: on the nodes /home is empty."""
    folder = hard_alice.home / "scratch-of-doctor"
    hard_alice.run(["mkdir", "-p", str(folder)])
    try:
        scratch = "/home/{user}/scratch-of-doctor"
        wrong = only(hard_doctor(code=1, scratch=scratch), "scratch")
    finally:
        folder.rmdir()
    assert f"{folder} cannot be written on c" in wrong["text"]
    assert wrong["remedy"].startswith("mount it there")


def test_scratch_that_is_another_one_on_the_node(doctor: Doctor, alice: ClusterUser) -> None:
    """A local disk of the same name can be written on both sides, and is still wrong."""
    local = doctor.cluster.local_disk
    alice.run(["mkdir", "-p", str(local / "alice")])
    wrong = only(doctor(code=1, scratch=f"{local}/{{user}}"), "scratch")
    assert "is another directory than here" in wrong["text"]
    assert wrong["remedy"] == "use a filesystem that login host and nodes share"


def test_less_memory_than_was_asked_for(doctor: Doctor) -> None:
    """A line of the site takes away what the node type promises."""
    wrong = only(doctor(code=1, directives='["--mem=600M"]'), "grants")
    assert "asked for 1.5 GiB of memory and may use 600 MiB" in wrong["text"]
    assert wrong["path"] == "node_types.compute.memory"


@pytest.mark.parametrize(("shift", "words"), [("+120s", "ahead of"), ("-120s", "behind")])
def test_a_clock_that_is_wrong(doctor: Doctor, shift: str, words: str) -> None:
    """Two minutes on a node are seen on the login host.

    Namespaces shift no wall clock, and the machine's own is everybody's, so that libfaketime
    answers the job's questions for the time.
    """
    lines = [f"export LD_PRELOAD={FAKETIME}", f"export FAKETIME={shift}"]
    wrong = only(doctor(code=1, setup=json.dumps(lines)), "clock")
    assert f" {words} this host's" in wrong["text"]
    assert "minute" in wrong["text"]
    assert "chrony" in wrong["remedy"]


def test_an_interface_that_is_not_there(doctor: Doctor) -> None:
    """Those that are there are listed with their addresses."""
    wrong = only(doctor(code=1, interface="ib7"), "interfaces")
    assert wrong["text"].startswith("interface ib7 of node type compute is not there on c")
    assert "lo (127.0.0.1)" in wrong["remedy"]
    assert wrong["path"] == "node_types.compute.interface"


# -- environments ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prefixes(cluster: SlurmCluster, venv: Path) -> Iterator[dict[str, Path]]:
    """Return environments that lack something: all of it, or Dask."""
    made = {name: cluster.directory / f"env-{name}" for name in ("bare", "undasked")}
    for path in made.values():
        argv = ["/usr/bin/python3", "-m", "venv", "--without-pip", str(path)]
        subprocess.run(argv, check=True, timeout=300)
    packages = next(made["undasked"].glob("lib/python3*/site-packages"))
    theirs = next(venv.glob("lib/python3*/site-packages"))
    (packages / "others.pth").write_text(f"{theirs}\nimport sys; sys.modules['dask'] = None\n")
    yield made
    for path in made.values():
        shutil.rmtree(path)


@pytest.mark.parametrize("default", [True, False])
def test_an_environment_without_this_package(
    doctor: Doctor, prefixes: dict[str, Path], venv: Path, default: bool
) -> None:
    """It is named with its remedy, whether the job itself needs it or it is one of many."""
    good = f"  good: {{prefix: {venv}, default: {str(not default).lower()}}}"
    bare = f"  bare: {{prefix: {prefixes['bare']}, default: {str(default).lower()}}}"
    found = doctor(code=1, top=f"environments:\n{good}\n{bare}")
    wrong = only(found, "environments")
    assert "environment bare: " in wrong["text"]
    assert "cannot import pangeo_hpc" in wrong["text"]
    assert "pip install 'pangeo-hpc[workflow]==" in wrong["remedy"]
    assert wrong["path"] == "environments.bare"


def test_an_environment_without_dask(doctor: Doctor, prefixes: dict[str, Path]) -> None:
    """What Dask workers need is imported for real."""
    found = doctor(code=1, top=f"environments: {{undasked: {{prefix: {prefixes['undasked']}}}}}")
    rows = [row for row in found["findings"] if row["severity"] == "problem"]
    assert {row["check"] for row in rows} == {"environments"}
    [wrong] = [row for row in rows if "dask cannot be imported" in row["text"]]
    assert "which Dask workers need" in wrong["text"]
    assert "pip install 'pangeo-hpc[workflow]==" in wrong["remedy"]


def test_an_environment_that_nodes_do_not_see(hard_doctor: Doctor, hard_alice: ClusterUser) -> None:
    """A prefix in a home is fine here and not there."""
    prefix = hard_alice.home / "doctor-env"
    hard_alice.run(["ln", "-sfn", str(machine.VENV), str(prefix)])
    try:
        found = hard_doctor(code=1, top=f"environments: {{own: {{prefix: {prefix}}}}}")
    finally:
        prefix.unlink()
    wrong = only(found, "environments")
    assert f"{prefix}/bin/python is not there on c" in wrong["text"]
    assert wrong["remedy"].startswith("put it on a filesystem that compute nodes see")


def test_an_environment_whose_module_is_missing(doctor: Doctor, venv: Path) -> None:
    """The module system's words, and where to correct it."""
    environments = (
        f"environments:\n  good: {{prefix: {venv}, default: true}}\n"
        f"  late: {{prefix: {venv}, modules: [netcdf/99]}}"
    )
    wrong = only(doctor(code=1, top=environments), "environments")
    assert "netcdf/99" in wrong["text"]
    assert wrong["remedy"].startswith("correct the modules of this environment")


def test_an_environment_that_was_not_built(doctor: Doctor, tmp_path: Path) -> None:
    """A spec alone is no environment."""
    spec = tmp_path / "spec.yml"
    spec.write_text("name: x\n")
    os.chmod(tmp_path, 0o755)
    found = doctor(code=1, top=f"environments: {{later: {{spec: {spec}, root: /opt/nowhere}}}}")
    wrong = only(found, "environments")
    assert wrong["text"] == "environment later has a spec but is not built"
    assert wrong["path"] == "environments.later"
