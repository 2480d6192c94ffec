"""A job is submitted once, whatever happens in between."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pangeo_hpc import jobs
from pangeo_hpc.errors import SchedulerUnreachable, SubmitRefused, SubmitUnclear
from pangeo_hpc.jobs import Ask, Job, plan
from pangeo_hpc.schedulers.base import JobRequest, JobState, JobStatus
from pangeo_hpc.site import Person, Site


@pytest.fixture
def request_(site: Site, person: Person, tmp_path: Path) -> JobRequest:
    return plan(site, Ask(), name="ndvi", command=("true",), person=person, folder=tmp_path / "a")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock in which sleeping takes no time; its first item is now."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def kept(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "job.json").read_text())
    return found


def test_a_clear_answer(words: Any, quick: Any, request_: JobRequest, tmp_path: Path) -> None:
    """The id is stored, and the script lies beside it."""
    job = jobs.submit(words, request_, tmp_path / "a", user="alice", runner=quick)
    assert (job.id, kept(tmp_path / "a")["id"]) == ("1", "1")
    assert Job.read(tmp_path / "a") == job
    assert f"--name={request_.name}" in (tmp_path / "a" / "job.sh").read_text()


def test_the_name_is_stored_before(
    words: Any, quick: Any, request_: JobRequest, tmp_path: Path
) -> None:
    """When the scheduler is first called, the folder already knows by what name to look."""
    seen = []

    def runner(command: Any) -> Any:
        seen.append(kept(tmp_path / "a"))
        return quick(command)

    jobs.submit(words, request_, tmp_path / "a", user="alice", runner=runner)
    assert (seen[0]["name"], seen[0]["id"], seen[0]["state"]) == (request_.name, None, "submitting")


def test_a_refusal_quotes_the_scheduler(
    words: Any, quick: Any, request_: JobRequest, tmp_path: Path
) -> None:
    """Its own words reach the user; nothing is looked for."""
    words.mood = "refuses"
    with pytest.raises(SubmitRefused, match="no such queue"):
        jobs.submit(words, request_, tmp_path / "a", user="alice", runner=quick)
    assert words.asked == ["submit"]
    (state,) = jobs.status_of(words, [Job.read(tmp_path / "a")], runner=quick)
    assert (state.state, "refused" in state.reason) == (JobState.FAILED, True)


def test_an_unclear_answer_is_looked_up(
    words: Any, quick: Any, request_: JobRequest, tmp_path: Path, clock: list[float]
) -> None:
    """The scheduler took the job but its answer was lost: the job is found, not doubled."""
    words.mood = "mumbles"
    job = jobs.submit(words, request_, tmp_path / "a", user="alice", runner=quick)
    assert job.id == "1"
    assert words.asked == ["submit", "find", "find", "find"]
    assert len(words.jobs) == 1


def test_a_lost_question_is_an_error_to_retry(
    words: Any, quick: Any, request_: JobRequest, tmp_path: Path, clock: list[float]
) -> None:
    """If the scheduler answers, twice, that it has no such job, nothing was submitted."""
    words.mood = "deaf"
    with pytest.raises(SubmitUnclear, match="was not taken") as caught:
        jobs.submit(words, request_, tmp_path / "a", user="alice", runner=quick)
    assert caught.value.retry
    assert kept(tmp_path / "a")["state"] == "not taken"


def test_nobody_is_asked_twice_in_vain(
    words: Any, quick: Any, request_: JobRequest, tmp_path: Path
) -> None:
    """Where nobody listened no job can exist: the error comes at once, without a search."""
    words.mood = "absent"
    with pytest.raises(SchedulerUnreachable, match="nobody listens"):
        jobs.submit(words, request_, tmp_path / "a", user="alice", runner=quick)
    assert words.asked == ["submit"]
    assert kept(tmp_path / "a")["state"] == "not taken"


def test_a_killed_submitter_is_recovered(
    words: Any, quick: Any, request_: JobRequest, tmp_path: Path
) -> None:
    """Killed between the scheduler's answer and our record: the next look finds the job."""

    class Killed(BaseException):
        pass

    def runner(command: Any) -> Any:
        if words.asked == ["submit"]:
            number = "1"
            words.jobs[number] = JobStatus(id=number, state=JobState.RUNNING, name=request_.name)
            raise Killed
        return quick(command)

    with pytest.raises(Killed):
        jobs.submit(words, request_, tmp_path / "a", user="alice", runner=runner)
    left = Job.read(tmp_path / "a")
    assert left.id is None
    assert jobs.recover(words, left, user="alice", runner=quick).id == "1"
    assert Job.read(tmp_path / "a").id == "1"


def test_a_job_that_ended_unseen(
    words: Any, quick: Any, request_: JobRequest, tmp_path: Path, clock: list[float]
) -> None:
    """Without any history, the exit file shows that the job was taken, ran and ended."""
    words.mood = "deaf"
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "exit").write_text("0\n")
    jobs.submit(words, request_, tmp_path / "a", user="alice", runner=quick)
    (state,) = jobs.status_of(words, [Job.read(tmp_path / "a")], runner=quick)
    assert (state.state, state.exit_code) == (JobState.COMPLETED, 0)


