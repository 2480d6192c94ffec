"""Browsers keep the hub's users apart."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from pangeo_hpc.doctor.facts import Facts
from pangeo_hpc.doctor.finding import Finding, problem, warning

NAME = "hub-domain"
TITLE = "each user has a domain of their own, and logs in over TLS"


def judge(facts: Facts) -> Iterator[Finding]:
    """Judge the public address."""
    hub = facts.site.hub
    if hub is None:
        yield problem(NAME, f"site {facts.site.name} has no hub", "add hub: to the YAML", "hub")
        return
    if hub.subdomain_host is None:
        text = "all users share one web origin: a page of one can act in another's browser"
        host = urlsplit(hub.url).netloc
        remedy = f"set it, with DNS and a certificate for *.{host}; see docs/hub-install.md"
        yield warning(NAME, text, remedy, "hub.subdomain_host")
    if urlsplit(hub.url).scheme != "https":
        text = "passwords and sessions cross the network in clear"
        yield warning(NAME, text, "make it https, with tls or a web server in front", "hub.url")
