"""Whether the scheduler remembers jobs that have ended."""

from collections.abc import Iterator

from pangeo_hpc.doctor.facts import Facts
from pangeo_hpc.doctor.finding import Finding, ok, problem, skipped, warning

NAME = "history"
TITLE = "ended jobs are remembered"


def judge(facts: Facts) -> Iterator[Finding]:
    """Warn where history is off: our own jobs keep their exit status, all else is forgotten."""
    for key, asked in facts.schedulers.items():
        settings = asked.settings
        if settings is None:
            yield skipped(NAME, f"{key} does not tell its settings")
        elif settings.history is None:
            text = f"{key} keeps a history of jobs, but it does not answer"
            yield problem(NAME, text, settings.to_keep_history)
        elif settings.history:
            yield ok(NAME, f"{key} remembers ended jobs")
        else:
            text = f"{key} forgets jobs soon after their end: why one died may stay unknown"
            yield warning(NAME, text, settings.to_keep_history)