def test_one_question_for_many(words: Any, quick: Any, tmp_path: Path) -> None:
    """A hundred jobs cost one query; the history is asked once, for those that left the queue."""
    for number in range(100):
        words.jobs[str(number)] = JobStatus(id=str(number), state=JobState.RUNNING)
    assert len(jobs.status(words, list(words.jobs), runner=quick)) == 100
    assert words.asked == ["status"]
    words.past["7"] = JobStatus(id="7", state=JobState.COMPLETED, exit_code=0)
    del words.jobs["7"]
    found = jobs.status(words, [str(n) for n in range(100)], runner=quick)
    assert found["7"].state is JobState.COMPLETED
    assert words.asked == ["status", "status", "history"]


def test_vanished_is_not_success(words: Any, quick: Any, tmp_path: Path) -> None:
    """A job nobody knows is LOST, unless its own file says how it ended."""
    assert jobs.status(words, ["5"], runner=quick)["5"].state is JobState.LOST
    path = tmp_path / "exit"
    for code, state in (("0", JobState.COMPLETED), ("3", JobState.FAILED)):
        path.write_text(f"{code}\n")
        found = jobs.status(words, ["5"], exit_files={"5": path}, runner=quick)["5"]
        assert (found.state, found.exit_code) == (state, int(code))
    path.write_text("rubbish")
    assert jobs.status(words, ["5"], exit_files={"5": path}, runner=quick)["5"].state == "lost"


def test_no_news_is_not_an_end(words: Any, quick: Any) -> None:
    """If the queue does not answer, the question fails; no job is taken as gone."""
    words.mood = "down"
    with pytest.raises(SchedulerUnreachable):
        jobs.status(words, ["1"], runner=quick)


@pytest.mark.parametrize(
    ("around", "code", "state"),
    [
        (JobState.RUNNING, 0, JobState.COMPLETED),
        (JobState.RUNNING, 75, JobState.FAILED),
        (JobState.COMPLETED, 1, JobState.FAILED),
        (JobState.FAILED, 0, JobState.COMPLETED),
        (JobState.TIMEOUT, 143, JobState.TIMEOUT),
        (JobState.OUT_OF_MEMORY, 137, JobState.OUT_OF_MEMORY),
        (JobState.CANCELLED, 0, JobState.COMPLETED),
    ],
)
def test_attempts_in_a_job_of_ones_own(
    words: Any, quick: Any, tmp_path: Path, around: JobState, code: int, state: JobState
) -> None:
    """Two attempts in one hand-written job end each for itself, whatever the job does then."""
    made = []
    for name, status in (("a", code), ("b", 3)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "exit").write_text(f"{status}\n")
        request = {"scheduler": "slurm", "node_type": None}
        made.append(Job(name="x", folder=tmp_path / name, id="9", state="taken", request=request))
    words.jobs["9"] = JobStatus(id="9", state=around)
    first, second = jobs.status_of(words, made, runner=quick)
    assert first.state is state
    assert (second.state, second.exit_code) == (JobState.FAILED, 3)


def test_our_own_job_is_not_better_than_its_script(
    words: Any, quick: Any, request_: JobRequest, tmp_path: Path
) -> None:
    """A job that the scheduler calls completed has failed if its script did."""
    job = jobs.submit(words, request_, tmp_path / "a", user="alice", runner=quick)
    job.exit_file.write_text("75\n")
    words.jobs["1"] = JobStatus(id="1", state=JobState.COMPLETED)
    (found,) = jobs.status_of(words, [job], runner=quick)
    assert (found.state, found.exit_code) == (JobState.FAILED, 75)


def test_an_end_is_remembered(words: Any, quick: Any, request_: JobRequest, tmp_path: Path) -> None:
    """Once a job has ended, the scheduler is not asked about it again."""
    job = jobs.submit(words, request_, tmp_path / "a", user="alice", runner=quick)
    done = JobStatus(id="1", state=JobState.OUT_OF_MEMORY, exit_code=137, memory_used=2**30)
    words.past["1"] = done
    del words.jobs["1"]
    assert jobs.status_of(words, [job], runner=quick) == [done]
    words.asked.clear()
    assert jobs.status_of(words, [Job.read(tmp_path / "a")], runner=quick) == [done]
    assert words.asked == []


def test_wait_tells_every_change(clock: list[float]) -> None:
    """Each new state is told once; an unreachable scheduler in between is no news."""
    begin = JobStatus(id="1", state=JobState.PENDING, reason="Resources")
    answers: list[JobStatus | None] = [
        begin, begin, None, replace(begin, state=JobState.RUNNING, reason=""), None,
        replace(begin, state=JobState.TIMEOUT, reason=""),
    ]  # fmt: skip

    def ask() -> JobStatus:
        answer = answers.pop(0)
        if answer is None:
            raise SchedulerUnreachable("no answer")
        return answer

    told: list[JobState] = []
    end = jobs.wait(ask, on_change=lambda status: told.append(status.state))
    assert end.state is JobState.TIMEOUT
    assert told == [JobState.PENDING, JobState.RUNNING, JobState.TIMEOUT]


def test_lost_is_believed_late(clock: list[float]) -> None:
    """A job that left the queue a moment before the history knows it is not lost."""
    lost = JobStatus(id="1", state=JobState.LOST)
    done = JobStatus(id="1", state=JobState.COMPLETED)
    answers = [lost, lost, lost, done]
    assert jobs.wait(lambda: answers.pop(0)).state is JobState.COMPLETED
    assert jobs.wait(lambda: lost).state is JobState.LOST
    assert clock[0] > 20
