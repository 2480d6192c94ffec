"""What Slurm says about the cluster, and about the job one is in, as it was recorded."""

from datetime import UTC, datetime, timedelta

import pytest

from pangeo_hpc.errors import CommandMissing, SchedulerError, SchedulerUnreachable
from pangeo_hpc.run import Command, Recorder, Result, converse
from pangeo_hpc.schedulers.base import (
    Account,
    AllocationFacts,
    Node,
    NodeState,
    Qos,
    Queue,
    SchedulerOptions,
)
from pangeo_hpc.schedulers.slurm import FEATURES, Feature, Slurm, lacking
from pangeo_hpc.schedulers.slurm_site import parse_nodes, parse_queues
from pangeo_hpc.units import MIB
from tests.recordings.slurm_steps import asked, failure, replay, steps

slurm = Slurm(SchedulerOptions())


def node(state: str, **facts: str) -> Node:
    words = " ".join(f"{name}={value}" for name, value in facts.items())
    (found,) = parse_nodes(f"NodeName=n1 CPUTot=8 State={state} {words}\n")
    return found


def test_nodes_at_work():
    """Each node tells what it has and what of it is in use, once, with all of its queues."""
    nodes = {node.name: node for node in replay("11", slurm.nodes())}
    assert list(nodes) == ["c1", "c2", "c3", "c4", "c5"]
    assert [node.state for node in nodes.values()] == [
        NodeState.PARTLY,
        NodeState.BUSY,
        NodeState.DOWN,
        NodeState.PARTLY,
        NodeState.DOWN,
    ]
    assert nodes["c1"] == Node(
        name="c1",
        state=NodeState.PARTLY,
        queues=("compute", "short", "small"),
        cores=8,
        cores_used=3,
        sockets=1,
        memory=8000 * MIB,
        memory_used=200 * MIB,
    )
    assert (nodes["c4"].gpus, nodes["c4"].gpus_used) == (2, 1)
    assert nodes["c4"].features == {"big", "fast"}
    assert nodes["c3"].reason == "new disk, ask=ops"
    assert nodes["c5"].reason == "broken on purpose"


def test_nodes_at_rest():
    """Nothing is in use; the node that is down is told as such."""
    states = [node.state for node in replay("10", slurm.nodes())]
    assert states == [NodeState.IDLE] * 4 + [NodeState.DOWN]


def test_sockets():
    """The sockets of a node are told as Slurm counts them; none are told by an answer cut off."""
    assert node("IDLE", CoresPerSocket="4", Sockets="2", Boards="1").sockets == 2
    assert [each.sockets for each in replay("10", slurm.nodes())] == [1] * 5
    assert node("IDLE").sockets == 0


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("IDLE", NodeState.IDLE),
        ("IDLE+CLOUD+POWERED_DOWN", NodeState.IDLE),
        ("IDLE+PLANNED", NodeState.IDLE),
        ("IDLE+COMPLETING", NodeState.BUSY),
        ("IDLE+RESERVED", NodeState.BUSY),
        ("MIXED", NodeState.PARTLY),
        ("MIXED+DRAIN", NodeState.DOWN),
        ("ALLOCATED", NodeState.BUSY),
        ("ALLOCATED+DRAIN", NodeState.DOWN),
        ("IDLE+MAINTENANCE+RESERVED", NodeState.DOWN),
        ("DOWN*", NodeState.DOWN),
        ("IDLE*+NOT_RESPONDING", NodeState.DOWN),
        ("UNKNOWN", NodeState.DOWN),
        ("FUTURE", NodeState.DOWN),
    ],
)
def test_words_for_nodes(word, state):
    """A node's word may have several parts, and marks of older releases."""
    assert node(word).state is state


@pytest.mark.parametrize(
    ("facts", "has", "used"),
    [
        ({"Gres": "gpu:4", "GresUsed": "gpu:1"}, 4, 1),
        ({"Gres": "gpu:a100:4(S:0-1)", "GresUsed": "gpu:a100:3(IDX:0-2)"}, 4, 3),
        ({"Gres": "gpu:1g.5gb:7,gpu:a100:1,nvme:1", "GresUsed": "gpu:1g.5gb:2,gpu:a100:0"}, 8, 2),
        ({"Gres": "(null)", "GresUsed": "gpu:0"}, 0, 0),
        ({"CfgTRES": "cpu=8,gres/gpu=4,gres/gpu:a100=4", "AllocTRES": "cpu=2,gres/gpu=2"}, 4, 2),
        ({"CfgTRES": "cpu=8,gres/gpu=4", "AllocTRES": ""}, 4, 0),
    ],
)
def test_gpus(facts, has, used):
    """They are counted where the site counts them, else read from the list."""
    found = node("IDLE", **facts)
    assert (found.gpus, found.gpus_used) == (has, used)


