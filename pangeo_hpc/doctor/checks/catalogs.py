"""The catalogs are there and can be read."""

from collections.abc import Iterator

from pangeo_hpc.doctor.facts import Facts
from pangeo_hpc.doctor.finding import Finding, ok, problem, warning

NAME = "catalogs"
TITLE = "the site names no catalog"


def judge(facts: Facts) -> Iterator[Finding]:
    """Judge each catalog; one in a store may only lack the user's own credentials."""
    names = {f"catalogs[{index}]": each.name for index, each in enumerate(facts.site.catalogs)}
    for each in facts.data:
        if each.key not in names:
            continue
        if each.failure is None:
            yield ok(NAME, f"{names[each.key]} has {each.entries} entries")
            continue
        tell = warning if each.credentials else problem
        text = f"{names[each.key]}: {each.failure.text}"
        yield tell(NAME, text, each.failure.hint, f"{each.key}.url")
