"""Steps of a chain that go on in further jobs until they are done, on the local queue."""

from pathlib import Path
from typing import Any

import pytest

from pangeo_hpc import workflow
from pangeo_hpc.cli.main import call
from pangeo_hpc.errors import PartlyDone
from pangeo_hpc.run import run
from pangeo_hpc.workflow import runs
from pangeo_hpc.workflow.chains.chain import Chain
from pangeo_hpc.workflow.chains.look import newest
from tests.unit.workflow.test_chains import NOTE, Fails, lines, place, states

__all__ = ["place"]

pytestmark = pytest.mark.timeout(400)

# killed in its first attempt, once it may go; the second one comes to its end
DIES = """\
import os, time
from pathlib import Path
while not Path("go").exists():
    time.sleep(0.02)
first = not Path(os.environ["PANGEO_HPC_RUN"], "died").exists()
Path(os.environ["PANGEO_HPC_RUN"], "died").touch()
if first:
    os.kill(os.getpid(), 9)
"""
LIMITS: dict[str, Any] = {"until_done": True, "attempts": 3}


def cmip(*, runner: Any = run, until_done: str = "prepare", **limits: Any) -> Chain:
    """A chain of prepare, two members and figures, of which one step goes on until done."""
    chain = workflow.Chain("cmip6", runner=runner)
    asked = {name: {} for name in ("prepare", "member")} | {until_done: {**LIMITS, **limits}}
    prepare = chain.step("prepare.py", **asked["prepare"])
    members = chain.step("member.py", over=["a", "b"], after=prepare, **asked["member"])
    chain.step("figures.py", after=members)
    return chain


def jobs_of(chain: Chain, name: str) -> list[Any]:
    folder = runs.RunFolder(runs.home(chain._site, chain._person) / name)
    made = newest(folder)
    return made.jobs(folder) if made else folder.jobs()


@pytest.mark.slow
def test_a_step_goes_on_and_the_next_follows(place: Path) -> None:
    """The array begins after the attempt that completes; nothing is computed again then."""
    (place / "prepare.py").write_text(f"{DIES}{NOTE}")
    chain = cmip()
    told = chain.submit()
    assert len(jobs_of(chain, "cmip6.prepare")) == 3
    assert told.rows[0].job == jobs_of(chain, "cmip6.prepare")[0].id
    (place / "go").touch()
    told = chain.wait(timeout=200)
    assert told.complete, str(told)
    assert [row.attempt for row in told.rows] == [2, 1, 1, 1]
    ran = lines(place)
    assert ran[0] == "cmip6.prepare"
    assert sorted(ran[1:3]) == ["cmip6.member.a a", "cmip6.member.b b"]
    assert ran[3:] == ["cmip6.figures"]
    chain = cmip(attempts=7)
    assert {str(each.action) for each in chain.plan().decisions.values()} == {"leave"}
    # a script that changed starts afresh, in three attempts of its own, and all that follows
    (place / "prepare.py").write_text(f"{DIES}{NOTE}# changed\n")
    chain = cmip()
    chain.submit()
    told = chain.wait(timeout=200)
    assert told.complete, str(told)
    assert [row.attempt for row in told.rows] == [4, 2, 2, 2]
    assert len(lines(place)) == 4


@pytest.mark.slow
def test_each_item_goes_on_by_itself(place: Path) -> None:
    """Items are runs with attempts of their own, and what follows waits for all of them."""
    (place / "member.py").write_text(f"{DIES}{NOTE}")
    chain = cmip(until_done="member")
    chain.submit()
    script = (jobs_of(chain, "cmip6.figures")[0].folder / "job.sh").read_text()
    ids = [job.id for item in "ab" for job in jobs_of(chain, f"cmip6.member.{item}")]
    assert len(set(ids)) == 6
    assert f"#LOCAL --after-end={','.join(ids)}\n" in script
    (place / "go").touch()
    told = chain.wait(timeout=200)
    assert told.complete, str(told)
    assert [row.attempt for row in told.rows] == [1, 2, 2, 1]
    assert lines(place)[-1] == "cmip6.figures"
    assert call(["submit", "prepare.py", "--name", "x", "--after", "cmip6.member", "--wait"]) == 0


