"""Login host and nodes agree on the time."""

from collections.abc import Iterator
from datetime import timedelta

from pangeo_hpc.doctor.facts import Facts
from pangeo_hpc.doctor.finding import Finding, note, problem, skipped, warning
from pangeo_hpc.units import format_duration

NAME = "clock"
TITLE = "login host and nodes agree on the time"

# Seconds: NTP keeps clocks within some thousandths; files seem older or newer than they are.
WORTH_A_WORD, TOO_MUCH = 2.0, 10.0


def judge(facts: Facts) -> Iterator[Finding]:
    """Judge by what is certain: how far a node's clock is away at least."""
    if facts.silence:
        yield skipped(NAME, facts.silence)
    for node, canary, report in facts.reports():
        ahead = report.get("ahead")
        where = f"the clock of {canary.node} (node type {node.name})"
        if not isinstance(ahead, list | tuple) or len(ahead) != 2:
            yield note(NAME, f"{where} could not be compared: the job saw no answer in time")
            continue
        least, most = ahead
        away = least if least > 0 else min(most, 0)
        if abs(away) < WORTH_A_WORD:
            continue
        direction = "ahead of" if away > 0 else "behind"
        amount = format_duration(timedelta(seconds=abs(away)))
        text = f"{where} is {amount} {direction} this host's"
        remedy = "synchronise the clocks of login hosts and nodes (chrony or ntpd)"
        yield (problem if abs(away) >= TOO_MUCH else warning)(NAME, text, remedy)
