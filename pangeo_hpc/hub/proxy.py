"""The command line of a proxy that runs apart from the hub."""

from pathlib import Path
from urllib.parse import urlparse

from pangeo_hpc.hub.settings import Places, settings
from pangeo_hpc.site import Site

# The variable in which hub and proxy find the secret they share; it is in no argv.
TOKEN = "CONFIGPROXY_AUTH_TOKEN"  # noqa: S105 - its name
LOWEST_FREE_PORT = 1024


def command(site: Site, places: Places, program: Path) -> tuple[str, ...]:
    """Return the argv of the proxy, without any secret. Raise SiteError if there is no hub."""
    found = settings(site, places)["JupyterHub"]
    public, api = urlparse(found["bind_url"]), urlparse(places.proxy_api)
    hub = urlparse(found["hub_bind_url"])
    argv = [
        str(program),
        *("--ip", public.hostname or ""),
        *("--port", str(public.port)),
        *("--api-ip", api.hostname or "127.0.0.1"),
        *("--api-port", str(api.port)),
        *("--error-target", f"{hub.scheme}://{hub.netloc}{public.path}hub/error"),
    ]
    if "subdomain_host" in found:
        argv.append("--host-routing")
    if "ssl_cert" in found:
        argv += ["--ssl-cert", found["ssl_cert"], "--ssl-key", found["ssl_key"]]
    return tuple(argv)


def needs_low_port(site: Site, places: Places) -> bool:
    """Tell whether the proxy listens at a port that is kept for root."""
    port = urlparse(settings(site, places)["JupyterHub"]["bind_url"]).port
    return port is not None and port < LOWEST_FREE_PORT
