"""The scheduler answers, and its version is supported."""

from collections.abc import Iterator

from pangeo_hpc.doctor.facts import Asked, Facts
from pangeo_hpc.doctor.finding import Finding, note, ok, problem, warning

NAME = "scheduler"
TITLE = "the scheduler answers"


def judge(facts: Facts) -> Iterator[Finding]:
    """Judge each scheduler of the site."""
    for key, asked in facts.schedulers.items():
        for what, failure in asked.failures.items():
            text = f"{key}: {_QUESTIONS.get(what, what)} cannot be asked: {failure.text}"
            yield problem(NAME, text, failure.hint, f"schedulers.{key}")
        if asked.version is not None:
            yield _version(asked)


def _version(asked: Asked) -> Finding:
    known = asked.version or ()
    versions, shown = asked.versions, asked.versions.show(known)
    name = asked.kind if asked.key == asked.kind else f"{asked.key}: {asked.kind}"
    if known and known < versions.oldest:
        oldest = versions.show(versions.oldest)
        remedy = f"update it to {oldest} or later; until then nothing is promised"
        return warning(NAME, f"{name} {shown} is older than {oldest}", remedy)
    if versions.tested and known[: len(versions.tested)] > versions.tested:
        text = f"{name} {shown} is newer than what was tested"
        return note(NAME, f"{text} ({versions.show(versions.tested)})")
    words = f"{name} {shown}" if known else f"{name}, which tells no version,"
    return ok(NAME, f"{words} {'answers' if asked.answers else 'is installed'}")


_QUESTIONS = {
    "version": "its version",
    "queues": "its queues",
    "nodes": "its nodes",
    "accounts": "its accounts",
    "settings": "its settings",
    "hub": "its settings for the hub",
}
