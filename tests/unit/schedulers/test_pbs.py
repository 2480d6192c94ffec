"""How PBS is asked to submit, to cancel, and about its nodes, queues and itself."""

from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest

from pangeo_hpc.errors import SchedulerError, SubmitRefused, UsageError
from pangeo_hpc.run import Recorder, Result, converse, minimal_environment
from pangeo_hpc.schedulers.base import AllocationFacts, Node, NodeState, SchedulerOptions
from pangeo_hpc.schedulers.pbs import PBS
from pangeo_hpc.schedulers.pbs_nodes import counts_as, nodes, settings
from pangeo_hpc.schedulers.pbs_text import read_json, read_text
from pangeo_hpc.testing import Step, read_transcript
from pangeo_hpc.testing.contract import REQUEST

RECORDINGS = Path(__file__).parents[2] / "recordings" / "pbs"
GIB = 2**30
pbs = PBS(SchedulerOptions())


@cache
def steps(case: str) -> tuple[Step, ...]:
    return tuple(read_transcript(next(RECORDINGS.glob(f"{case}-*.txt"))))


def said(case: str, number: int) -> Result:
    return next(step.result for step in steps(case) if step.number == number)


def submit(answer: Result) -> str:
    return converse(pbs.submit(Path("/work/job.sh"), REQUEST), Recorder([answer]))


def test_submission():
    """The script is the only argument, and the job does not inherit our zone and language."""
    options = SchedulerOptions(
        bin=Path("/opt/pbs/bin"),
        server="casper-pbs",
        timeout=12,
        environment={"PBS_CONF_FILE": "/etc/casper.conf"},
    )
    command = next(PBS(options).submit(Path("/work/job.sh"), REQUEST))
    assert command.argv == ("/opt/pbs/bin/qsub", "/work/job.sh")
    assert command.timeout == 12
    environ = minimal_environment(command.environment, {"PATH": "/usr/bin", "TOKEN": "secret"})
    assert environ == {
        "PATH": "/usr/bin",
        "PBS_SERVER": "casper-pbs",
        "PBS_CONF_FILE": "/etc/casper.conf",
    }


@pytest.mark.parametrize(
    ("case", "step", "hint"),
    [
        ("40", 1, "qstat -Q"),
        ("40", 3, "choose another node type"),
        ("40", 4, "qstat -Qf"),
        ("40", 5, "qstat -Qf"),
        ("40", 13, "resources"),
        ("40", 16, "resources"),
        ("40", 22, "request"),
        ("40", 23, "request"),
        ("40", 37, "directives"),
        ("40", 48, "--account"),
        ("40", 55, "directives"),
        ("40", 59, "fewer"),
        ("40", 68, "as yourself"),
        ("40", 70, "job script"),
        ("40", 73, "ask the centre"),
        ("40", 74, "--account"),
        ("30", 53, "CR LF"),
        ("60", 37, "-v"),
        ("80", 18, "directives"),
        ("40", 57, "directives"),
    ],
)
def test_each_refusal_has_its_next_step(case, step, hint):
    """A refusal quotes PBS and says what to do about this very kind."""
    with pytest.raises(SubmitRefused) as caught:
        submit(said(case, step))
    assert hint in caught.value.hint
    assert not caught.value.retry


def test_usage_is_not_repeated():
    """Of a refusal with two pages of usage only the first line is quoted."""
    with pytest.raises(SubmitRefused) as caught:
        submit(said("40", 55))
    assert caught.value.text == "PBS refused the job: illegal -W value"


def test_find():
    """A job is looked up by its whole name, in the queue first, then in history."""
    runner = Recorder([said("10", 20)])
    assert converse(pbs.find("hello", "alice"), runner) == ("0.pbs-login",)
    assert runner.commands[0].argv == ("qselect", "-u", "alice", "-N", "hello")
    runner = Recorder([said("41", 12), said("10", 36)])
    assert converse(pbs.find("hello", "alice"), runner) == ("0.pbs-login",)
    assert runner.commands[1].argv == ("qselect", "-x", "-u", "alice", "-N", "hello")
    off = Result(("qselect",), 0, "", "qselect: PBS is not configured to maintain job history\n")
    assert converse(pbs.find("hello", "alice"), Recorder([said("41", 12), off])) == ()
    assert converse(pbs.find("hello", ""), Recorder([said("50", 19)])) == ("129[].pbs-login",)
    odd = Recorder([said("41", 12), said("41", 12)])
    assert converse(pbs.find("sea ice-x7k2", "alice"), odd) == ()
    assert odd.commands[0].argv[-1] == "sea_ice-x7k2", "the name it was submitted under"
    with pytest.raises(SchedulerError, match="illegal"):
        converse(pbs.find("x", "a"), Recorder([Result(("qselect",), 2, "", "illegal -N value")]))


