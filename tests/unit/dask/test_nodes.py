"""How worker jobs are cut by the sockets of the nodes that the batch system tells of."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pangeo_hpc import jobs
from pangeo_hpc.dask.nodes import candidates, sockets_of
from pangeo_hpc.dask.office import Office
from pangeo_hpc.errors import SchedulerUnreachable
from pangeo_hpc.run import Conversation
from pangeo_hpc.schedulers.base import JobRequest, Node, NodeState, SchedulerOptions
from pangeo_hpc.site import load_site
from pangeo_hpc.units import gib

SITE = """\
name: testing
scheduler: slurm
user_state: "{state}/{{user}}"
node_types:
  whole:
    default: true
    queue: regular
    cores: 36
    memory: 109 GiB
    walltime: "00:30:00"
    exclusive: true
    interface: lo
  told:
    queue: regular
    cores: 36
    memory: 109 GiB
    walltime: "00:30:00"
    interface: lo
    dask: {{processes: 3, threads: 12}}
  part:
    queue: regular
    cores: 2
    memory: 8 GiB
    walltime: "00:30:00"
    interface: lo
  anywhere:
    queue: regular
    cores: 36
    memory: 109 GiB
    walltime: "00:30:00"
"""


def request(cores: int, **options: Any) -> JobRequest:
    """Return a job of so many cores."""
    return JobRequest(
        name="x", command=("true",), cores=cores, walltime=timedelta(hours=1), **options
    )


def node(name: str = "n1", **facts: Any) -> Node:
    """Return a node, of 2 x 18 cores unless told otherwise."""
    return Node(name=name, state=NodeState.IDLE, **{"cores": 36, "sockets": 2, **facts})


@pytest.mark.parametrize(
    ("job", "found"),
    [
        (request(36), 2),
        (request(19), 2),
        (request(18), 1),
        (request(4, exclusive=True), 2),
        (request(1, exclusive=True), 1),
        (request(3), 1),
    ],
    ids=["all cores", "more than a socket", "a socket", "exclusive", "one core", "small"],
)
def test_a_job_is_spread_over_what_it_needs(job: JobRequest, found: int) -> None:
    """Whole nodes have all their sockets; a part has as few as give it its cores."""
    assert sockets_of(job, [node()]) == found


def test_hardware_threads_do_not_matter() -> None:
    """Cores of a job and of a node are counted by the same batch system in the same way."""
    large = node(cores=256, sockets=2)
    assert sockets_of(request(256, threads_per_core=2), [large]) == 2
    assert sockets_of(request(128, threads_per_core=2), [large]) == 1


def test_unknown_stays_one() -> None:
    """Where nobody tells of sockets or of nodes, a job is cut as if there were one socket."""
    assert sockets_of(request(36, exclusive=True), [node(sockets=0)]) == 1
    assert sockets_of(request(36), [node(cores=0)]) == 1
    assert sockets_of(request(36), []) == 1


def test_only_nodes_for_the_job_count() -> None:
    """Other queues, missing features and smaller nodes do not; of the rest the most does."""
    nodes = [
        node("mine", queues=("regular",), features=frozenset({"cpu"})),
        node("four", queues=("regular",), features=frozenset({"cpu"}), sockets=4),
        node("eight", queues=("debug",), features=frozenset({"cpu"}), sockets=8),
        node("gpu", queues=("regular",), sockets=8),
        node("tiny", queues=("regular",), features=frozenset({"cpu"}), cores=16, sockets=16),
    ]
    job = request(36, queue="regular", constraint="cpu")
    assert [each.name for each in candidates(job, nodes)] == ["mine", "four"]
    assert sockets_of(job, nodes) == 4
    # PBS has queues with no nodes of their own: any may run their jobs
    assert [each.name for each in candidates(job, [node(features=frozenset({"cpu"}))])] == ["n1"]


class Program:
    """A batch system that counts who asks for nodes."""

    kind = "slurm"

    def __init__(self, *found: Node) -> None:
        self.options, self.found, self.asked = SchedulerOptions(), found, 0

    def nodes(self) -> Conversation[tuple[Node, ...]]:
        self.asked += 1
        if not self.found:
            raise SchedulerUnreachable("no answer within 30 s")
        return self.found
        yield


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return what makes a cluster of a node type, with no workers yet, and gives its shape."""
    path = tmp_path / "site.yaml"
    path.write_text(SITE.format(state=tmp_path / "state"))
    made = []

    def start(program: Program, node_type: str, **asked: Any) -> tuple[int, int]:
        monkeypatch.setattr(jobs, "scheduler_of", lambda *_: program)
        ask = jobs.Ask(node_type=node_type, **asked)
        office = Office.open(load_site(path), ask, None, "cut")
        cluster, _ = office.on_jobs(0, "as asked")
        made.append(cluster)
        shape = cluster.desk.command.shape  # type: ignore[attr-defined]
        assert shape.memory * shape.processes < gib(109)
        return shape.processes, shape.threads

    yield start
    for cluster in made:
        cluster.close()


def test_no_process_spans_two_sockets(begin: Any) -> None:
    """A whole node of 2 x 18 cores has as many processes on each socket, asked for once."""
    program = Program(node(queues=("regular",)))
    assert begin(program, "whole") == (12, 3)
    assert program.asked == 1
    assert begin(Program(node(queues=("regular",), sockets=1)), "whole") == (6, 6)


def test_asked_only_where_it_matters(begin: Any) -> None:
    """A site that says the shape, and a job of few cores, cost no question."""
    program = Program(node(queues=("regular",)))
    assert begin(program, "told") == (3, 12)
    assert begin(program, "part") == (2, 1)
    assert program.asked == 0


def test_once_for_the_way_and_the_sockets(begin: Any) -> None:
    """Without an interface a node's name and its sockets come from one answer."""
    program = Program(node("localhost", queues=("regular",)))
    assert begin(program, "anywhere") == (12, 3)
    assert program.asked == 1


def test_no_answer_is_no_obstacle(begin: Any) -> None:
    """A scheduler that does not answer leaves the shape as it is without sockets."""
    program = Program()
    assert begin(program, "whole") == (6, 6)
    assert program.asked == 1