def test_a_reason_that_looks_like_facts():
    """What an administrator writes is text: it changes nothing else."""
    found = node("DOWN", Reason="fan State=IDLE CPUTot=99 [root@1795318315]")
    assert (found.state, found.cores) == (NodeState.DOWN, 8)


def test_queues():
    """Limits of partitions; no limit is None."""
    queues = {queue.name: queue for queue in replay("10", slurm.queues())}
    assert queues["compute"] == Queue(
        name="compute",
        default=True,
        max_walltime=timedelta(hours=1),
        default_walltime=timedelta(minutes=10),
    )
    assert queues["small"].max_cores == 2
    assert queues["short"].max_walltime == timedelta(minutes=2)


def test_closed_queues():
    """A partition that is DOWN still takes jobs; one that drains takes none."""
    queues = {queue.name: queue.enabled for queue in replay("11", slurm.queues())}
    assert queues == {"compute": True, "short": True, "small": False, "broken": True, "gpu": True}


def test_limits_of_a_queue():
    """Nodes, days and memory, as far as a partition has them."""
    facts = "MaxNodes=64 MaxTime=7-00:00:00 MaxMemPerNode=2048 DefaultTime=NONE State=INACTIVE"
    (queue,) = parse_queues(f"PartitionName=big {facts}\n")
    assert queue == Queue(
        name="big",
        enabled=False,
        max_walltime=timedelta(days=7),
        max_nodes=64,
        max_memory=2048 * MIB,
    )


def test_accounts():
    """Accounts with their QOS, the default of each first."""
    qos = ("normal", "high", "tiny")
    assert replay("10", slurm.accounts("alice")) == (
        Account(name="climate", qos=qos, default=True),
        Account(name="ocean", qos=qos),
    )
    assert replay("10", slurm.accounts("nobody")) == ()
    assert replay("90", slurm.accounts("alice")) == (), "no slurmdbd, no accounts"
    assert isinstance(failure(lambda: replay("72", slurm.accounts("alice"))), SchedulerUnreachable)


def test_accounts_without_sacctmgr():
    """A site may not have it: then nothing is known."""

    def missing(command: Command) -> Result:
        raise CommandMissing(f"{command.argv[0]}: command not found")

    assert converse(slurm.accounts("alice"), missing) == ()


def test_accounts_of_several_clusters():
    """One database serves many clusters: only the accounts of this one are told."""
    text = "alpha|a|a||normal\nbeta|a|b||long\nalpha|a|a|night|night,normal\n"
    answers = [Result((), 0, text), asked("10", "show config")]
    assert converse(slurm.accounts("alice"), Recorder(answers)) == ()
    answers[1] = Result((), 0, "SlurmctldHost = x\nClusterName             = alpha\n")
    assert converse(slurm.accounts("alice"), Recorder(answers)) == (
        Account(name="a", qos=("normal", "night"), default=True),
    )
    named = Slurm(SchedulerOptions(cluster="beta"))
    assert converse(named.accounts("alice"), Recorder(answers[:1])) == (
        Account(name="b", qos=("long",)),
    )


def test_versions():
    """The number is found in every way it is written."""
    assert replay("10", slurm.version()) == (22, 5, 8)
    assert replay("70", slurm.version()) == (22, 5, 8), "slurmctld is not needed for it"
    for text, number in (
        ("slurm 23.11.10-2\n", (23, 11, 10)),
        ("slurm 24.05.0-0rc1\n", (24, 5, 0)),
        ("Welcome\nslurm-wlm 20.02.3\n", (20, 2, 3)),
    ):
        assert converse(slurm.version(), Recorder([Result((), 0, text)])) == number


def test_another_program_of_that_name():
    """What prints no version of Slurm's is not Slurm."""
    with pytest.raises(SchedulerError, match="no version"):
        converse(slurm.version(), Recorder([Result((), 0, "sbatch 1.0\n")]))


def test_features():
    """What a release cannot do is asked by name."""
    assert lacking((22, 5, 8)) == frozenset()
    assert lacking((20, 2, 3)) == {Feature.SHARING_STEPS}
    assert set(FEATURES) == set(Feature)


def environment(label: str) -> dict[str, str]:
    text = asked("80", f"cat {label}.env").stdout
    return dict(line.split("=", 1) for line in text.splitlines())