def cancel(ids: list[str], *answers: Result) -> dict[str, str]:
    return converse(pbs.cancel(ids), Recorder(answers))


def test_cancel():
    """What ended or is unknown is no problem; the rest is told by id, in PBS's words."""
    assert cancel(["28.pbs-login"], said("31", 2)) == {}
    assert cancel(["0.pbs-login"], said("10", 37)) == {}
    assert cancel(["1.pbs-login", "999999"], said("11", 26)) == {}
    assert cancel(["0.pbs-login"], said("10", 23)) == {"0.pbs-login": "Unauthorized Request"}
    (problem,) = cancel(["249.pbs-login"], said("72", 8)).values()
    assert problem.startswith("Server could not connect to MOM")
    assert "qdel -W force 249.pbs-login" in problem
    both = Result(
        ("qdel",),
        159,
        "",
        "qdel: Unknown Job Id 5.pbs-login\nqdel: Unauthorized Request  6.pbs-login\n",
    )
    assert cancel(["5.pbs-login", "6", "7"], both) == {"6": "Unauthorized Request"}
    strange = Result(("qdel",), 9, "", "qdel: something else\n")
    assert cancel(["5", "6"], strange) == {"5": "something else", "6": "something else"}
    assert cancel(["abc"]) == {"abc": "not a job id of PBS"}


def test_cancel_of_many():
    """Many ids are cancelled in few calls, each with its ids; never a call without any."""
    runner = Recorder([Result(("qdel",), 0)] * 3)
    assert converse(pbs.cancel([str(number) for number in range(250)]), runner) == {}
    assert [len(command.argv) for command in runner.commands] == [101, 101, 51]


def test_nodes():
    """Every host is told once with what of it is in use; missing assignments are zero."""
    assert converse(pbs.nodes(), Recorder([said("81", 16)])) == (
        Node(
            name="cpu01",
            state=NodeState.PARTLY,
            features=frozenset({"arch=linux"}),
            cores=8,
            cores_used=4,
            memory=16 * GIB,
            memory_used=200 * 2**20,
        ),
        Node(
            name="cpu02",
            state=NodeState.PARTLY,
            features=frozenset({"arch=linux"}),
            cores=8,
            cores_used=1,
            memory=16 * GIB,
            memory_used=100 * 2**20,
        ),
        Node(
            name="gpu01",
            state=NodeState.IDLE,
            features=frozenset({"arch=linux"}),
            cores=8,
            memory=16 * GIB,
            gpus=2,
        ),
    )


def test_nodes_in_text_and_by_vnode():
    """Text says the same as JSON, and the vnodes of a host add up to it."""
    merged = read_json(said("04", 2).stdout, "nodes") or {}
    assert {node.name for node in nodes(merged)} == {"cpu01", "cpu02", "gpu01"}
    single = read_json(said("04", 5).stdout, "nodes") or {}
    assert "cpu02[0]" in single
    assert {node.name: node for node in nodes(single)} == {
        node.name: node for node in nodes(merged)
    }
    text = read_text(said("81", 17).stdout, "")
    assert text.complete
    assert nodes(text.records) == converse(pbs.nodes(), Recorder([said("81", 16)]))
    broken = Result(("pbsnodes",), 0, "{")
    assert len(converse(pbs.nodes(), Recorder([broken, said("81", 17)]))) == 3


@pytest.mark.parametrize(
    ("case", "step", "name", "reason"),
    [
        ("81", 24, "cpu01", "disk broken"),
        ("72", 3, "gpu01", "node down: communication closed"),
        ("73", 2, "cpu02", "state-unknown,down"),
    ],
)
def test_nodes_that_are_down(case, step, name, reason):
    """Offline, down and unknown nodes are down, with the reason that was given for it."""
    found = {node.name: node for node in converse(pbs.nodes(), Recorder([said(case, step)]))}
    assert found[name].state is NodeState.DOWN
    assert found[name].reason == reason


@pytest.mark.parametrize(
    ("state", "used", "expected"),
    [
        ("free", "0", NodeState.IDLE),
        ("free", "8", NodeState.BUSY),
        ("job-busy", "8", NodeState.BUSY),
        ("job-exclusive", "1", NodeState.BUSY),
        ("resv-exclusive,job-busy", "0", NodeState.BUSY),
        ("free,offline", "0", NodeState.DOWN),
        ("provisioning", "0", NodeState.DOWN),
    ],
)
def test_node_states(state, used, expected):
    """A node is idle, partly in use, busy or down."""
    record = {
        "state": state,
        "resources_available.ncpus": "8",
        "resources_assigned.ncpus": used,
        "resources_available.cpu_type": "milan",
        "queue": "reg",
    }
    (node,) = nodes({"n1": record})
    assert (node.name, node.state, node.queues) == ("n1", expected, ("reg",))
    assert node.features == {"cpu_type=milan"}


