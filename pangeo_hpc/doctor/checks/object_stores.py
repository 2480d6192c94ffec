"""The object stores answer, with the credentials of whoever asks."""

from collections.abc import Iterator

from pangeo_hpc.doctor.facts import Facts
from pangeo_hpc.doctor.finding import Finding, ok, problem, warning

NAME = "object stores"
TITLE = "the site names no object store"


def judge(facts: Facts) -> Iterator[Finding]:
    """Judge each store; credentials are each user's own, so that theirs are only warned of."""
    for each in facts.data:
        if not each.key.startswith("object_stores."):
            continue
        if each.failure is None:
            yield ok(NAME, f"{each.key.partition('.')[2]} answers {facts.person.user}")
            continue
        tell = warning if each.credentials else problem
        yield tell(NAME, each.failure.text, each.failure.hint, each.key)
