"""What a check found, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is; only a problem makes the answer no.

    SKIPPED is what could not be checked, for a reason that another check tells.
    """

    PROBLEM = "problem"
    WARNING = "warning"
    NOTE = "note"
    SKIPPED = "skipped"
    OK = "ok"


@dataclass(frozen=True)
class Finding:
    """One answer of a check; `path` is the key of the site YAML that it is about."""

    check: str
    severity: Severity
    text: str
    remedy: str | None = None
    path: str | None = None


def problem(check: str, text: str, remedy: str | None, path: str | None = None) -> Finding:
    """Return what keeps people from working."""
    return Finding(check, Severity.PROBLEM, text, remedy, path)


def warning(check: str, text: str, remedy: str | None, path: str | None = None) -> Finding:
    """Return what works now, but not well or not for long."""
    return Finding(check, Severity.WARNING, text, remedy, path)


def note(check: str, text: str, remedy: str | None = None, path: str | None = None) -> Finding:
    """Return what is worth knowing."""
    return Finding(check, Severity.NOTE, text, remedy, path)


def skipped(check: str, why: str) -> Finding:
    """Return that something could not be checked."""
    return Finding(check, Severity.SKIPPED, f"not checked: {why}")


def ok(check: str, text: str) -> Finding:
    """Return what was seen to be right."""
    return Finding(check, Severity.OK, text)


def healthy(findings: Iterable[Finding]) -> bool:
    """Tell whether no finding is a problem."""
    return all(finding.severity is not Severity.PROBLEM for finding in findings)
