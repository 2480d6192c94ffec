"""Who asks: what root sees says little about users."""

from collections.abc import Iterator

from pangeo_hpc.doctor.facts import Facts
from pangeo_hpc.doctor.finding import Finding, note, ok

NAME = "person"
TITLE = "the checks are made as a user of the site"


def judge(facts: Facts) -> Iterator[Finding]:
    """Tell an administrator that users may see something else."""
    if facts.person.uid == 0:
        text = "these checks were made as root, who may do what users may not"
        yield note(NAME, text, "check as a user: pangeo-hpc doctor --as USER")
    else:
        yield ok(NAME, f"checked as {facts.person.user}")
