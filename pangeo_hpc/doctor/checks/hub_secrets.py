"""The secret of hub and proxy is where nobody else looks."""

from collections.abc import Iterator

from pangeo_hpc.doctor.facts import Facts
from pangeo_hpc.doctor.finding import Finding, problem, skipped

NAME = "hub-secrets"
TITLE = "the secret of hub and proxy is in no argument and in no other user's process"


def judge(facts: Facts) -> Iterator[Finding]:
    """Judge where the secret was seen."""
    if facts.hub is None or not facts.hub.looked or not facts.hub.account:
        yield skipped(NAME, "only root can look, once the account is there")
        return
    for where in facts.hub.token:
        text = f"the secret is not safe: {where}"
        remedy = "rm /etc/pangeo-hpc/hub.env; pangeo-hpc hub install; restart both units"
        yield problem(NAME, text, remedy)
