"""Record what a real Slurm answers, into slurm/*.txt beside this file.

As root on a machine that can run tests/cluster (15 minutes for all cases):

    PYTHONPATH=. python tests/recordings/record_slurm.py [CASE…]

Every question is asked by `pangeo_hpc.schedulers.slurm` itself, as alice, with the environment it
gets in life. Paths, ports and names of this machine are replaced. slurm/README.md says what a
transcript looks like; `pangeo_hpc.testing.transcripts` reads it.
"""

import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.run import Command, Result, converse, minimal_environment
from pangeo_hpc.schedulers.base import AllocationFacts, JobRequest, SchedulerOptions
from pangeo_hpc.schedulers.slurm import Slurm
from pangeo_hpc.units import MIB
from tests.cluster.config import ClusterConfig
from tests.cluster.slurm import SlurmCluster

HERE = Path(__file__).with_name("slurm")
SLURM = Slurm(SchedulerOptions())
JOB = JobRequest(
    name="job-x7k2",
    command=("sleep", "300"),
    cores=1,
    memory=200 * MIB,
    walltime=timedelta(minutes=5),
    output=Path("/dev/null"),
)
MINUTE = timedelta(minutes=1)
EAT = "python3 -c 'x = bytearray(300_000_000); import time; time.sleep(20)'"


