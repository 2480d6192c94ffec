"""What a person who waits is told, for every state of a job."""

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pangeo_hpc import texts
from pangeo_hpc.errors import SchedulerUnreachable
from pangeo_hpc.hub import waiting
from pangeo_hpc.hub.ahead import Line
from pangeo_hpc.hub.state import ServerState
from pangeo_hpc.schedulers.base import JobState, JobStatus

ENGLISH = texts.load()
STATE = ServerState(
    name="jupyter-abcd1234", token_digest="d", proof_key="00", asked=1000.0, job="7",
    scheduler="slurm",
)  # fmt: skip


def told(state: JobState, *, server: ServerState = STATE, **more: Any) -> dict[str, Any]:
    ahead = more.pop("ahead", None)
    quiet = more.pop("quiet", False)
    kind = more.pop("kind", "slurm")
    status = replace(JobStatus(id="7", state=state, queue="compute"), **more)
    return waiting.told(ENGLISH, server, status, kind=kind, ahead=ahead, quiet=quiet)


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (told(JobState.PENDING, reason="Priority"), "Other jobs of this queue come first."),
        (told(JobState.PENDING, reason="Priority", ahead=3), "3 jobs of this queue come before"),
        (told(JobState.PENDING, ahead=1), "One job of this queue comes before yours."),
        (told(JobState.PENDING, ahead=2, kind="pbs"), "were submitted before yours"),
        (told(JobState.HELD, reason="JobHeldUser"), "held and does not start by itself"),
        (told(JobState.PENDING, restarts=1, reason="BeginTime"), "put back into the queue"),
        (told(JobState.SUSPENDED, nodes=("c1",)), "suspended"),
        (told(JobState.STARTING), "being started on a node"),
        (told(JobState.RUNNING, nodes=("c1", "c2")), "runs on c1, c2. Its server is starting"),
        (
            told(JobState.RUNNING, nodes=("c1",), server=replace(STATE, port=30001)),
            "The hub is connecting",
        ),
        (told(JobState.ENDING), "ending"),
        (told(JobState.UNKNOWN, word="ODD"), "is unknown"),
        (told(JobState.PENDING, quiet=True), "does not answer"),
    ],
)
def test_each_state_is_one_line(event: dict[str, Any], says: str) -> None:
    """Held, requeued and suspended are told as such; the line is the message of the API, too."""
    assert says in " ".join(event["line"])
    assert event["message"] == " ".join(event["line"])
    assert "{" not in event["message"]
    assert 0 < event["progress"] < 100


def test_no_job_ahead_is_not_told() -> None:
    """Where others' jobs are private, nobody may take none for certain."""
    assert "0" not in " ".join(told(JobState.PENDING, ahead=0)["line"])


def test_structured_fields() -> None:
    """Times are seconds, the scheduler's own words are kept, and what one could do is apart."""
    start = datetime(2026, 11, 26, 12, tzinfo=UTC)
    event = told(JobState.PENDING, reason="PartitionTimeLimit", estimated_start=start)
    assert event["estimated_start"] == start.timestamp()
    assert event["words"] == "PartitionTimeLimit"
    assert "shorter walltime" in event["advice"]
    assert event["lasting"] is True
    assert event["asked"] == 1000.0


def test_a_translation_reaches_the_reason(tmp_path: Path) -> None:
    """Why a job waits, and what one could do, are texts of the one catalogue, too."""
    path = tmp_path / "de.json"
    german = {
        "reasons": {
            "slurm": {"limits": {"account": {"together": "Das Konto ist am Limit: {thing}."}}},
            "advice": {"others_end": "Warten Sie."},
            "things": {"cores": "Kerne"},
        }
    }
    path.write_text(json.dumps(german))
    status = JobStatus(id="7", state=JobState.PENDING, reason="AssocGrpCpuLimit")
    event = waiting.told(texts.load(path), STATE, status, kind="slurm")
    assert "Das Konto ist am Limit: Kerne." in event["line"]
    assert event["advice"] == "Warten Sie."
    assert event["words"] == "AssocGrpCpuLimit"


def test_before_there_is_a_job() -> None:
    """The first events have a line, too."""
    assert waiting.submitting(ENGLISH, None)["line"]
    assert "7" in waiting.told(ENGLISH, STATE, None, kind="slurm")["message"]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_one_question_for_all_and_seldom() -> None:
    """Ten pages that look each second cost one question per interval, none if nobody waits."""
    clock = Clock()
    asked: list[int] = []
    queue = [JobStatus(id=str(n), state=JobState.PENDING) for n in range(10)]

    async def ahead(jobs: Collection[JobStatus]) -> Mapping[str, int]:
        asked.append(len(jobs))
        return {job.id: int(job.id) for job in jobs}

    async def look() -> None:
        line = Line(ahead, lambda: queue, interval=15, clock=clock)
        assert line.ahead("3") is None
        for _ in range(59):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            for number in range(1, 10):
                assert line.ahead(str(number)) == number
            clock.now += 1
        assert asked == [10, 10]
        queue.clear()
        clock.now += 60
        line.ahead("3")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert line.ahead("3") is None
        assert asked == [10, 10]

    asyncio.run(look())


def test_no_answer_is_no_number() -> None:
    """A question that failed leaves no old number behind, and is not asked again at once."""
    clock = Clock()
    questions = 0

    async def ahead(jobs: Collection[JobStatus]) -> Mapping[str, int]:
        nonlocal questions
        questions += 1
        raise SchedulerUnreachable("squeue: timed out")

    async def look() -> None:
        line = Line(
            ahead, lambda: [JobStatus(id="1", state=JobState.PENDING)], interval=1, clock=clock
        )
        for _ in range(5):
            assert line.ahead("1") is None
            await asyncio.sleep(0)
            clock.now += 1
        assert questions == 1

    asyncio.run(look())
