"""What of a chain is computed again, decided from what is known of its runs."""

import pytest

from pangeo_hpc.schedulers.base import JobState
from pangeo_hpc.workflow.chains.plan import Action, Decision, Seen, Wish, decide, refused

DONE, FAILED, RUNS, WAITS = (
    JobState.COMPLETED,
    JobState.FAILED,
    JobState.RUNNING,
    JobState.PENDING,
)
WISHES = [
    Wish("prepare", "p", "small"),
    Wish("member.a", "a", "big", ["prepare"]),
    Wish("member.b", "b", "big", ["prepare"]),
    Wish("figures", "f", "small", ["member.a", "member.b"]),
]


def seen(**states: JobState) -> dict[str, Seen]:
    """Return what was seen of runs that were submitted once, all by these wishes."""
    names = {"prepare": "prepare", "a": "member.a", "b": "member.b", "figures": "figures"}
    by_run = {wish.run: wish for wish in WISHES}
    return {
        names[key]: Seen(
            attempt=1,
            state=state,
            work=by_run[names[key]].work,
            request=by_run[names[key]].request,
            upstream=dict.fromkeys(by_run[names[key]].after, 1),
        )
        for key, state in states.items()
    }


def actions(made: dict[str, Decision]) -> list[str]:
    return [str(each.action) for each in made.values()]


def all_of(state: JobState) -> dict[str, Seen]:
    return seen(prepare=state, a=state, b=state, figures=state)


def test_everything_is_new() -> None:
    """A chain that was never submitted is submitted whole, nothing afresh."""
    made = decide(WISHES, {})
    assert actions(made) == ["submit"] * 4
    assert not any(each.afresh for each in made.values())


@pytest.mark.parametrize("state", [DONE, RUNS, WAITS, JobState.HELD, JobState.UNKNOWN])
def test_what_is_done_or_under_way_is_left(state: JobState) -> None:
    """Submitted twice, nothing happens."""
    assert actions(decide(WISHES, all_of(state))) == ["leave"] * 4


@pytest.mark.parametrize("state", [FAILED, JobState.TIMEOUT, JobState.CANCELLED, JobState.LOST])
def test_what_failed_goes_on(state: JobState) -> None:
    """Only the item that failed and what follows it; the item goes on where it stopped."""
    made = decide(WISHES, seen(prepare=DONE, a=DONE, b=state, figures=JobState.CANCELLED))
    assert actions(made) == ["leave", "leave", "submit", "submit"]
    assert not made["member.b"].afresh
    assert made["figures"].why == "cancelled, and it follows member.b, which is computed again"


def test_a_change_goes_down_the_chain() -> None:
    """A changed step is computed afresh, and so is all that follows it, and nothing else."""
    changed = [WISHES[0], Wish("member.a", "a2", "big", ["prepare"]), *WISHES[2:]]
    made = decide(changed, all_of(DONE))
    assert actions(made) == ["leave", "submit", "leave", "submit"]
    assert made["member.a"].afresh
    assert made["figures"].afresh


def test_another_request_does_not_recompute() -> None:
    """More memory for an item that failed does not compute again what is complete."""
    wishes = [
        WISHES[0],
        *(Wish(w.run, w.work, "bigger", w.after) for w in WISHES[1:3]),
        WISHES[3],
    ]
    made = decide(wishes, seen(prepare=DONE, a=DONE, b=FAILED, figures=JobState.CANCELLED))
    assert actions(made) == ["leave", "leave", "submit", "submit"]
    made = decide(wishes, seen(prepare=RUNS, a=WAITS, b=RUNS, figures=WAITS))
    assert actions(made) == ["leave", "cancel and submit", "leave", "cancel and submit"]


def test_what_waits_for_the_old_is_replaced() -> None:
    """A job that waits for attempts that are computed again would start too soon, or never."""
    made = decide(WISHES, seen(prepare=DONE, a=RUNS, b=FAILED, figures=WAITS))
    assert actions(made) == ["leave", "leave", "submit", "cancel and submit"]


def test_what_runs_is_not_pulled_away() -> None:
    """A run that computes and has changed keeps the chain from being submitted."""
    changed = [Wish("prepare", "p2", "small"), *WISHES[1:]]
    made = decide(changed, seen(prepare=RUNS, a=WAITS, b=WAITS, figures=WAITS))
    assert made["prepare"].action is Action.REFUSE
    assert [each.run for each in refused(made)] == ["prepare"]


def test_a_run_that_somebody_submitted_again() -> None:
    """An attempt that was made by hand counts, and what followed the earlier one is stale."""
    known = all_of(DONE)
    known["member.b"] = Seen(2, DONE, "b", "big", {"prepare": 1})
    made = decide(WISHES, known)
    assert actions(made) == ["leave", "leave", "leave", "submit"]
    assert made["figures"].why == "what it follows was computed again"


def test_an_item_that_is_left_out() -> None:
    """What followed more items than there are now is computed again."""
    fewer = [*WISHES[:2], Wish("figures", "f", "small", ["member.a"])]
    assert actions(decide(fewer, all_of(DONE))) == ["leave", "leave", "submit"]
