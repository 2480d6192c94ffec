"""`--after` a run that goes on in further jobs until it is done, in jobs of the local queue."""

import json
from pathlib import Path
from typing import Any

import pytest

from pangeo_hpc import jobs
from pangeo_hpc.cli.main import call
from pangeo_hpc.cli.until_done import is_chain
from pangeo_hpc.errors import RequestRefused
from pangeo_hpc.schedulers.base import JobState
from pangeo_hpc.site import current_person, load_site
from pangeo_hpc.workflow import after, runs
from pangeo_hpc.workflow.follow import follow
from pangeo_hpc.workflow.until_done import followers, gate
from pangeo_hpc.workflow.until_done.decide import Decision, Limits, Standing
from pangeo_hpc.workflow.until_done.followed import After, Followed
from pangeo_hpc.workflow.until_done.record import Chain, begin, end

# the first attempt is killed, the second one is told how to end
LONG = """\
import os, time
attempt = os.environ["PANGEO_HPC_ATTEMPT"]
while not os.path.exists(f"go-{attempt}"):
    time.sleep(0.02)
if attempt == "1":
    os.kill(os.getpid(), 9)
code = int(open(f"go-{attempt}").read())
open("log", "a").write(f"long ended with {code}\\n")
raise SystemExit(code)
"""
NOTES = "import os\nopen('log', 'a').write(os.environ['PANGEO_HPC_RUN'][-5:] + '\\n')\n"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a script that goes on in a second attempt, and one that follows."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PANGEO_HPC_SITE", "local")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "long.py").write_text(LONG)
    (tmp_path / "notes.py").write_text(NOTES)
    return tmp_path


def folder_of(name: str) -> runs.RunFolder:
    return runs.RunFolder(runs.home(load_site(), current_person()) / name)


