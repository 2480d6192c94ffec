"""JupyterHub on this site."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from pangeo_hpc.site.fields import Choice, Duration, FixedPath, Memory, Token, Url, Whole
from pangeo_hpc.site.model.base import Part

Profile = Annotated[Literal["login", "batch"], Choice]


class LoginServer(Part):
    """A small notebook server on the hub's own host."""

    cores: Whole = Field(default=1, description="Cores of one such server.", examples=[1])
    memory: Memory = Field(
        default=2 * 2**30, description="Memory of one such server.", examples=["2 GiB"]
    )


class Tls(Part):
    """Certificate of the hub's public address."""

    certificate: FixedPath | None = Field(
        default=None,
        description="Certificate file; absent = another web server in front does TLS.",
        examples=["/etc/pki/tls/certs/jupyter.pem"],
    )
    key: FixedPath | None = Field(
        default=None,
        description="File of its key, readable for the service user only.",
        examples=["/etc/pki/tls/private/jupyter.key"],
    )


class Idle(Part):
    """When servers that nobody uses are stopped."""

    after: Duration | None = Field(
        default=timedelta(hours=2),
        description="Time in which nothing works and nobody is there; null = never.",
        examples=["2 hours"],
    )


class Hub(Part):
    """A JupyterHub whose servers are jobs."""

    url: Url = Field(
        description="Public address of the hub.", examples=["https://jupyter.alpha.example"]
    )
    connect_url: Url = Field(
        description="Address at which compute nodes reach the hub.",
        examples=["http://10.0.0.5:8081"],
    )
    service_user: Token = Field(
        default="pangeohub", description="Unix user that runs the hub.", examples=["pangeohub"]
    )
    authenticator: Token = Field(
        default="pam", description="Any installed JupyterHub authenticator.", examples=["pam"]
    )
    allowed_groups: tuple[Token, ...] = Field(
        default=(),
        description="Unix groups that may log in; none = nobody.",
        examples=[["climate"]],
    )
    admin_groups: tuple[Token, ...] = Field(
        default=(), description="Unix groups that administer the hub.", examples=[["hpcadmin"]]
    )
    profiles: tuple[Profile, ...] = Field(
        default=("batch",),
        description="login: a small server on the hub's host; batch: node types as jobs.",
        examples=[["login", "batch"]],
    )
    login: LoginServer = Field(
        default=LoginServer(),
        description="What a server of the login profile gets.",
        examples=[{"cores": 1, "memory": "2 GiB"}],
    )
    port_range: tuple[Whole, Whole] = Field(
        default=(30000, 30999),
        description="First and last port of notebook servers on compute nodes.",
        examples=[[30000, 30999]],
    )
    subdomain_host: Url | None = Field(
        default=None,
        description="Address below which each user gets a domain of their own.",
        examples=["https://jupyter.alpha.example"],
    )
    tls: Tls = Field(
        default=Tls(),
        description="Certificate of the public address.",
        examples=[{"certificate": "/etc/pki/hub.pem", "key": "/etc/pki/hub.key"}],
    )
    idle: Idle = Field(
        default=Idle(),
        description="When idle servers are stopped.",
        examples=[{"after": "2 hours"}],
    )
    poll_interval: Duration = Field(
        default=timedelta(seconds=15),
        description="Time between two looks at the queue, for all servers together.",
        examples=["15 seconds"],
    )
    texts: FixedPath | None = Field(
        default=None,
        description="JSON file with the words of the hub's pages and JupyterLab in your language.",
        examples=["/etc/pangeo-hpc/hub-texts.de.json"],
    )