@pytest.mark.slow
def test_a_step_that_fails_is_not_followed(place: Path) -> None:
    """Those that follow are taken back and say why; submitted again, it goes on with the rest."""
    (place / "prepare.py").write_text(
        f"{DIES}{NOTE}raise SystemExit(0 if Path('mended').exists() else 3)\n"
    )
    (place / "go").touch()
    chain = cmip()
    chain.submit()
    told = chain.wait(timeout=200)
    assert str(told.rows[0].state) == "failed"
    assert told.rows[0].reason == "failed: attempt 2 failed with exit code 3"
    assert set(states(told)[1:]) <= {"cancelled", "failed"}
    for row in told.rows[1:3]:
        assert str(row.reason).startswith(
            "what it was to follow did not succeed: run cmip6.prepare failed: attempt 2 failed"
        )
    assert str(told.rows[3].reason).startswith("what it was to follow did not succeed")
    assert lines(place) == ["cmip6.prepare"]
    (place / "mended").touch()
    chain = cmip()
    why = [each.why for each in chain.plan().decisions.values()]
    assert why[0] == "failed"
    chain.submit()
    told = chain.wait(timeout=200)
    assert told.complete, str(told)
    assert [row.attempt for row in told.rows] == [4, 2, 2, 2]


@pytest.mark.slow
@pytest.mark.parametrize("which", [1, 2, 4])
def test_ended_in_the_middle_of_its_submission(place: Path, which: int) -> None:
    """Whatever was taken before we were killed is found, and the next call submits the rest."""
    (place / "prepare.py").write_text(f"{DIES}{NOTE}")
    (place / "go").touch()
    with pytest.raises(KeyboardInterrupt):
        cmip(runner=Fails(which, after=True)).submit()
    chain = cmip()
    chain.submit()
    assert len({job.id for job in jobs_of(chain, "cmip6.prepare")}) == 3
    told = chain.wait(timeout=200)
    assert told.complete, str(told)
    assert [row.attempt for row in told.rows] == [2, 1, 1, 1]
    assert len(lines(place)) == 4


def test_a_queue_that_takes_fewer_jobs(place: Path) -> None:
    """What follows is not submitted before all attempts are; the next call submits the rest."""
    (place / "prepare.py").write_text(DIES.partition("first")[0])

    def made(runner: Any) -> Chain:
        chain = workflow.Chain("cmip6", runner=runner)
        # while it waits no attempt begins, which would submit the others itself
        first = chain.step("prepare.py")
        members = chain.step("member.py", after=first, **LIMITS)
        chain.step("figures.py", after=members)
        return chain

    with pytest.raises(PartlyDone, match="the queue took 1 of the 3 jobs of run cmip6.member"):
        made(Fails(3, 4)).submit()
    chain = made(run)
    assert [row.state is None for row in chain.status().rows] == [False, False, True]
    chain.submit()
    assert len(jobs_of(chain, "cmip6.member")) == 3
    (place / "go").touch()
    told = chain.wait(timeout=200)
    assert told.complete, str(told)


def test_cancelling_it(place: Path) -> None:
    """All its attempts go, and nobody begins."""
    (place / "prepare.py").write_text("import time\ntime.sleep(1000)\n")
    chain = cmip()
    chain.submit()
    assert "cmip6.prepare" in chain.cancel()
    told = chain.wait(timeout=200)
    assert told.ended
    assert "completed" not in states(told)
    assert "cancelled with its chain of steps" in str(told.rows[0].reason)
    assert lines(place) == []


def test_limits_are_checked(place: Path) -> None:
    """Limits of what is not asked for, and limits that make no sense, are told with the rest."""
    chain = workflow.Chain("wrong")
    chain.step("prepare.py", attempts=3)
    chain.step("member.py", until_done=True, attempts=0)
    chain.step("figures.py", until_done=True, core_hours=-1)
    told = [f"{problem.path}: {problem.text}" for problem in chain.check()]
    assert told == [
        "prepare.attempts: limits until_done, which is not asked for",
        "member: --attempts 0 is not between 1 and 100",
        "figures: --core-hours -1 is not more than 0",
    ]