def shown(name: str, capsys: Any) -> dict[str, Any]:
    capsys.readouterr()
    assert call(["runs", "show", name, "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def go(place: Path, code: int) -> None:
    """Let the first attempt be killed, and the second one end."""
    (place / "go-2").write_text(str(code))
    (place / "go-1").touch()


@pytest.mark.slow
def test_it_starts_after_the_attempt_that_completes(place: Path, capsys: Any) -> None:
    """Not after the first attempt, nor before the end; and a run until done may follow as well."""
    assert call(["submit", "long.py", "--until-done", "--attempts", "3"]) == 0
    assert call(["submit", "notes.py", "--name", "after", "--after", "long"]) == 0
    words = ["submit", "notes.py", "--name", "again", "--after", "long,after", "--until-done"]
    assert call([*words, "--attempts", "2"]) == 0
    ids = [job.id for job in Chain.read(folder_of("long")).jobs(folder_of("long"))]  # type: ignore[union-attr]
    script = (folder_of("again").attempt(1) / "job.sh").read_text()
    assert f"--after-end={','.join(map(str, ids))}" in script
    assert f"--after={folder_of('after').jobs()[0].id}\n" in script
    go(place, 0)
    assert call(["runs", "wait", "again"]) == 0
    assert (place / "log").read_text() == "long ended with 0\nafter\nagain\n"
    attempts = shown("long", capsys)["attempts"]
    assert [each["exit_code"] for each in attempts] == [137, 0]
    ends, starts = attempts[1]["ended"], shown("after", capsys)["attempts"][0]["started"]
    assert ends <= starts
    # complete: nothing to wait for
    assert after.resolve(load_site(), current_person(), ["long"], node_type=None) == After()


@pytest.mark.slow
def test_it_is_taken_back_where_the_run_fails(place: Path, capsys: Any) -> None:
    """It never starts, and tells which run failed and why; so does a run until done."""
    assert call(["submit", "long.py", "--until-done", "--attempts", "3"]) == 0
    assert call(["submit", "notes.py", "--name", "after", "--after", "long"]) == 0
    words = ["submit", "notes.py", "--name", "again", "--after", "long", "--until-done"]
    assert call([*words, "--attempts", "2"]) == 0
    go(place, 3)
    assert call(["runs", "wait", "long"]) == 1
    assert call(["runs", "wait", "after"]) == 1
    assert call(["runs", "wait", "again"]) == 1
    why = (
        "what it was to follow did not succeed: run long failed: attempt 2 failed with exit code 3"
    )
    attempt = shown("after", capsys)["attempts"][0]
    assert (attempt["state"], attempt["reason"]) == ("cancelled", why)
    assert shown("again", capsys)["until_done"]["why"] == why
    assert (place / "log").read_text() == "long ended with 3\n"
    assert call(["submit", "notes.py", "--name", "late", "--after", "long"]) == 2
    said = capsys.readouterr().err
    assert "run long did not succeed (attempt 2 failed with exit code 3), so this would" in said
    assert "submit long again first, then this one after it" in said


def test_cancelling_a_run_cancels_what_follows(place: Path, capsys: Any) -> None:
    """`runs cancel` says whom it takes along."""
    assert call(["submit", "long.py", "--until-done", "--attempts", "2"]) == 0
    assert call(["submit", "notes.py", "--name", "after", "--after", "long"]) == 0
    capsys.readouterr()
    assert call(["runs", "cancel", "long"]) == 0
    assert "run after, which was to follow it, is cancelled too" in capsys.readouterr().err
    assert call(["runs", "wait", "after"]) == 1
    why = "run long failed: cancelled by `pangeo-hpc runs cancel`"
    assert why in shown("after", capsys)["attempts"][0]["reason"]
    assert call(["runs", "wait", "long"]) == 1


def test_what_cannot_be_followed(place: Path) -> None:
    """A run whose last job is not in the queue yet, and one of another scheduler."""
    assert call(["submit", "long.py", "--until-done", "--attempts", "2"]) == 0
    folder = folder_of("long")
    chain = Chain.read(folder)
    assert chain is not None
    Chain(limits=Limits(attempts=5), began=chain.began, numbers=(1, 2), told=chain.told).write(
        folder
    )
    with pytest.raises(RequestRefused) as caught:
        after.resolve(load_site(), current_person(), ["long"], node_type=None)
    (problem,) = caught.value.problems
    assert problem.text == (
        "the queue took 2 of the 5 jobs of run long: which is last is not known"
    )
    assert "at most 2 --attempts" in str(problem.hint)
    chain.write(folder)
    job = chain.jobs(folder)[0].id
    # any of its jobs means the run
    found = after.resolve(load_site(), current_person(), [str(job)], node_type=None)
    assert found.runs == (Followed(str(folder.path), 1),)
    assert len(found.ended) == 2
    assert call(["runs", "cancel", "long"]) == 0


def test_what_the_queue_refused_is_no_submission(long: runs.RunFolder) -> None:
    """A chain of which the queue took fewer jobs is one still, until something else is taken."""
    _, attempt = long.new_attempt()
    assert is_chain(long, "long")
    kept = {"scheduler": "local", "node_type": "x"}
    for state, means in (("refused", True), ("not taken", True), ("taken", False)):
        jobs.Job(name="long", folder=attempt, request=kept, state=state).write()
        assert is_chain(long, "long") is means


# -- what a follower looks at when it begins ------------------------------------------------------


@pytest.fixture
def long(place: Path) -> runs.RunFolder:
    """A run of three jobs whose ends are written by hand, and a follower's attempt."""
    where = load_site(), current_person()
    for name in ("long", "after"):
        folder = runs.open_run(*where, name, script=place / "notes.py", arguments=[])
        for _ in range(3 if name == "long" else 1):
            number, attempt = folder.new_attempt()
            kept = {"scheduler": None, "node_type": "x", "process": None, "cores": 1}
            jobs.Job(
                name=name, folder=attempt, request=kept, submitted="2026-01-01T00:00:00+00:00"
            ).write()
            if name == "long" and number > 1:
                (attempt / runs.AHEAD).touch()
    made = folder_of("long")
    chain = Chain(
        limits=Limits(attempts=3), began="2026-01-01T00:00:00+00:00", numbers=(1, 2, 3), told={}
    )
    chain.write(made)
    return made


def ended(folder: runs.RunFolder, number: int, code: int, *, begun: bool = True) -> None:
    if begun:
        begin(folder.attempt(number), None)
    (folder.attempt(number) / "exit").write_text(f"{code}\n")


def looked(long: runs.RunFolder) -> tuple[int, str]:
    """Return how a follower's look ends, and the reason it leaves."""
    attempt = folder_of("after").attempt(1)
    code = gate.main([str(attempt), f"{long.path}:1"], patience=0)
    reason = attempt / "reason"
    return code, reason.read_text().strip() if reason.exists() else ""


def test_a_complete_run_lets_its_follower_begin(long: runs.RunFolder) -> None:
    """The exit status of the attempt is enough; what nobody noted yet, too."""
    ended(long, 1, 75)
    ended(long, 2, 0)
    assert looked(long) == (0, "")
    end(long, Decision(Standing.COMPLETE, "attempt 2 completed the run"))
    assert looked(long) == (0, "")


def test_a_job_that_found_the_end_is_no_completion(long: runs.RunFolder) -> None:
    """A job that only saw that the run has failed ends with 0, and completes nothing."""
    ended(long, 1, 3)
    ended(long, 2, 0, begun=False)
    code, reason = looked(long)
    assert code == 1
    assert reason == (
        "what it was to follow did not succeed: run long failed: attempt 1 failed with exit code 3"
    )
    (attempt,) = folder_of("after").jobs()
    failed = jobs.Job.read(attempt.folder)
    (failed.folder / "exit").write_text("1\n")
    (status,) = follow(load_site(), current_person(), [failed])
    assert (status.state, status.reason) == (JobState.FAILED, reason)


def test_a_run_that_stopped_with_work_left(long: runs.RunFolder) -> None:
    """After the last attempt that was allowed, and where the jobs are gone without a trace."""
    ended(long, 1, 75)
    code, reason = looked(long)
    assert code == 1
    assert "run long is not complete: its jobs have ended, and none of them completed it" in reason
    ended(long, 2, 75)
    ended(long, 3, 75)
    assert "run long stopped with work left: 3 attempts were made" in looked(long)[1]
    # what is seen of a filesystem may be late: only who computed notes the end
    assert Chain.read(long).over is None  # type: ignore[union-attr]


def test_the_attempts_that_were_followed_count(long: runs.RunFolder) -> None:
    """A later submission of the run changes nothing about those before it."""
    ended(long, 1, 75)
    number, _ = long.new_attempt()
    chain = Chain(limits=Limits(), began="2026-01-02T00:00:00+00:00", numbers=(number,), told={})
    chain.write(long)
    code, reason = looked(long)
    assert code == 1
    assert reason.endswith("run long stopped with work left: it was submitted again")
    ended(long, 2, 0)
    assert looked(long)[0] == 0


def test_an_element_of_an_array(
    long: runs.RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason stands in the attempt of the element's own run."""
    ended(long, 1, 3)
    attempt = folder_of("after").attempt(1)
    (tmp_path / "array").mkdir()
    (tmp_path / "array" / "4").symlink_to(attempt)
    monkeypatch.setenv("PANGEO_HPC_INDEX", "4")
    assert gate.main([str(tmp_path / "array"), f"{long.path}:1"], patience=0) == 1
    assert (attempt / "reason").read_text().startswith("what it was to follow did not succeed")


def test_followers_of_an_earlier_submission_stay(long: runs.RunFolder) -> None:
    """Only those are taken back that wait for this one."""
    attempt = folder_of("after").attempt(1)
    followers.note(After(runs=(Followed(str(long.path), 7),)), attempt)
    decision = Decision(Standing.FAILED, "x")
    assert followers.drop(load_site(), current_person(), long, decision) == []
    assert len(list((long.path / followers.FOLLOWERS).iterdir())) == 1
