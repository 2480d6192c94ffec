"""Compute nodes see the user's state folder."""

from collections.abc import Iterator

from pangeo_hpc.doctor.facts import Facts, Outcome
from pangeo_hpc.doctor.finding import Finding, problem, skipped

NAME = "state"
TITLE = "compute nodes see user_state"


def judge(facts: Facts) -> Iterator[Finding]:
    """Judge by what came back: a job that left nothing there did not see it."""
    path = facts.site.user_state
    if facts.unsent is not None and facts.canaries:
        failure = next(iter(facts.canaries.values())).failures[0]
        yield problem(NAME, f"user_state ({path}): {failure.text}", failure.hint, "user_state")
        return
    if not any(canary.status for canary in facts.canaries.values()):
        yield skipped(NAME, facts.silence or "no canary ran")
    for name, canary in facts.canaries.items():
        if canary.outcome is Outcome.NO_TRACE and canary.status is not None:
            where = f" on {canary.node}" if canary.node else ""
            text = (
                f"job {canary.job} of node type {name}{where} ended ({canary.status.state}) and "
                f"left nothing in {canary.folder}: its node does not see user_state ({path})"
            )
            remedy = "set user_state to a folder on a filesystem that compute nodes see"
            yield problem(NAME, text, remedy, "user_state")
