"""The hub's account acts as the hub's users, and as nobody else."""

from collections.abc import Iterator

from pangeo_hpc.doctor.facts import Facts
from pangeo_hpc.doctor.finding import Finding, ok, problem, skipped

NAME = "hub-rule"
TITLE = "the hub's account acts as its users, and as nobody else"


def judge(facts: Facts) -> Iterator[Finding]:
    """Judge what sudo and the program said to the hub's account."""
    hub, seen = facts.site.hub, facts.hub
    if hub is None or seen is None or not seen.looked:
        yield skipped(NAME, "only root can look: run it as root, with --as USER")
        return
    if not seen.account:
        text = f"there is no account {hub.service_user}"
        yield problem(NAME, text, "pangeo-hpc hub install", "hub.service_user")
        return
    if seen.rule:
        text = f"the hub could not act as {seen.user}: {seen.rule}"
        remedy = "pangeo-hpc hub install; check that the user is in one of hub.allowed_groups"
        yield problem(NAME, text, remedy, "hub.allowed_groups")
    else:
        yield ok(NAME, f"the hub's account acts as {seen.user} by the sudo rule")
    if seen.root is False:
        text = f"the hub's account {hub.service_user} can act as root"
        yield problem(NAME, text, "take away every other sudo rule for it", "hub.service_user")
