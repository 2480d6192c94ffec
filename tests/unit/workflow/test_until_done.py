"""What follows the attempts of a run that is to be computed until done."""

from datetime import timedelta
from typing import Any

import pytest

from pangeo_hpc.errors import UsageError
from pangeo_hpc.schedulers.base import JobState
from pangeo_hpc.workflow.until_done.decide import Decision, Limits, Standing, Tried, decide
from pangeo_hpc.workflow.until_done.job import until
from pangeo_hpc.workflow.until_done.submit import check

FAILED, LOST = JobState.FAILED, JobState.LOST


def tried(number: int = 1, **known: Any) -> Tried:
    """An attempt that stopped in time, having finished two pieces in an hour of two cores."""
    made = {"state": FAILED, "exit_code": 75, "gained": 2, "core_hours": 2.0}
    return Tried(number=number, **(made | known))


def after(*attempts: Tried, **limits: Any) -> Decision:
    return decide(Limits(**limits), attempts)


def test_the_first_attempt_begins() -> None:
    """Nothing was tried yet."""
    assert not after().over


@pytest.mark.parametrize(
    "known",
    [
        {},
        {"exit_code": None, "state": LOST},
        {"exit_code": None, "state": JobState.NODE_FAIL},
        {"exit_code": None, "state": JobState.PREEMPTED},
        {"exit_code": None, "state": JobState.TIMEOUT},
        {"exit_code": 143, "state": JobState.TIMEOUT},
        {"exit_code": 75, "state": JobState.TIMEOUT},
        {"exit_code": 137},
        {"exit_code": 143},
        {"gained": None},
        {"gained": None, "exit_code": 137},
    ],
)
def test_what_is_followed(known: dict[str, Any]) -> None:
    """Attempts that stopped in time, or that were ended from outside."""
    assert after(tried(**known)) == Decision(Standing.GOES_ON)


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"exit_code": 1}, "attempt 1 failed with exit code 1"),
        ({"exit_code": 4}, "attempt 1 failed with exit code 4"),
        ({"exit_code": 139}, "attempt 1 was ended by SIGSEGV"),
        ({"exit_code": 130}, "attempt 1 was ended by SIGINT"),
        ({"exit_code": 1, "state": JobState.TIMEOUT}, "attempt 1 failed with exit code 1"),
        ({"exit_code": 137, "state": JobState.OUT_OF_MEMORY}, "attempt 1 ran out of memory"),
        ({"exit_code": None, "state": JobState.CANCELLED}, "the job of attempt 1 was cancelled"),
    ],
)
def test_what_would_fail_again(known: dict[str, Any], words: str) -> None:
    """An error of the script, too little memory, and a person's own will end the chain with 1."""
    decision = after(tried(**known))
    assert (decision.standing, decision.exit_code) == (Standing.FAILED, 1)
    assert decision.why.startswith(words)


def test_a_complete_run() -> None:
    """The last attempt counts, whatever came before."""
    decision = after(tried(1, exit_code=137), tried(2, exit_code=0, state=JobState.COMPLETED))
    assert decision == Decision(Standing.COMPLETE, "attempt 2 completed the run")
    assert decision.exit_code == 0
    assert after(tried(exit_code=0, state=LOST)).standing is Standing.COMPLETE


def test_no_progress_stops_at_once() -> None:
    """The work that is left, and what was at work, are told; the exit code is 75."""
    stuck = (("unit-0003 of out.zarr", timedelta(minutes=50)),)
    decision = after(tried(1), tried(2, gained=0, stuck=stuck))
    assert decision == Decision(
        Standing.LEFT,
        "attempt 2 finished nothing; at work when it ended: unit-0003 of out.zarr (50 minutes)",
    )
    assert decision.exit_code == 75
    assert after(tried(gained=0, state=JobState.TIMEOUT, exit_code=None)).over


@pytest.mark.parametrize(
    "known",
    [
        {"state": JobState.NODE_FAIL, "exit_code": None},
        {"state": LOST, "exit_code": None},
        {"exit_code": 137},
    ],
)
def test_one_dead_node_is_no_lack_of_progress(known: dict[str, Any]) -> None:
    """Killed from outside before its first piece, an attempt is followed once more, not twice."""
    idle = {"gained": 0, **known}
    assert not after(tried(1), tried(2, **idle)).over
    assert not after(tried(1, **idle)).over
    assert after(tried(1, **idle), tried(2, **idle)).standing is Standing.LEFT


def test_limits() -> None:
    """Of attempts, and of what their jobs used; the one reached is told."""
    two = (tried(1), tried(2))
    assert not after(*two, attempts=3, core_hours=4.5).over
    assert after(*two, attempts=2).why == "2 attempts were made, and no more are allowed"
    assert after(*two, core_hours=4).why == "4.00 core-hours were used, and 4 are allowed"
    assert after(*two, core_hours=4).exit_code == 75
    for wrong in (Limits(attempts=0), Limits(attempts=101), Limits(core_hours=0.0)):
        with pytest.raises(UsageError):
            check(wrong)


def test_core_hours_end_an_attempt_early() -> None:
    """What is left of them may be less than the walltime; the attempt stops in time for it."""
    ended = [tried(core_hours=2.0)]
    assert until(Limits(), ended, 4, 9000.0, 0.0) == 9000.0
    assert until(Limits(core_hours=4), ended, 4, 9000.0, 1000.0) == 2800.0
    assert until(Limits(core_hours=40), ended, 4, 9000.0, 1000.0) == 9000.0
    assert until(Limits(core_hours=1), ended, 4, 9000.0, 1000.0) == 1000.0
