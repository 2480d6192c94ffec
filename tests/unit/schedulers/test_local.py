"""What is told to the local queue's program, and how its answers are read."""

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pangeo_hpc.errors import RequestRefused, SchedulerUnreachable, SubmitRefused
from pangeo_hpc.run import Recorder, Result, converse
from pangeo_hpc.schedulers.base import (
    AllocationFacts,
    JobRequest,
    JobState,
    JobStatus,
    NodeState,
    SchedulerOptions,
)
from pangeo_hpc.schedulers.local import Local
from pangeo_hpc.units import GIB, MIB

REQUEST = JobRequest(
    name="ndvi-x7k2",
    command=("python", "ndvi.py"),
    cores=2,
    memory=1543 * MIB + 17,
    walltime=timedelta(hours=30, seconds=1),
    node_type="small",
)
LOCAL = Local(SchedulerOptions(state=Path("/home/alice/q"), environment={"A": "b"}, timeout=7))


def answer(value: object, code: int = 0) -> Recorder:
    return Recorder([Result(("python",), code, json.dumps(value))])


def test_the_header() -> None:
    """The script alone says what is asked."""
    assert LOCAL.directives(REQUEST) == (
        "#LOCAL --name=ndvi-x7k2",
        "#LOCAL --cores=2",
        "#LOCAL --memory=1543M",
        "#LOCAL --walltime=30:00:01",
    )


def test_a_full_header() -> None:
    """What is left out by default stands there where it is asked."""
    request = replace(
        REQUEST,
        nodes=2,
        gpus=1,
        exclusive=True,
        queue="local",
        output=Path("/a b/{id}.log"),
        after=("3", "4_1"),
        array=5,
        requeue=True,
        directives=("--name=site", "#LOCAL --cores=1"),
        omit=frozenset({"cores", "memory", "walltime"}),
    )
    assert LOCAL.directives(request) == (
        "#LOCAL --name=ndvi-x7k2",
        "#LOCAL --queue=local",
        "#LOCAL --nodes=2",
        "#LOCAL --gpus=1",
        "#LOCAL '--output=/a b/{id}.log'",
        "#LOCAL --after=3,4_1",
        "#LOCAL --array=5",
        "#LOCAL --exclusive",
        "#LOCAL --requeue",
        "#LOCAL --name=site",
        "#LOCAL --cores=1",
    )


def test_no_line_breaks() -> None:
    """Everything that would leave its line is refused, all at once."""
    with pytest.raises(RequestRefused) as caught:
        LOCAL.directives(replace(REQUEST, name="a\nb", output=Path("/x\ny")))
    assert len(caught.value.problems) == 2


def test_how_the_program_is_called() -> None:
    """With our own Python, never with modules of the current directory, on the site's queue."""
    runner = Recorder([Result(("python",), 0, "17\n")])
    assert converse(LOCAL.submit(Path("/work/job.sh"), REQUEST), runner) == "17"
    (command,) = runner.commands
    assert command.argv == (
        *(sys.executable, "-P", "-m", "pangeo_hpc.localqueue"),
        *("submit", "--state=/home/alice/q", "/work/job.sh"),
    )
    assert command.environment["A"] == "b"
    assert command.timeout == 7


@pytest.mark.parametrize("code", [2, 4, 5])
def test_refusals(code: int) -> None:
    """The program's own words are in the error."""
    runner = Recorder([Result(("python",), code, "", "asks for 9 cores, this machine has 2\n")])
    with pytest.raises(SubmitRefused, match="asks for 9 cores"):
        converse(LOCAL.submit(Path("job.sh"), REQUEST), runner)


@pytest.mark.parametrize(
    "result",
    [
        Result(("python",), 1, "", "Traceback (most recent call last):"),
        Result(("python",), 75, "", "the queue is busy"),
        Result(("python",), -9, "17\n", ""),
        Result(("python",), 0, "", ""),
        Result(("python",), None, "", "", 30.0),
    ],
)
def test_unclear_answers(result: Result) -> None:
    """Whatever is not a clear yes or no leaves open whether the job exists."""
    with pytest.raises(SchedulerUnreachable) as caught:
        converse(LOCAL.submit(Path("job.sh"), REQUEST), Recorder([result]))
    assert caught.value.retry


