"""The site as JupyterHub's settings: what `hub config` writes and `hub run` uses.

Pure: a site and a few paths in, class and trait names out. `apply` sets, never appends, so that it
can be done again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from pangeo_hpc.errors import Problem, SiteError
from pangeo_hpc.hub import operators
from pangeo_hpc.site import Hub, Site

Settings = dict[str, dict[str, Any]]
HERE = Path(__file__).parent
PROGRAM = "/opt/pangeo-hpc/bin/pangeo-hpc-hub-job"


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the hub finds and keeps things; `state` is its own private directory.

    `own_proxy` says that the hub starts its proxy itself, and no unit of its own does.
    """

    site_file: Path
    state: Path
    program: tuple[str, ...] = (PROGRAM,)
    proxy_api: str = "http://127.0.0.1:8001"
    own_proxy: bool = True


def settings(site: Site, places: Places) -> Settings:
    """Return JupyterHub's settings for a site. Raise SiteError if it has no hub."""
    hub = site.hub
    if hub is None:
        hint = "add hub: with url and connect_url; see `pangeo-hpc site sample`"
        raise SiteError([Problem("hub", f"site {site.name} has no hub", hint)])
    return {
        "JupyterHub": {**_addresses(hub), **_hub(hub, places), **_tls(hub)},
        "ConfigurableHTTPProxy": {
            "api_url": places.proxy_api,
            "pid_file": str(places.state / "proxy.pid"),
            "should_start": places.own_proxy,
        },
        "SiteSpawner": _spawner(hub, places),
        # JupyterHub reads its own settings from the wrapper, and ours from the spawner within
        **({"SiteProfilesSpawner": _spawner(hub, places)} if _is_wrapped(hub) else {}),
        **_people(hub),
    }


def _addresses(hub: Hub) -> dict[str, Any]:
    public, inner = urlparse(hub.url), urlparse(hub.connect_url)
    if public.scheme == "https" and hub.tls.certificate is None:
        # another web server in front does TLS
        bind = "http://127.0.0.1:8000"
    else:
        bind = f"{public.scheme}://:{public.port or (443 if public.scheme == 'https' else 80)}"
    return {
        "bind_url": f"{bind}{public.path.rstrip('/')}/",
        "hub_bind_url": f"http://{inner.hostname}:{inner.port or 8081}",
        "hub_connect_url": hub.connect_url,
        "public_url": hub.url,
        **({"subdomain_host": hub.subdomain_host} if hub.subdomain_host else {}),
    }


def _hub(hub: Hub, places: Places) -> dict[str, Any]:
    from pangeo_hpc.hub import home
    from pangeo_hpc.hub.handlers import handlers

    kind = "profiles.SiteProfilesSpawner" if _is_wrapped(hub) else "spawner.SiteSpawner"
    return {
        "spawner_class": f"pangeo_hpc.hub.{kind}",
        "db_url": f"sqlite:///{places.state}/jupyterhub.sqlite",
        "cookie_secret_file": str(places.state / "cookie_secret"),
        "template_paths": [str(HERE / "templates")],
        "extra_handlers": handlers(places.state),
        "template_vars": {"pangeo_hpc_servers": home.servers},
        # servers are jobs: they go on when the hub is stopped, and are found again
        "cleanup_servers": False,
        "cleanup_proxy": places.own_proxy,
        # a proxy that was started anew has no routes until the hub looks at it
        **({} if places.own_proxy else {"last_activity_interval": 15}),
        # the API listens at once, or a job that starts during a restart could not report
        "init_spawners_timeout": 1,
        # pending jobs count as spawning, and a queue wait of days is normal
        "concurrent_spawn_limit": 0,
        "allow_named_servers": True,
    }


def _is_wrapped(hub: Hub) -> bool:
    return hub.profiles != ("batch",)


def _spawner(hub: Hub, places: Places) -> dict[str, Any]:
    return {
        "site_file": str(places.site_file),
        "program": list(places.program),
        "poll_interval": max(1, int(hub.poll_interval.total_seconds())),
        "hub_connect_url": hub.connect_url,
        "http_timeout": 60,
        "usage_file": str(places.state / "usage.json"),
        # nothing of the hub's environment is for a user
        "env_keep": [],
        "consecutive_failure_limit": 0,
    }


def _tls(hub: Hub) -> dict[str, Any]:
    if hub.tls.certificate is None or hub.tls.key is None:
        return {}
    return {"ssl_cert": str(hub.tls.certificate), "ssl_key": str(hub.tls.key)}


def _people(hub: Hub) -> Settings:
    if "pam" not in hub.authenticator.lower():
        from pangeo_hpc.hub import people

        # whoever has proven who they are, and then only members of the site's Unix groups
        hook = people.by_groups(hub.allowed_groups, hub.admin_groups)
        return {"Authenticator": {"allow_all": True, "post_auth_hook": hook}}
    return {
        "Authenticator": {"allow_all": False},
        "PAMAuthenticator": {
            "allowed_groups": set(hub.allowed_groups),
            "admin_groups": set(hub.admin_groups),
            # the hub is not root and cannot open a session for somebody else
            "open_sessions": False,
        },
    }


def apply(config: Any, found: Mapping[str, Mapping[str, Any]], authenticator: str) -> None:
    """Set everything on JupyterHub's configuration object."""
    config.JupyterHub.authenticator_class = authenticator
    for section, values in found.items():
        for name, value in values.items():
            setattr(config[section], name, value)


def configure(
    config: Any,
    site_file: str | Path,
    *,
    state: str | Path,
    program: tuple[str, ...] = (PROGRAM,),
    proxy_api: str = "http://127.0.0.1:8001",
    own_proxy: bool = True,
) -> None:
    """Configure a hub from a site YAML: the one call in a ``jupyterhub_config.py``."""
    from pangeo_hpc import texts
    from pangeo_hpc.schedulers import registry
    from pangeo_hpc.site import load_site

    site = load_site(Path(site_file), schedulers=registry.names())
    # a translation with a mistake is told now, not when somebody looks at a page
    texts.load(site.hub.texts if site.hub else None)
    places = Places(
        site_file=Path(site_file),
        state=Path(state),
        program=program,
        proxy_api=proxy_api,
        own_proxy=own_proxy,
    )
    apply(config, settings(site, places), site.hub.authenticator if site.hub else "pam")
    operators.admit(config, places.state)