@dataclass
class Case:
    """One transcript in the making."""

    name: str
    about: str
    cluster: SlurmCluster
    user: str = "alice"
    steps: list[str] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)

    def __call__(self, command: Command) -> Result:
        """Run one command as the user and note it."""
        return self.run(command, "")

    def run(self, command: Command, note: str) -> Result:
        """Run one command as the user and write down what it answered."""
        person = self.cluster.user(self.user)
        environ = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(person.home),
            **self.cluster.environment(),
        }
        done = subprocess.run(
            command.argv,
            env=minimal_environment(command.environment, environ),
            cwd=person.home,
            user=person.uid,
            group=person.gid,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        result = Result(
            command.argv, done.returncode, self._neutral(done.stdout), self._neutral(done.stderr)
        )
        self._write(result, note)
        return result

    def ask(self, conversation: Any, note: str = "") -> Any:
        """Carry out one conversation; an error is an answer too."""
        try:
            return converse(conversation, lambda command: self.run(command, note))
        except PangeoHpcError as error:
            return error

    def submit(self, label: str, body: str = "sleep 300", *more: str, **changes: Any) -> str:
        """Submit a job through `Slurm` and return its id; more are directives."""
        request = replace(JOB, name=f"{label}-x7k2", directives=more, **changes)
        script = self.cluster.user(self.user).home / "job.sh"
        header = SLURM.directives(request)
        script.write_text("\n".join(["#!/bin/bash", *header, body]) + "\n")
        answer = self.ask(SLURM.submit(script, request), label)
        self.ids[label] = str(answer)
        return str(answer)

    def status(self, *labels: str) -> Any:
        """Ask the queue about jobs by the labels they were submitted under; none is all."""
        return self.ask(SLURM.status([self.ids[label] for label in labels or self.ids]))

    def history(self, *labels: str) -> Any:
        """Ask for the history of jobs; none is all."""
        return self.ask(SLURM.history([self.ids[label] for label in labels or self.ids]))

    def wait(self, wanted: Collection[str], *labels: str, seconds: float = 60) -> None:
        """Wait, unrecorded, until each of the jobs is in one of the states."""
        ids = [self.ids[label] for label in labels or self.ids]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            argv = ["squeue", "-h", "-r", "-t", "all", "-j", ",".join([*ids, *ids]), "-o", "%T"]
            words = set(self.cluster.admin(argv).split())
            if words <= set(wanted):
                return
            time.sleep(0.2)
        raise TimeoutError(f"{self.name}: {words} instead of {wanted}")

    def end(self) -> None:
        """Take this case's jobs away, unrecorded, and save the transcript."""
        self.cluster.admin(["scancel", "--user=alice"])
        self.cluster.admin(["scancel", "--user=bob"])
        deadline = time.monotonic() + 30
        while self.cluster.admin(["squeue", "-h"]) and time.monotonic() < deadline:
            time.sleep(0.2)
        version = self.cluster.admin(["sbatch", "--version"]).strip()
        head = f"#### case {self.name}\n# {self.about}\n# recorded from {version}\n"
        path = HERE / f"{self.name}.txt"
        path.write_text("\n".join([head, *self.steps]))
        for home in (self.cluster.user(name).home for name in ("alice", "bob")):
            for made in (home / "job.sh", home / "steps", *home.glob("*.env")):
                made.unlink(missing_ok=True)

    def _write(self, result: Result, note: str) -> None:
        streams = ""
        for name, text in (("stdout", result.stdout), ("stderr", result.stderr)):
            end = "" if text.endswith("\n") or not text else "\n"
            streams += f"{name}: {len(text.encode())} bytes\n{text}{end}"
        lines = [f"#### step {len(self.steps) + 1}", "host: login", f"user: {self.user}"]
        lines += [f"command: {shlex.join(result.argv)}", *([f"note: {note}"] if note else [])]
        self.steps.append("\n".join([*lines, f"exit: {result.returncode}", streams]))

    def _neutral(self, text: str) -> str:
        """Replace what belongs to this machine."""
        host = socket.gethostname().partition(".")[0]
        for pattern, neutral in (
            (re.escape(str(self.cluster.directory)), "/srv/slurm"),
            (rf"\b{re.escape(host)}\b", "login"),
            (r"OS=Linux \S+ .*?(?=  RealMemory)", "OS=Linux 6.1.0-28-amd64 #1 SMP Debian "),
            (r"(?<= Port=)\d+", "6818"),
            (r"(?<=127\.0\.0\.1:)\d+", "6817"),
            (r"(?<=FreeMem=)\d+", "7000"),
            (r"(?<=CPULoad=)[\d.]+", "0.50"),
            (r"(?<=Sid=localhost:)\d+", "4202"),
        ):
            text = re.sub(pattern, neutral, text)
        return text


CASES: dict[str, tuple[str, Callable[[Case], None]]] = {}


def case(name: str, about: str) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    """Enter a function as the recipe of a transcript."""

    def enter(recipe: Callable[[Case], None]) -> Callable[[Case], None]:
        CASES[name] = (about, recipe)
        return recipe

    return enter


@case("10-cluster", "versions, partitions, accounts; nodes of which one is down")
def _cluster(it: Case) -> None:
    it.ask(SLURM.version())
    it.ask(SLURM.nodes())
    it.ask(SLURM.queues())
    it.ask(SLURM.accounts("alice"), "alice")
    it.ask(SLURM.accounts("nobody"), "nobody")
    it.run(Command(("scontrol", "show", "config"), environment={"SLURM_TIME_FORMAT": "%s"}), "")
    it.run(Command(("sinfo", "-s")), "")


@case("11-nodes-busy", "nodes that are full, partly used, draining, with GPUs in use, features")
def _nodes_busy(it: Case) -> None:
    admin = it.cluster.admin
    it.submit("full", "sleep 300", "-w c2", cores=8)
    it.submit("part", "sleep 300", "-w c1", cores=3)
    it.submit("gpu", queue="gpu", gpus=1)
    admin(["scontrol", "update", "nodename=c3", "state=drain", "reason=new disk, ask=ops"])
    features = ["availablefeatures=big,fast", "activefeatures=big,fast"]
    admin(["scontrol", "update", "nodename=c4", *features])
    try:
        it.wait(["RUNNING"])
        it.ask(SLURM.nodes())
        admin(["scontrol", "update", "partitionname=short", "state=down"])
        admin(["scontrol", "update", "partitionname=small", "state=drain"])
        it.ask(SLURM.queues())
    finally:
        admin(["scontrol", "update", "partitionname=short", "state=up"])
        admin(["scontrol", "update", "partitionname=small", "state=up"])
        admin(["scontrol", "update", "nodename=c3", "state=resume"])
        admin(["scontrol", "update", "nodename=c4", "activefeatures=", "availablefeatures="])


@case("20-states", "jobs that have not ended: every state that can be had")
def _states(it: Case) -> None:
    it.submit("running", nodes=2)
    it.submit("held", "sleep 1", "--hold")
    it.submit("held-by-admin", "sleep 1", "--begin=now+1hour")
    it.submit("dependency", after=(it.ids["running"],))
    it.submit("fails", "exit 3")
    it.submit("never", after=(it.ids["fails"],))
    it.submit("begin", "sleep 1", "--begin=now+1hour")
    it.submit("suspended")
    it.submit("requeued", requeue=True)
    it.submit("requeue-hold", requeue=True)
    it.submit("too-long", queue="short", walltime=timedelta(minutes=30))
    it.submit("down", queue="broken")
    it.submit("big", cores=8, nodes=4)
    it.wait(["RUNNING"], "running", "suspended", "requeued", "requeue-hold")
    admin = it.cluster.admin
    admin(["scontrol", "hold", it.ids["held-by-admin"]])
    admin(["scontrol", "suspend", it.ids["suspended"]])
    admin(["scontrol", "requeue", it.ids["requeued"]])
    admin(["scontrol", "requeuehold", it.ids["requeue-hold"]])
    time.sleep(12)
    it.status()
    it.history("running", "held", "dependency", "suspended", "fails")
    it.ask(SLURM.estimate(it.cluster.user("alice").home / "job.sh", JOB))
    it.ask(SLURM.ends(it.ids["running"]))
    it.ask(SLURM.ends("99999"))
    admin(["scontrol", "resume", it.ids["suspended"]])


@case("21-unknown-ids", "ids that Slurm does not know, alone and among others")
def _unknown(it: Case) -> None:
    it.submit("running")
    it.wait(["RUNNING"])
    known = it.ids["running"]
    it.ask(SLURM.status(["99999"]))
    it.ask(SLURM.status(["99998", "99999"]))
    it.ask(SLURM.status(["99999", known]))
    it.ask(SLURM.status([f"{known}_7"]))
    it.ask(SLURM.history(["99999"]))
    it.ask(SLURM.cancel(["99999"]))
    it.ask(SLURM.cancel(["99999", known, f"{known}_7"]))
    it.wait(["CANCELLED"], "running")
    it.ask(SLURM.cancel([known]))
    it.user = "bob"
    it.submit("bobs")
    it.user = "alice"
    it.ask(SLURM.cancel([it.ids["bobs"], "99999"]), "not ours")
    it.submit("array", "sleep 300", "--hold", array=3)
    it.user = "bob"
    it.ask(SLURM.cancel([f"{it.ids['array']}_1"]), "not ours")


@case("22-arrays", "arrays: elements pending, running, ended, cancelled before they began")
def _arrays(it: Case) -> None:
    body = "[ $SLURM_ARRAY_TASK_ID -lt 2 ] && exit $SLURM_ARRAY_TASK_ID; sleep 300"
    it.submit("array", body, array=12, cores=8)
    it.submit("throttled", "sleep 300", "--array=0-9:3%1", "--begin=now+1hour", array=1)
    number = it.ids["array"]
    time.sleep(8)
    it.status("array")
    it.ask(SLURM.status([f"{number}_9"]))
    it.ask(SLURM.status([f"{number}_3", f"{number}_0", it.ids["throttled"]]))
    it.ask(SLURM.history([number]))
    it.ask(SLURM.history([f"{number}_1", f"{number}_8"]))
    it.ask(SLURM.cancel([f"{number}_9", f"{number}_2"]))
    time.sleep(7)
    it.ask(SLURM.cancel([number]))
    time.sleep(9)
    it.status("array")
    it.history("array")
    it.history("throttled")


@case("30-endings", "how jobs end: exit codes, signals, walltime, memory, cancelled")
def _endings(it: Case) -> None:
    short = {"walltime": timedelta(seconds=5)}
    it.submit("done", "exit 0")
    it.submit("memory-used", "python3 -c 'x = bytearray(100_000_000); import time; time.sleep(6)'")
    it.submit("exit-3", "exit 3")
    it.submit("exit-137", "exit 137")
    it.submit("killed", "kill -9 $$")
    it.submit("child-killed", "sh -c 'kill -11 $$'; exit $?")
    it.submit("memory", EAT, memory=80 * MIB)
    it.submit("memory-in-child", f"{EAT}; exit 0", memory=80 * MIB)
    it.submit("memory-in-step", f"srun --overlap {EAT}; exit 7", memory=80 * MIB)
    it.submit("step-failed", "srun --overlap sh -c 'exit 5'; exit 0")
    it.submit("walltime", "sleep 300", **short)
    it.submit("walltime-caught", "trap 'exit 0' TERM; while :; do sleep 1; done", **short)
    it.submit("cancelled")
    it.submit("cancelled-by-admin")
    it.submit("cancelled-pending", "sleep 1", "--hold")
    it.submit("deadline", "sleep 1", "--deadline=now+70", "--begin=now+40", "--time=00:01:00")
    it.submit("no-folder", "exit 0", output=Path("/nowhere/at/all"))
    it.wait(["RUNNING"], "cancelled", "cancelled-by-admin")
    it.ask(SLURM.cancel([it.ids["cancelled"], it.ids["cancelled-pending"]]))
    it.cluster.admin(["scancel", it.ids["cancelled-by-admin"]])
    # In time for slurmctld to remember all of them: it forgets after a minute.
    time.sleep(47)
    it.status()
    it.history()
    it.wait(["TIMEOUT"], "walltime", seconds=100)
    time.sleep(8)
    it.history("walltime", "walltime-caught", "done")


@case("31-node-failure", "a node dies under a job; requeued jobs that run again")
def _node_failure(it: Case) -> None:
    it.submit("lost", "sleep 300", "-w c3")
    it.submit("moved", "sleep 300", "-w c3", requeue=True)
    it.submit("twice", '[ -n "$SLURM_RESTART_COUNT" ] && exit 4; sleep 300', "-w c1", requeue=True)
    it.wait(["RUNNING"])
    it.cluster.kill_node("c3")
    it.cluster.mark_down("c3", "died on purpose")
    it.cluster.admin(["scontrol", "requeue", it.ids["twice"]])
    time.sleep(5)
    it.status()
    it.history()
    it.ask(SLURM.nodes())
    # Slurm lets a requeued job wait for two minutes.
    it.wait(["FAILED"], "twice", seconds=200)
    time.sleep(7)
    it.status("twice")
    it.history()
    it.cluster.start_node("c3")


@case("32-preempted", "a job that one of a better partition pushed out")
def _preempted(it: Case) -> None:
    preempt = "PreemptType=preempt/partition_prio\nPreemptMode=CANCEL"
    with it.cluster.configured(preempt):
        it.submit("victim", "sleep 300", "-w c2", cores=8)
        it.wait(["RUNNING"])
        it.cluster.admin(["scontrol", "update", "partitionname=short", "prioritytier=9"])
        it.submit("better", "sleep 2", "-w c2", queue="short", walltime=MINUTE, cores=8)
        it.wait(["RUNNING", "COMPLETED"], "better")
        time.sleep(6)
        it.status("victim")
        it.history("victim")


@case("40-refusals", "submissions that sbatch refuses at once")
def _refusals(it: Case) -> None:
    it.submit("queue", queue="nowhere")
    it.submit("account", account="nobody")
    it.submit("qos", qos="nothing")
    it.submit("cores", cores=99)
    it.submit("memory", memory=99999 * MIB)
    it.submit("nodes", nodes=99)
    it.submit("feature", constraint="nothing")
    it.submit("gpus", gpus=9)
    it.submit("gpu-type", gpus=1, gpu_type="a100")
    it.submit("array", array=9_999_999)
    it.submit("dependency", after=("99999_x",))
    it.submit("old-dependency", "exit 0", after=("99999",))
    it.submit("reservation", "exit 0", "--reservation=nothing")
    it.submit("license", "exit 0", "--licenses=nothing")
    it.submit("host", "exit 0", "--nodelist=c99")
    it.submit("option", "exit 0", "--nothing")
    it.submit("value", "exit 0", "--time=soon")
    it.submit("word", "exit 0", "word")
    it.submit("walltime", walltime=timedelta(days=400))
    for number in range(4):
        it.submit(f"tiny-{number}", qos="tiny", walltime=timedelta(minutes=1))
    it.submit("tiny-long", qos="tiny", walltime=timedelta(minutes=2))
    it.ask(SLURM.submit(Path("/nowhere/job.sh"), JOB), "no-script")
    it.ask(SLURM.estimate(it.cluster.user("alice").home / "job.sh", JOB), "estimate")
    it.cluster.admin(["scontrol", "update", "partitionname=small", "state=drain"])
    it.submit("drained", queue="small")
    it.cluster.admin(["scontrol", "update", "partitionname=small", "state=up"])


@case("41-enforced-limits", "the same where EnforcePartLimits=ALL: limits of queues are told")
def _enforced(it: Case) -> None:
    with it.cluster.configured("EnforcePartLimits=ALL"):
        it.submit("walltime", queue="short", walltime=timedelta(hours=1))
        it.submit("cores", cores=99)
        it.submit("nodes", nodes=9)
        it.submit("small", queue="small", cores=4)
        it.submit("down", queue="broken")


@case("50-find", "a job is found by its name: in the queue, ended, and only in history")
def _find(it: Case) -> None:
    it.submit("ended", "exit 0")
    it.submit("found")
    it.submit("many", array=3)
    it.wait(["COMPLETED"], "ended")
    for name in ("found-x7k2", "many-x7k2", "ended-x7k2", "FOUND-x7k2", "other-x7k2"):
        it.ask(SLURM.find(name, "alice"), name)
    it.ask(SLURM.find("found-x7k2", "bob"), "of bob")
    it.ask(SLURM.find("found-x7k2", "nosuchuser"), "of nobody")
    # It forgets an ended job after MinJobAge, when it gets round to it.
    while "ended-x7k2" in it.cluster.admin(["squeue", "-h", "-t", "all", "-o", "%j"]):
        time.sleep(2)
    it.ask(SLURM.find("ended-x7k2", "alice"), "only in history")
    it.ask(SLURM.find("Ended-x7k2", "alice"), "another name")
    it.status("ended")
    it.history("ended")


@case("70-controller-down", "slurmctld is not there")
def _down(it: Case) -> None:
    it.submit("running")
    it.wait(["RUNNING"])
    it.cluster.stop_controller()
    try:
        it.status("running")
        it.submit("lost")
        it.ask(SLURM.cancel([it.ids["running"]]))
        it.ask(SLURM.find("lost-x7k2", "alice"))
        it.ask(SLURM.nodes())
        it.ask(SLURM.queues())
        it.ask(SLURM.estimate(it.cluster.user("alice").home / "job.sh", JOB))
        it.ask(SLURM.ends(it.ids["running"]))
        it.history("running")
        it.ask(SLURM.version())
    finally:
        it.cluster.start_controller()


@case("71-controller-hangs", "slurmctld does not answer, takes the job and says so to nobody")
def _hangs(it: Case) -> None:
    it.submit("running")
    it.wait(["RUNNING"])
    controller = it.cluster.daemons["slurmctld"].process
    controller.send(signal.SIGSTOP)
    try:
        it.status("running")
        it.submit("unclear")
        it.ask(SLURM.cancel([it.ids["running"]]))
    finally:
        controller.send(signal.SIGCONT)
    time.sleep(5)
    it.ask(SLURM.find("unclear-x7k2", "alice"))


@case("72-slurmdbd-down", "slurmdbd is not there: jobs run, history and accounts fail")
def _no_database(it: Case) -> None:
    it.submit("ended", "exit 3")
    it.submit("running")
    it.wait(["FAILED"], "ended")
    it.cluster.stop_database()
    try:
        it.history("ended", "running")
        it.ask(SLURM.history([it.ids["ended"], "99999"]))
        it.ask(SLURM.find("other-x7k2", "alice"))
        it.ask(SLURM.accounts("alice"))
    finally:
        it.cluster.start_database()
        time.sleep(3)


@case("73-settings", "what Slurm shows and keeps: open, private to users, operators, no slurmdbd")
def _settings(it: Case) -> None:
    it.ask(SLURM.settings("alice"), "open")
    with it.cluster.configured("PrivateData=jobs,usage"):
        it.ask(SLURM.settings("alice"), "private")
        it.cluster.admin(
            ["sacctmgr", "-i", "modify", "user", "alice", "set", "adminlevel=operator"]
        )
        try:
            it.ask(SLURM.settings("alice"), "operator")
        finally:
            it.cluster.admin(
                ["sacctmgr", "-i", "modify", "user", "alice", "set", "adminlevel=none"]
            )
    it.cluster.stop_database()
    try:
        it.ask(SLURM.settings("alice"), "slurmdbd is away")
    finally:
        it.cluster.start_database()
        time.sleep(3)


@case("80-inside-a-job", "the environment of jobs, and their steps")
def _inside(it: Case) -> None:
    home = it.cluster.user("alice").home
    env = "env | grep ^SLURM | sort"
    for label, changes in (
        ("one", {"cores": 3}),
        ("per-cpu", {"cores": 2, "memory": None}),
        ("two-nodes", {"nodes": 2, "cores": 2}),
        ("array", {"array": 2}),
        ("gpu", {"queue": "gpu", "gpus": 2}),
        ("again", {"requeue": True}),
    ):
        task = "-$SLURM_ARRAY_TASK_ID" if "array" in changes else ""
        it.submit(label, f"{env} > {home}/{label}{task}.env; sleep 5", **changes)
    facts = AllocationFacts(job_id="", nodes=("c1", "c2"))
    tell = ("sh", "-c", 'sleep 2; echo "$SLURMD_NODENAME $SLURM_CPUS_ON_NODE $0"')
    first, second = (
        shlex.join(SLURM.step((*tell, name), facts, cores=cores, memory=300 * MIB))
        for name, cores in (("first", 3), ("second", 4))
    )
    both = f"{first} >> steps & {second} >> steps; wait"
    body = f"cd {home}; date +%s > steps; {both}; date +%s >> steps"
    it.submit("steps", body, nodes=2, cores=4, memory=600 * MIB)
    it.wait(["RUNNING", "COMPLETED"])
    it.cluster.admin(["scontrol", "requeue", it.ids["again"]])
    it.wait(["COMPLETED"], "again", seconds=200)
    for label in ("one", "per-cpu", "two-nodes", "array-0", "array-1", "gpu", "again"):
        it.run(Command(("cat", f"{label}.env")), "")
    it.run(Command(("cat", "steps")), "start, two steps at once of two seconds, end")


@case("90-no-slurmdbd", "a Slurm without accounting: history from slurmctld while it remembers")
def _without(it: Case) -> None:
    it.submit("exit-3", "exit 3")
    it.submit("exit-137", "exit 137")
    it.submit("killed", "kill -9 $$")
    it.submit("memory", EAT, memory=80 * MIB)
    it.submit("done", "exit 0")
    it.submit("running", account="anything")
    it.submit("array", "exit $SLURM_ARRAY_TASK_ID", array=3)
    it.submit("cancelled", "sleep 1", "--hold")
    it.ask(SLURM.cancel([it.ids["cancelled"]]))
    it.wait(["RUNNING"], "running")
    it.wait(["COMPLETED", "FAILED"], "array")
    time.sleep(2)
    it.status()
    it.history()
    it.ask(SLURM.history(["99999"]))
    it.ask(SLURM.find("exit-3-x7k2", "alice"))
    it.ask(SLURM.find("other-x7k2", "alice"))
    it.ask(SLURM.accounts("alice"))
    clusters = Slurm(SchedulerOptions(cluster="pangeo"))
    it.ask(clusters.status([it.ids["running"]]), "a cluster is named")


@case("91-no-slurmdbd-settings", "what a Slurm without accounting shows and keeps")
def _settings_without(it: Case) -> None:
    it.ask(SLURM.settings("alice"), "without")


@case("60-named-cluster", "a cluster is named: every command is given --clusters")
def _named(it: Case) -> None:
    named = Slurm(SchedulerOptions(cluster="pangeo"))
    script = it.cluster.user("alice").home / "job.sh"
    script.write_text("#!/bin/bash\n#SBATCH --output=/dev/null\nsleep 300\n")
    number = it.ask(named.submit(script, JOB))
    it.ids["named"] = number
    it.wait(["RUNNING"])
    time.sleep(6)
    it.ask(named.status([number, "99999"]))
    it.ask(named.history([number]))
    it.ask(named.find("job.sh", "alice"))
    it.ask(named.nodes())
    it.ask(named.estimate(script, JOB))
    it.ask(named.cancel([number]))
    it.ask(named.accounts("alice"))
    it.ask(Slurm(SchedulerOptions(cluster="elsewhere")).status([number]), "no such cluster")


def main(wanted: list[str]) -> None:
    """Record the wanted cases, or all of them."""
    HERE.mkdir(exist_ok=True)
    chosen = {name: CASES[name] for name in wanted or CASES}
    for accounting in (True, False):
        names = [name for name in chosen if ("no-slurmdbd" in name) != accounting]
        if not names:
            continue
        with SlurmCluster(ClusterConfig(accounting=accounting)) as cluster:
            for name in names:
                print(name, flush=True)
                about, recipe = chosen[name]
                it = Case(name, about, cluster)
                recipe(it)
                it.end()


if __name__ == "__main__":
    main(sys.argv[1:])
