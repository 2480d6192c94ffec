"""The proxy is installed, in a version that was tested."""

from collections.abc import Iterator

from pangeo_hpc.doctor.facts import Facts
from pangeo_hpc.doctor.finding import Finding, note, ok, problem, skipped, warning

NAME = "hub-proxy"
TITLE = "configurable-http-proxy is installed"

TESTED = 5
_INSTALL = f"npm install --global configurable-http-proxy@{TESTED}"


def judge(facts: Facts) -> Iterator[Finding]:
    """Judge the program and its version."""
    seen = facts.hub
    if seen is None or not seen.looked:
        yield skipped(NAME, "root's search path counts")
    elif not seen.proxy:
        yield problem(NAME, "configurable-http-proxy is not installed for everybody", _INSTALL)
    elif not seen.proxy_version[:1].isdigit():
        yield problem(NAME, f"{seen.proxy} does not run: {seen.proxy_version}", _INSTALL)
    else:
        number = seen.proxy_version.partition(".")[0]
        if int(number) < TESTED:
            text = f"configurable-http-proxy {seen.proxy_version} is older than what was tested"
            yield warning(NAME, text, _INSTALL)
        else:
            yield ok(NAME, f"configurable-http-proxy {seen.proxy_version}: {seen.proxy}")
        if int(number) > TESTED:
            yield note(NAME, f"it is newer than version {TESTED}, which was tested")
