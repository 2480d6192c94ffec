"""Whether the user, and the hub's, see other users' jobs."""

from collections.abc import Iterator

from pangeo_hpc.doctor.facts import Asked, Facts
from pangeo_hpc.doctor.finding import Finding, note, ok, problem, skipped, warning

NAME = "privacy"
TITLE = "other users' jobs can be seen by whom it matters to"


def judge(facts: Facts) -> Iterator[Finding]:
    """Judge each scheduler: a hub follows everybody's jobs with one question."""
    for key, asked in facts.schedulers.items():
        if asked.settings is None:
            yield skipped(NAME, f"{key} does not tell its settings")
            continue
        if facts.site.hub is not None:
            yield from _hub(asked, facts.site.hub.service_user)
        yield _own(asked, facts.person.user, hub=facts.site.hub is not None)


def _own(asked: Asked, user: str, *, hub: bool) -> Finding:
    settings = asked.settings
    if settings is None or settings.sees_all:
        return ok(NAME, f"{user} sees other users' jobs on {asked.key}")
    text = f"{user} sees only their own jobs on {asked.key}"
    if settings.sees_all is None:
        text = f"{asked.key} does not tell whether {user} sees other users' jobs"
    text += ", which is enough for their own work"
    if hub:
        return note(NAME, text)
    return note(NAME, text, f"the user of a hub needs to see all jobs: {settings.to_see_all}")


def _hub(asked: Asked, service_user: str) -> Iterator[Finding]:
    hub = asked.hub
    if hub is None or hub.sees_all:
        return
    text = f"the hub's user {service_user} does not see other users' jobs on {asked.key}"
    if hub.sees_all is None:
        text = f"{asked.key} does not tell whether the hub's user {service_user} sees all jobs"
        yield warning(NAME, text, f"make sure: {hub.to_see_all}", "hub.service_user")
    else:
        yield problem(NAME, text, hub.to_see_all, "hub.service_user")
