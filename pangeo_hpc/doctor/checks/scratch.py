"""Scratch is there and can be written, here and on the nodes, and is the same in both places."""

from collections.abc import Iterator

from pangeo_hpc.doctor.facts import Facts, Place
from pangeo_hpc.doctor.finding import Finding, ok, problem, skipped
from pangeo_hpc.doctor.look import PlaceState

NAME = "scratch"
TITLE = "scratch is there and can be written, here and on the nodes"


def judge(facts: Facts) -> Iterator[Finding]:
    """Judge each filesystem here, then on each node that a canary was on."""
    for place in facts.places:
        found = list(_here(facts, place)) or list(_there(facts, place))
        if not found:
            seen = "here" if facts.silence else "here and on the nodes"
            later = " is made at its first use" if _later(place) else f" can be written {seen}"
            found = [ok(NAME, f"{place.path}{later}")]
        yield from found
    if facts.silence:
        yield skipped(NAME, f"scratch on the nodes: {facts.silence}")


def _later(place: Place) -> bool:
    return place.state is PlaceState.CREATABLE


def _here(facts: Facts, place: Place) -> Iterator[Finding]:
    if place.path is None:
        yield problem(NAME, f"scratch {place.name}: {place.words}", place.hint, place.key)
    elif place.state is PlaceState.MISSING:
        person = facts.person
        make = f"install -d -m 700 -o {person.user} -g {person.group} {place.path}"
        text = f"{place.path} cannot be used: {place.words}"
        yield problem(
            NAME, text, f"create it for each user ({make}), or correct the path", place.key
        )
    elif place.state is PlaceState.REFUSED:
        text = f"{place.path} cannot be written by {facts.person.user}: {place.words}"
        remedy = "check its owner, its permissions and the user's quota, or correct the path"
        yield problem(NAME, text, remedy, place.key)


def _there(facts: Facts, place: Place) -> Iterator[Finding]:
    for node, canary, report in facts.reports():
        seen = report.get("places", {}).get(place.name)
        if not isinstance(seen, dict):
            continue
        where = f"{canary.node} (node type {node.name})"
        if seen.get("state") not in (PlaceState.WRITABLE, PlaceState.CREATABLE):
            text = f"{place.path} cannot be written on {where}: {seen.get('words')}"
            remedy = "mount it there, writable for users, or correct the path"
            yield problem(NAME, text, remedy, place.key)
        elif place.state is PlaceState.WRITABLE and not seen.get("same"):
            text = f"{place.path} on {where} is another directory than here"
            remedy = "use a filesystem that login host and nodes share"
            yield problem(NAME, text, remedy, place.key)
