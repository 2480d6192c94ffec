"""The hub's account can check passwords, and read what it has to."""

from collections.abc import Iterator

from pangeo_hpc.doctor.facts import Facts
from pangeo_hpc.doctor.finding import Finding, ok, problem, skipped

NAME = "hub-passwords"
TITLE = "the hub's account can check passwords"

_WHO = {
    "shadow": "PAM checks passwords of /etc/shadow for the hub's account",
    "directory": "a directory service checks passwords for the hub's account",
    "other": "another authenticator than PAM is used",
}


def judge(facts: Facts) -> Iterator[Finding]:
    """Judge who checks passwords for an account that is not root, and who reads the TLS key."""
    hub, seen = facts.site.hub, facts.hub
    if hub is None or seen is None or not seen.looked or not seen.account:
        yield skipped(NAME, "only root can look, once the account is there")
        return
    if seen.passwords in _WHO:
        yield ok(NAME, _WHO[seen.passwords])
    else:
        text = f"{hub.service_user} cannot check passwords: it cannot read /etc/shadow"
        remedy = (
            "on Debian: pangeo-hpc hub install --shadow; elsewhere let SSSD check passwords, or "
            "name another authenticator"
        )
        yield problem(NAME, text, remedy, "hub.authenticator")
    if seen.key is False:
        text = f"{hub.service_user} cannot read {hub.tls.key}"
        yield problem(NAME, text, "make it readable for that account alone", "hub.tls.key")
