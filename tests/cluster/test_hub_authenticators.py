"""A hub whose users prove who they are in another way than by PAM."""

from collections.abc import Iterator

import pytest

from tests.cluster.daemons import tail, wait_until
from tests.cluster.hub import Browser, HubRunner, accounts, ensure_hub_machine, none_runs
from tests.cluster.machine import call
from tests.cluster.slurm import SlurmCluster

# stands for any single sign-on: it believes whatever name comes with the right word
AUTHENTICATOR = """
from jupyterhub.auth import Authenticator

class Believer(Authenticator):
    async def authenticate(self, handler, data):
        return data["username"] if data["password"] == "yes" else None

c.JupyterHub.authenticator_class = Believer
"""
SITE = "  authenticator: some.where.Believer\n  admin_groups: [{group}]\n"


def admins(cluster: SlurmCluster) -> str:
    """Return a group for this cluster alone: others are tested at the same time."""
    return f"{cluster.mark}-adm"[-32:]


@pytest.fixture(scope="module")
def hub(cluster: SlurmCluster) -> Iterator[HubRunner]:
    """Return a hub that believes names, and a group of administrators."""
    ensure_hub_machine()
    group = admins(cluster)
    with accounts():
        call(["groupadd", "--force", group])
    site = SITE.format(group=group)
    try:
        with HubRunner(cluster, extra_hub=site, extra_config=AUTHENTICATOR) as runner:
            yield runner
    finally:
        with accounts():
            call(["groupdel", group])


def enters(hub: HubRunner, user: str, password: str = "yes") -> Browser | None:
    """Return a browser that is logged in, None if it was turned away."""
    browser = Browser(hub.url)
    browser.open("/hub/login")
    data = {"username": user, "password": password, "_xsrf": browser.xsrf()}
    status, _ = browser.open("/hub/login?next=%2Fhub%2Fhome", data)
    return browser if status == 200 and browser.where.endswith("/hub/home") else None


def test_unix_groups_decide(hub: HubRunner, cluster: SlurmCluster) -> None:
    """Members get in and get servers; others are turned away, though their proof was right."""
    group = admins(cluster)
    with accounts():
        call(["gpasswd", "--add", "bob", group])
    alice = enters(hub, "alice")
    assert alice is not None, tail(hub.log, 40)
    assert enters(hub, "alice", "no") is None
    for stranger in ("root", "daemon", "nobody", "no-such-user"):
        assert enters(hub, stranger) is None, stranger
    assert alice.json("/hub/api/user")["admin"] is False
    bob = enters(hub, "bob")
    assert bob is not None
    assert bob.json("/hub/api/user")["admin"] is True
    assert wait_until(lambda: none_runs(alice, "alice"), 180, every=1)
    options = {"node_type": "compute", "cores": 1, "memory": "1 GiB"}
    assert alice.spawn("alice", options=options) in (201, 202), alice.said
    ready = wait_until(lambda: (alice.server("alice") or {}).get("ready"), 180, every=0.5)
    assert ready, tail(hub.log, 60)
    assert alice.stop("alice") in (202, 204)
    assert wait_until(lambda: not cluster.admin(["squeue", "-h"]).strip(), 120)
    with accounts():
        call(["gpasswd", "--delete", "bob", group])
    bob = enters(hub, "bob")
    assert bob is not None
    assert bob.json("/hub/api/user")["admin"] is False, "who left the group administers no more"
