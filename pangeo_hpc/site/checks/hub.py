"""Checks of the hub."""

from datetime import timedelta
from urllib.parse import urlsplit

from pangeo_hpc.site.checks.finding import Finding
from pangeo_hpc.site.model import Site

_LOWEST, _HIGHEST = 1024, 65535


def ports(site: Site) -> list[Finding]:
    """Refuse a range of ports that is empty, privileged or beyond the last port."""
    if site.hub is None:
        return []
    first, last = site.hub.port_range
    needs = ("hub.port_range[0]", "hub.port_range[1]")
    if first > last:
        text, hint = f"{first} is after {last}", f"write [{last}, {first}]"
    elif first < _LOWEST or last > _HIGHEST:
        text = f"ports go from {_LOWEST} to {_HIGHEST} for users"
        hint = "write a range within, such as [30000, 30999]"
    else:
        return []
    return [Finding("hub.port_range", text, hint, needs=needs)]


def parts_that_belong_together(site: Site) -> list[Finding]:
    """Refuse half a certificate, an address nobody else can reach, and no profile at all."""
    hub = site.hub
    if hub is None:
        return []
    found = []
    if (hub.tls.certificate is None) != (hub.tls.key is None):
        there, missing = ("key", "certificate") if hub.tls.key else ("certificate", "key")
        text = f"it has a {there} and no {missing}"
        found.append(Finding("hub.tls", text, f"add {missing}", needs=("hub.tls.key",)))
    host = urlsplit(hub.connect_url).hostname or ""
    if host in ("localhost", "::1") or host.startswith("127."):
        text = f"compute nodes cannot reach {host} of the hub's host"
        hint = "write the address of the hub's host on the cluster's network"
        found.append(Finding("hub.connect_url", text, hint))
    if not hub.profiles:
        found.append(
            Finding("hub.profiles", "there is nothing to start", "write login, batch or both")
        )
    if hub.poll_interval <= timedelta(0):
        hint = "write a time such as 15 seconds"
        found.append(Finding("hub.poll_interval", "the queue would be asked without pause", hint))
    if hub.idle.after is not None and hub.idle.after <= timedelta(0):
        text = "servers would stop at once"
        hint = "write a time such as 2 hours, or null to leave idle servers alone"
        found.append(Finding("hub.idle.after", text, hint))
    if hub.service_user == "root":
        text, hint = "the hub must not run as root", "name a user of its own, such as pangeohub"
        found.append(Finding("hub.service_user", text, hint))
    return found
