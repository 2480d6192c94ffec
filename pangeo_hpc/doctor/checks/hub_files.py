"""The program that acts as users, and all it rests on, is root's."""

from collections.abc import Iterator

from pangeo_hpc.doctor.facts import Facts
from pangeo_hpc.doctor.finding import Finding, problem, skipped

NAME = "hub-files"
TITLE = "only root can change the program that acts as users, its Python and its site YAML"


def judge(facts: Facts) -> Iterator[Finding]:
    """Judge owners and modes."""
    if facts.hub is None or not facts.hub.looked:
        yield skipped(NAME, "only root can look")
        return
    for text in facts.hub.loose:
        yield problem(
            NAME, text, "chown it to root and chmod go-w it; then: pangeo-hpc hub install"
        )