def test_a_status_with_everything() -> None:
    """Every fact is typed: bytes, UTC, durations."""
    job = {
        "id": "4_1",
        "name": "n",
        "user": "alice",
        "state": "OUT_OF_MEMORY",
        "reason": "used 2 GiB of 1 GiB",
        "node": "laptop",
        "exit_code": None,
        "signal": 9,
        "submitted": 0.0,
        "started": 1.5,
        "ended": 2,
        "estimated_start": None,
        "walltime": 3600.0,
        "memory_used": 2 * GIB,
        "cores": 2,
        "restarts": 1,
    }
    known = converse(LOCAL.status(["4"]), answer({"format": 1, "jobs": [job]}))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert known == {
        "4_1": JobStatus(
            id="4_1",
            state=JobState.OUT_OF_MEMORY,
            word="OUT_OF_MEMORY",
            name="n",
            user="alice",
            queue="local",
            reason="used 2 GiB of 1 GiB",
            nodes=("laptop",),
            signal=9,
            submitted=epoch,
            started=epoch + timedelta(seconds=1.5),
            ended=epoch + timedelta(seconds=2),
            walltime=timedelta(hours=1),
            memory_used=2 * GIB,
            cores=2,
            restarts=1,
        )
    }


def test_odd_answers_are_no_exception() -> None:
    """Values of the wrong kind are left out; a job without an id is none."""
    jobs = [{"id": "1", "state": 3, "submitted": 1e300, "cores": True, "name": None}, {}, 7]
    known = converse(LOCAL.status(["1"]), answer({"jobs": jobs}))
    assert known == {"1": JobStatus(id="1", state=JobState.UNKNOWN, queue="local")}
    assert converse(LOCAL.status(["1"]), answer({"jobs": None})) == {}


@pytest.mark.parametrize(
    ("cores", "memory", "state"),
    [(0, 0, NodeState.IDLE), (1, 5, NodeState.PARTLY), (4, 5, NodeState.BUSY), (1, 8, "busy")],
)
def test_the_node(cores: int, memory: int, state: NodeState) -> None:
    """A machine is full when its cores or its memory are."""
    entry = {"name": "pc", "cores": 4, "cores_used": cores, "memory": 8, "memory_used": memory}
    (node,) = converse(LOCAL.nodes(), answer({"nodes": [entry]}))
    assert (node.name, node.state, node.queues) == ("pc", state, ("local",))


def test_ids_of_others_are_not_asked() -> None:
    """What cannot be an id of ours never reaches a command line."""
    runner = Recorder([])
    assert converse(LOCAL.status(["--help", "12.server", "١٢"]), runner) == {}
    problems = converse(LOCAL.cancel(["--help"]), runner)
    assert problems == {"--help": "not a job id of the local queue"}


def test_estimate_and_version() -> None:
    """An estimate is a time, or None; a version is numbers."""
    ask = LOCAL.estimate(Path("job.sh"), REQUEST)
    assert converse(ask, answer({"start": 60})) == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    ask = LOCAL.estimate(Path("job.sh"), REQUEST)
    assert converse(ask, answer({"start": None})) is None
    ask = LOCAL.estimate(Path("job.sh"), REQUEST)
    assert converse(ask, Recorder([Result(("python",), 4, "", "too large")])) is None
    version = Recorder([Result(("python",), 0, "pangeo-hpc 0.3.1.dev0\n")])
    assert converse(LOCAL.version(), version) == (0, 3, 1)


def test_inside_a_job() -> None:
    """Outside there is none; inside, what is missing or odd is unknown."""
    assert LOCAL.allocation({}) is None
    facts = LOCAL.allocation({"PANGEO_LOCALQUEUE_JOB": "3", "PANGEO_LOCALQUEUE_ENDS": "soon"})
    assert facts is not None
    assert (facts.job_id, facts.ends, facts.cores, len(facts.nodes)) == ("3", None, None, 1)


def test_a_step_is_the_command() -> None:
    """There is one node, and the job is on it."""
    facts = AllocationFacts(job_id="3", nodes=("pc",))
    assert LOCAL.step(["a", "b c"], facts, cores=1, memory=None) == ("a", "b c")