def test_an_unknown_node():
    """The JSON of a node that does not exist holds no node."""
    assert nodes(read_json(said("04", 15).stdout, "nodes") or {}) == ()


def test_queues():
    """Limits, who may use a queue, where it leads, and which is the default are all told."""
    runner = Recorder([said("03", 4), said("02", 3)])
    queues = {queue.name: queue for queue in converse(pbs.queues(), runner)}
    assert [command.argv for command in runner.commands] == [
        ("qstat", "-Q", "-f", "-F", "json"),
        ("qstat", "-B", "-f", "-F", "json"),
    ]
    regular = queues["regular"]
    assert regular.default
    assert regular.max_walltime == timedelta(hours=12)
    assert regular.default_walltime == timedelta(hours=1)
    assert (regular.max_cores, regular.max_memory) == (16, 32 * GIB)
    assert queues["gpu"].users == ("alice",)
    assert queues["regular"].users is None
    assert queues["main"].routes == ("develop", "regular")
    enabled = {name for name, queue in queues.items() if queue.enabled}
    assert enabled == {"regular", "develop", "gpu", "main"}
    in_text = Recorder(
        [Result(("qstat",), 0, "{"), said("03", 3), Result(("qstat",), 0, "{"), said("02", 2)]
    )
    assert converse(pbs.queues(), in_text) == tuple(queues.values())


def test_queues_that_count_as_another():
    """A job given to a routing queue is seen in where it leads, also over several of them."""
    queues = converse(pbs.queues(), Recorder([said("03", 4), said("02", 3)]))
    assert counts_as("main", "regular", queues)
    assert counts_as("main@pbs-login", "develop", queues)
    assert counts_as("gpu", "gpu@pbs-login", queues)
    assert not counts_as("main", "gpu", queues)
    assert not counts_as("regular", "main", queues)
    loop = [*queues, *(nested("a", "b"), nested("b", "a", "main"))]
    assert counts_as("a", "regular", loop)
    assert not counts_as("a", "gpu", loop)


def nested(name, *routes):
    from pangeo_hpc.schedulers.base import Queue

    return Queue(name=name, routes=routes)


def test_version():
    """The version is told; a qstat of something else is named as such."""
    assert converse(pbs.version(), Recorder([said("01", 2)])) == (23, 6, 6)
    assert converse(pbs.version(), Recorder([said("68", 2)])) == (20, 0, 0)
    built = Result(("qstat",), 0, "pbs_version = latest\n")
    assert converse(pbs.version(), Recorder([built])) == ()
    wrapper = Result(("/usr/bin/qstat",), 1, "", "Unknown option: version\n")
    with pytest.raises(SchedulerError, match="/usr/bin/qstat is not PBS") as caught:
        converse(pbs.version(), Recorder([wrapper]))
    assert "`bin`" in caught.value.hint


def test_what_pbs_does_not_know():
    """PBS estimates no start beforehand and keeps no accounts; it is not asked."""
    runner = Recorder([])
    assert converse(pbs.estimate(Path("/work/job.sh"), REQUEST), runner) is None
    assert converse(pbs.accounts("alice"), runner) == ()


def test_allocation(tmp_path):
    """Inside a job, each host of the node file is told once, in its order."""
    node_file = tmp_path / "190.pbs-login"
    node_file.write_text("cpu02\ncpu02\ncpu01\ncpu01\n")
    environ = {"PBS_JOBID": "190.pbs-login", "PBS_NODEFILE": str(node_file), "NCPUS": "2"}
    facts = AllocationFacts(job_id="190.pbs-login", nodes=("cpu02", "cpu01"), cores=2)
    assert pbs.allocation(environ) == facts
    missing = environ | {"PBS_NODEFILE": str(tmp_path / "elsewhere")}
    assert pbs.allocation(missing).nodes == ()
    assert pbs.allocation({}) is None


def test_step_needs_nodes():
    """A step is started from the first node, where the node file is."""
    with pytest.raises(UsageError) as caught:
        pbs.step(["true"], AllocationFacts(job_id="1", nodes=()), cores=1, memory=None)
    assert "first node" in caught.value.hint


@pytest.mark.parametrize(
    ("user", "listed", "sees"),
    [
        ("hub", "", False),
        ("hub", "root@pbs-login,hub@*", True),
        ("hub", "hubert@*", False),
        ("root", "", True),
    ],
)
def test_who_sees_all_jobs(user, listed, sees):
    """Where jobs are private, managers and operators of the server see them all, and root does."""
    found = settings({"query_other_jobs": "False", "operators": listed}, user)
    assert found.sees_all is sees
    assert user in found.to_see_all
