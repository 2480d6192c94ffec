"""The hub on the real cluster: real accounts, real proxy, real jobs."""

import os
import secrets
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.cluster.daemons import tail, wait_until
from tests.cluster.hub import HubRunner, ensure_hub_machine
from tests.cluster.slurm import SlurmCluster


@pytest.fixture(scope="module")
def hub(cluster: SlurmCluster) -> Iterator[HubRunner]:
    """Return a running hub that serves alice and bob."""
    ensure_hub_machine()
    with HubRunner(cluster) as runner:
        yield runner


def test_a_server_from_login_to_stop(hub: HubRunner, cluster: SlurmCluster) -> None:
    """Alice logs in, gets a server as a job, uses it, and stops it; nothing is left."""
    hub.begin_anew("alice")
    alice = hub.client("alice")
    assert alice.spawn("alice", options={"node_type": "compute", "cores": 2}) in (201, 202), (
        alice.said
    )

    def ready() -> bool:
        server = alice.server("alice")
        return bool(server and server["ready"])

    assert wait_until(ready, 180, every=0.5), tail(hub.log, 60)
    assert alice.open("/user/alice/lab")[0] == 200
    status, text = alice.open("/user/alice/api/status")
    assert status == 200, (status, text)
    assert cluster.admin(["squeue", "-h", "-o", "%u %T"]).split() == ["alice", "RUNNING"]
    assert alice.stop("alice") in (202, 204)
    gone = wait_until(lambda: not cluster.admin(["squeue", "-h"]).strip(), 120)
    assert gone, cluster.admin(["squeue"]) + tail(hub.log, 80)


SILENCE = 120
"""Seconds without a scheduler; that nothing happens then is what is tested."""
SERVERS = [("alice", f"a{n}") for n in range(5)] + [("bob", f"b{n}") for n in range(5)]


@pytest.mark.timeout(1200)
def test_ten_servers_survive_the_hub_and_the_proxy(hub: HubRunner, cluster: SlurmCluster) -> None:
    """Pending, starting and running servers outlive kill -9 of hub and proxy, and a silent Slurm.

    None is lost, doubled or left to itself.
    """
    hub.begin_anew("alice", "bob")
    servers = [(user, f"{name}-{secrets.token_hex(2)}") for user, name in SERVERS]
    people = {name: hub.client(name) for name in ("alice", "bob")}
    plain = {"node_type": "compute", "cores": 1, "memory": "1 GiB"}
    wishes = [
        {**plain, **({"option.begin": "now+150"} if index % 5 >= 3 else {})}
        for index in range(len(servers))
    ]
    with ThreadPoolExecutor(len(servers)) as pool:
        answers = list(pool.map(lambda s, w: spawned(hub, *s, w), servers, wishes))
    assert {status for status, _ in answers} <= {201, 202}, answers
    # a spawn that is slow on a busy machine is answered before its job is submitted
    assert wait_until(lambda: len(jobs(cluster)) == 10, 180), tail(hub.log, 60)
    names = jobs(cluster)
    cluster.stop_controller()
    try:
        with hub.down():
            os.kill(hub.proxy_pid(), signal.SIGKILL)
        # for as long as nobody can say what becomes of the jobs, no server is given up
        time.sleep(SILENCE)
    finally:
        cluster.start_controller()
    people = {name: hub.client(name) for name in ("alice", "bob")}

    def ready() -> bool:
        return all((people[u].server(u, s) or {}).get("ready") for u, s in servers)

    assert wait_until(ready, 300, every=1), tail(hub.log, 100)
    assert jobs(cluster) == names
    for user, server in servers:
        # one that has just been found again may still be busy with its first answers
        page = f"/user/{user}/{server}/lab"
        opened = partial(lambda who, path: who.open(path)[0] == 200, people[user], page)
        assert wait_until(opened, 60, every=2), people[user].open(page)
        assert people[user].stop(user, server) in (202, 204)
    assert wait_until(lambda: not jobs(cluster), 180), tail(hub.log, 60)


def spawned(hub: HubRunner, user: str, server: str, wish: dict[str, Any]) -> tuple[int, str]:
    """Ask for a server and return the answer."""
    client = hub.client(user)
    return client.spawn(user, server, wish), client.said[:300]


def jobs(cluster: SlurmCluster) -> set[str]:
    """Return the names of all jobs in the queue."""
    return set(cluster.admin(["squeue", "-h", "-o", "%j"]).split())
