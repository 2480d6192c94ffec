"""`doctor`: check for real whether the site works, and say what to do where it does not."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pangeo_hpc.cli.context import Here, here
from pangeo_hpc.cli.output import Face, face, json_option
from pangeo_hpc.errors import Exit

if TYPE_CHECKING:
    from pangeo_hpc.doctor.finding import Finding

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _duration(context: click.Context, parameter: click.Parameter, value: str) -> timedelta:
    from pangeo_hpc.units import parse_duration

    try:
        time = parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from error
    if time <= timedelta(0):
        raise click.BadParameter("it must be more than nothing", context, parameter)
    return time


@click.command()
@click.option("--as", "user", metavar="USER", help="Check as this Unix user (for root).")
@click.option("--no-jobs", is_flag=True, help="Submit nothing: what needs a node is not checked.")
@click.option(
    "--timeout",
    metavar="TIME",
    default="5 minutes",
    show_default=True,
    callback=_duration,
    help="How long a job may wait in the queue.",
)
@json_option
@click.pass_context
def doctor(context: click.Context, user: str | None, no_jobs: bool, timeout: timedelta) -> int:
    """Check for real whether the site works, and tell a remedy for each finding.

    The scheduler is asked, its answers are compared with the site YAML, and a job of some seconds
    is sent through each node type. Exit code 1 means that there is a problem.
    """
    talk = face(context)
    if user is not None:
        return _as_user(talk, user, no_jobs=no_jobs, timeout=timeout)
    from pangeo_hpc.doctor import checks
    from pangeo_hpc.doctor.finding import healthy
    from pangeo_hpc.doctor.gather import Choices, gather

    our = here(context)
    choices = Choices(canaries=not no_jobs, timeout=timeout.total_seconds())
    with _once_interrupted(talk):
        facts = gather(our.site, our.person, choices, say=talk.say)
    findings = checks.judge(facts)
    _tell(our, findings)
    return Exit.DONE if healthy(findings) else Exit.NO


def _as_user(talk: Face, user: str, *, no_jobs: bool, timeout: timedelta) -> int:
    """Run the same command as somebody else, with their rights and nothing of ours."""
    from pangeo_hpc.cli.other_user import find_user, run_again

    other = find_user(user)
    words = ["doctor", "--timeout", f"{timeout.total_seconds():g} seconds"]
    words += ["--no-jobs"] if no_jobs else []
    site = talk.site or os.environ.get("PANGEO_HPC_SITE")
    if site:
        # they start in their own home
        words = ["--site", str(Path(site).absolute()) if Path(site).exists() else site, *words]
    flags = {"--json": talk.json, "--quiet": talk.quiet, "--debug": talk.debug}
    return run_again(other, [*(flag for flag, on in flags.items() if on), *words], os.environ)


@contextmanager
def _once_interrupted(talk: Face) -> Iterator[None]:
    """Let the first signal end the work, and nothing disturb what is then put in order."""
    ending = False

    def stop(number: int, _: Any) -> None:
        nonlocal ending
        if not ending:
            ending = True
            talk.say("taking the jobs back…")
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(our: Here, findings: "list[Finding]") -> None:
    from pangeo_hpc.doctor.finding import Severity

    counts = {str(severity): 0 for severity in Severity}
    for finding in findings:
        counts[str(finding.severity)] += 1
    if our.face.json:
        keys = ("check", "severity", "text", "remedy", "path")
        rows = [{key: getattr(finding, key) for key in keys} for finding in findings]
        told = {f"{severity}s": counts[severity] for severity in _COUNTED}
        our.face.data(
            {"site": our.site.name, "user": our.person.user, **told, "findings": rows},
        )
        return
    quiet = (Severity.OK, Severity.NOTE, Severity.SKIPPED) if our.face.quiet else ()
    for finding in findings:
        if finding.severity not in quiet:
            our.face.out(f"{finding.severity:<8} {finding.check}: {finding.text}")
            if finding.remedy:
                our.face.out(f"{'':8} remedy: {finding.remedy}")
    numbers = [_number(counts[word], word) for word in _COUNTED]
    our.face.out(f"{our.site.name}: {', '.join(numbers)}")


_COUNTED = ("problem", "warning", "note")


def _number(count: int, word: str) -> str:
    return f"{count or 'no'} {word}{'' if count == 1 else 's'}"
