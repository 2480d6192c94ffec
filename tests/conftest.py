"""What all tests share: a test that passed at its second try leaves the words of its first."""

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show why first tries failed; what is only seen on a busy machine is lost otherwise."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.write_sep("_", f"first try of {report.nodeid}")
        terminalreporter.write_line(report.longreprtext[-6000:])
