"""Decide what of a chain is to be computed, and what is left as it is. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pangeo_hpc.schedulers.base import JobState


@dataclass(frozen=True)
class Seen:
    """What is known of the attempt that stands for a run.

    `work` and `request` are digests of what it computed and what its job asked for; `upstream` are
    the attempts it followed, by the names of their runs.
    """

    attempt: int
    state: JobState
    work: str = ""
    request: str = ""
    upstream: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Wish:
    """What a run is to compute, as digests, and the runs it follows."""

    run: str
    work: str
    request: str
    after: Sequence[str] = ()


class Action(StrEnum):
    """What is done with a run."""

    LEAVE = "leave"
    SUBMIT = "submit"
    REPLACE = "cancel and submit"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Decision:
    """What is done with a run, and why; `afresh` starts its outputs over."""

    run: str
    action: Action
    why: str
    afresh: bool = False

    @property
    def submits(self) -> bool:
        """Tell whether the run gets a new attempt."""
        return self.action in (Action.SUBMIT, Action.REPLACE)


def decide(wishes: Sequence[Wish], seen: Mapping[str, Seen]) -> dict[str, Decision]:
    """Return what is done with each run; `wishes` are in an order in which each can be decided.

    A complete run is computed again if its script, arguments or environment changed, or if one it
    follows is computed again. What its job asked for does not change what it computed; it counts
    for runs that are not complete.
    """
    made: dict[str, Decision] = {}
    for wish in wishes:
        made[wish.run] = _decide(wish, seen, made)
    return made


def _decide(wish: Wish, seen: Mapping[str, Seen], made: Mapping[str, Decision]) -> Decision:
    found = seen.get(wish.run)
    if found is None:
        return Decision(wish.run, Action.SUBMIT, "new")
    reason = _stale(wish, found, seen, made)
    if found.state is JobState.COMPLETED:
        if reason:
            return Decision(wish.run, Action.SUBMIT, reason, afresh=True)
        return Decision(wish.run, Action.LEAVE, "complete")
    if found.state.ended:
        why = f"{found.state}" + (f", and {reason}" if reason else "")
        return Decision(wish.run, Action.SUBMIT, why, afresh=bool(reason))
    if found.state.waiting and not reason and found.request != wish.request:
        reason = "its request changed"
    if not reason:
        return Decision(wish.run, Action.LEAVE, str(found.state))
    action = Action.REPLACE if found.state.waiting else Action.REFUSE
    return Decision(wish.run, action, reason, afresh=True)


def _stale(wish: Wish, found: Seen, seen: Mapping[str, Seen], made: Mapping[str, Decision]) -> str:
    """Return why what an attempt computes is not what is wanted now; empty if it is."""
    if found.work != wish.work:
        return "its script, arguments or environment changed"
    for name in wish.after:
        if made[name].submits:
            return f"it follows {name}, which is computed again"
    if {name: seen[name].attempt for name in wish.after} != dict(found.upstream):
        return "what it follows was computed again"
    return ""


def refused(decisions: Mapping[str, Decision]) -> list[Decision]:
    """Return the decisions that keep a chain from being submitted: runs that compute now."""
    return [each for each in decisions.values() if each.action is Action.REFUSE]


def rows(decisions: Mapping[str, Decision]) -> list[dict[str, Any]]:
    """Return decisions as JSON-able rows."""
    return [
        {"run": each.run, "action": str(each.action), "why": each.why}
        for each in decisions.values()
    ]