def test_inside_a_job():
    """Id, node, cores and memory come from the environment, whole or per core."""
    one = slurm.allocation(environment("one"))
    assert (one.cores, one.memory, len(one.nodes), one.ends) == (3, 200 * MIB, 1, None)
    per_core = slurm.allocation(environment("per-cpu"))
    assert (per_core.cores, per_core.memory) == (2, 1000 * MIB)
    again = slurm.allocation(environment("again"))
    assert again.restarts == 1


def test_inside_a_job_of_several_nodes():
    """The node of the script is first, cores and memory are those of one node."""
    environ = environment("two-nodes")
    facts = slurm.allocation(environ)
    assert len(facts.nodes) == 2
    assert facts.nodes[0] == environ["SLURMD_NODENAME"]
    assert (facts.cores, facts.memory) == (2, 200 * MIB)
    last = slurm.allocation(environ | {"SLURMD_NODENAME": facts.nodes[1]})
    assert last.nodes == (facts.nodes[1], facts.nodes[0])


def test_inside_an_element():
    """Its id is that of the array and its index, not the number Slurm gives it besides."""
    facts = slurm.allocation(environment("array-1"))
    assert facts.array_index == 1
    assert facts.job_id.endswith("_1")
    assert facts.job_id != environment("array-1")["SLURM_JOB_ID"]


def test_a_job_that_knows_its_end():
    """Newer releases tell a job when it began and must end."""
    times = {"SLURM_JOB_START_TIME": "1772160331", "SLURM_JOB_END_TIME": "1772203535"}
    facts = slurm.allocation({"SLURM_JOB_ID": "12", **times})
    assert facts == AllocationFacts(
        job_id="12",
        nodes=(),
        started=datetime.fromtimestamp(1772160331, UTC),
        ends=datetime.fromtimestamp(1772203535, UTC),
    )


def test_odd_environments():
    """What cannot be read is not told."""
    facts = slurm.allocation(
        {
            "SLURM_JOB_ID": "12",
            "SLURM_JOB_NODELIST": "c[1",
            "SLURMD_NODENAME": "c1",
            "SLURM_MEM_PER_NODE": "0",
            "SLURM_CPUS_ON_NODE": "many",
        }
    )
    assert facts == AllocationFacts(job_id="12", nodes=("c1",))


def test_a_step():
    """One task per node, with CPUs and memory told, beside what else runs in the job."""
    facts = AllocationFacts(job_id="12", nodes=("c1", "c2"))
    assert slurm.step(("worker", "--x"), facts, cores=4, memory=700 * MIB) == (
        "srun",
        "--nodes=2",
        "--ntasks=2",
        "--ntasks-per-node=1",
        "--cpus-per-task=4",
        "--mem=700M",
        "--cpu-bind=none",
        "--overlap",
        "--kill-on-bad-exit=0",
        "--export=ALL",
        "--input=none",
        "worker",
        "--x",
    )
    assert "--mem=0" in slurm.step(("worker",), facts, cores=4, memory=None)


def test_steps_share_the_job():
    """Two recorded steps of two seconds ran on both nodes at once, each with its own CPUs."""
    begin, *lines, end = asked("80", "cat steps").stdout.splitlines()
    assert int(end) - int(begin) < 4
    assert (
        sorted(line.split()[1:] for line in lines) == [["3", "first"]] * 2 + [["4", "second"]] * 2
    )
    assert len({line.split()[0] for line in lines}) == 2


def test_recordings_tell_nothing_of_their_place():
    """No path, port or name of the machine they were made on."""
    for number in ("10", "11", "20", "80", "90"):
        for step in steps(number):
            text = step.command + step.result.stdout + step.result.stderr
            assert "pangeo-hpc-test" not in text
            assert "/work" not in text.replace("/nowhere", "")


def test_qos_and_their_limits():
    """Slurm tells every QOS with its longest walltime; none where slurmdbd is away or absent."""
    found = replay("73", slurm.settings("alice"))
    assert found.qos == (
        Qos(name="normal"),
        Qos(name="high"),
        Qos(name="tiny", max_walltime=timedelta(minutes=1)),
    )
    assert replay("73", slurm.settings("alice"), after="slurmdbd is away").qos is None
    assert replay("91", slurm.settings("alice")).qos is None


def test_settings_without_sacct_and_sacctmgr():
    """Where the programs of the accounting are missing, what they would tell is not known."""

    def runner(command: Command) -> Result:
        if command.argv[0] == "scontrol":
            return asked("73", "scontrol show config", 1)
        raise CommandMissing(f"{command.argv[0]}: command not found")

    found = converse(slurm.settings("alice"), runner)
    assert (found.private_jobs, found.sees_all, found.history) == (True, None, None)
    assert converse(slurm.settings("root"), runner).sees_all
