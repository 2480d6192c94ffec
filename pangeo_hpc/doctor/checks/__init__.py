"""The checks, one in each file, in the order in which they are told."""

from collections.abc import Iterator
from typing import Protocol

from pangeo_hpc.doctor.checks import (
    accounts,
    canaries,
    catalogs,
    clock,
    environments,
    grants,
    history,
    hub_domain,
    hub_files,
    hub_network,
    hub_passwords,
    hub_proxy,
    hub_rule,
    hub_secrets,
    interfaces,
    limits,
    object_stores,
    person,
    privacy,
    queues,
    scheduler,
    scratch,
    state,
)
from pangeo_hpc.doctor.facts import Facts
from pangeo_hpc.doctor.finding import Finding, Severity, ok


class Check(Protocol):
    """What each file of this folder offers."""

    NAME: str
    TITLE: str

    def judge(self, facts: Facts) -> Iterator[Finding]:
        """Yield what is wrong, or worth knowing; nothing is started and nothing read."""
        ...


CHECKS: tuple[Check, ...] = (
    person,
    scheduler,
    queues,
    limits,
    accounts,
    privacy,
    history,
    canaries,
    state,
    scratch,
    grants,
    clock,
    interfaces,
    environments,
    object_stores,
    catalogs,
)

# Told only where a hub is asked for.
HUB_CHECKS: tuple[Check, ...] = (
    hub_domain,
    hub_rule,
    hub_files,
    hub_passwords,
    hub_secrets,
    hub_proxy,
    hub_network,
)


def judge(facts: Facts) -> list[Finding]:
    """Return the findings of every check, each once; one with nothing to say has its title."""
    findings: list[Finding] = []
    for check in CHECKS + (HUB_CHECKS if facts.hub is not None else ()):
        found = list(dict.fromkeys(check.judge(facts)))
        if all(finding.severity is Severity.NOTE for finding in found):
            found.insert(0, ok(check.NAME, check.TITLE))
        findings += found
    return findings
