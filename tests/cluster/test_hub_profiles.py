"""Login servers and jobs at one hub, through the wrapper, for real users."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import psutil
import pytest

from tests.cluster import machine
from tests.cluster.daemons import tail, wait_until
from tests.cluster.failing import go_on, page
from tests.cluster.hub import Browser, HubRunner, end_all_jobs, ensure_hub_machine
from tests.cluster.slurm import SlurmCluster
from tests.cluster.stream import Stream

LOGIN = "  profiles: [login, batch]\n  login: {cores: 1, memory: 1 GiB}\n"
SLOW = """\
  slow: {queue: compute, cores: 1, memory: 1 GiB, walltime: "00:10:00",
    setup: ["until [ -e GO_ON ]; do sleep 1; done"]}
"""


@pytest.fixture(scope="module")
def hub(cluster: SlurmCluster) -> Iterator[HubRunner]:
    """Return a hub that offers login servers and jobs."""
    ensure_hub_machine()
    end_all_jobs(cluster)
    slow = SLOW.replace("GO_ON", str(go_on(cluster)))
    with HubRunner(cluster, extra_hub=LOGIN, extra_node_types=slow) as runner:
        yield runner


def ask(hub: HubRunner, *words: str) -> dict[str, Any]:
    """Return what a command of `pangeo-hpc hub` tells root on the hub's host."""
    argv = [f"{machine.VENV}/bin/pangeo-hpc", "--site", str(hub.site_file), "hub", *words]
    done = subprocess.run(
        [*argv, "--state", str(hub.state)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return dict(json.loads(done.stdout))


def status(hub: HubRunner) -> list[dict[str, Any]]:
    """Return the servers that `hub status` tells, as root sees them."""
    return list(ask(hub, "status", "--json")["servers"])


def await_ready(hub: HubRunner, browser: Browser, user: str, *servers: str) -> None:
    """Wait until servers are ready."""

    def ready() -> bool:
        return all((browser.server(user, name) or {}).get("ready") for name in servers)

    assert wait_until(ready, 180, every=0.5), tail(hub.log, 80)


def answers(browser: Browser, path: str) -> bool:
    """Tell whether a page is there."""
    return browser.open(path)[0] == 200


def notebooks(hub: HubRunner, user: str) -> Iterator[tuple[str, psutil.Process]]:
    """Yield a user's notebook servers, each with the host it is on: login or node."""
    for process in psutil.process_iter(["username", "cmdline"]):
        words = process.info["cmdline"] or []
        ours = any(str(hub.cluster.directory) in word for word in words)
        if process.info["username"] == user and ours and "pangeo_hpc.hub.singleuser" in words:
            yield "login" if words[-1] == "loopback" else "node", process


def listeners(hub: HubRunner, user: str) -> dict[str, list[tuple[str, int]]]:
    """Return the addresses that a user's notebook servers listen at, by the host they are on."""
    found: dict[str, list[tuple[str, int]]] = {}
    for where, process in notebooks(hub, user):
        # one that has just ended listens nowhere
        with suppress(psutil.NoSuchProcess):
            for each in process.net_connections("inet"):
                if each.status == psutil.CONN_LISTEN:
                    found.setdefault(where, []).append((each.laddr.ip, each.laddr.port))
    return found


def test_each_server_has_its_own_profile(hub: HubRunner, cluster: SlurmCluster) -> None:
    """A login server runs on the hub's host within the site's limits, beside one that is a job.

    Both survive kill -9 of the hub, and the login server even a site that no longer offers them.
    """
    hub.begin_anew("alice")
    alice = hub.client("alice")
    assert alice.spawn("alice", options={"profile": "login"}) in (201, 202), alice.said
    batch = {"profile": "batch", "node_type": "compute", "cores": "1", "memory": "1 GiB"}
    assert alice.spawn("alice", "big", batch) in (201, 202), alice.said
    await_ready(hub, alice, "alice", "", "big")
    rows = {each["server"]: each for each in status(hub)}
    assert [rows[n]["profile"] for n in ("", "big")] == ["login", "batch"]
    assert [rows[n]["scheduler"] for n in ("", "big")] == ["local", "slurm"]
    assert (rows[""]["memory"], rows[""]["cores"]) == (2**30, 1)
    assert rows["big"]["queue"] == "compute"
    # twelve hours, less the seconds of this test
    assert 11.9 * 3600 < rows[""]["walltime_left"] <= 12 * 3600
    assert cluster.admin(["squeue", "-h", "-o", "%j"]).split() == [rows["big"]["name"]]
    fit = ask(hub, "reconcile", "--program", str(hub.program), "--json")
    assert (fit["jobs"], fit["servers"], fit["found"]) == (2, 2, [])
    there = listeners(hub, "alice")
    assert [ip for ip, _ in there["login"]] == ["127.0.0.1"]
    # one core, whatever the host has
    cores = [
        process.cpu_affinity() for where, process in notebooks(hub, "alice") if where == "login"
    ]
    assert cores and {len(each) for each in cores} == {1}, cores
    header = next(hub.cluster.directory.glob(f"shared/alice/state/hub/{rows['']['name']}/job.sh"))
    assert "--memory=1024M" in header.read_text()
    assert "--cores=1" in header.read_text()

    text = hub.site_file.read_text()
    with hub.down():
        hub.site_file.write_text(text.replace(LOGIN, ""))
    try:
        alice = hub.client("alice")
        await_ready(hub, alice, "alice", "", "big")
        for path in ("/user/alice/lab", "/user/alice/big/lab"):
            assert wait_until(partial(answers, alice, path), 60, every=1), path
        # JupyterHub waits for an answer from a server that is there before it calls it ready
        assert alice.stop("alice") in (202, 204)
        assert wait_until(lambda: "login" not in listeners(hub, "alice"), 120), tail(hub.log, 60)
        assert cluster.admin(["squeue", "-h", "-o", "%j"]).split() == [rows["big"]["name"]]
        assert alice.spawn("alice", "other", {"profile": "login"}) == 400
        assert "login" in alice.said
    finally:
        with hub.down():
            hub.site_file.write_text(text)
    alice = hub.client("alice")
    await_ready(hub, alice, "alice", "big")
    assert alice.stop("alice", "big") in (202, 204)
    assert wait_until(lambda: not cluster.admin(["squeue", "-h"]).strip(), 120)


@pytest.mark.timeout(1200)
def test_all_are_found_again(hub: HubRunner, cluster: SlurmCluster) -> None:
    """Pending, starting and running servers outlive kill -9 of hub and proxy, each with a route.

    What is up has its route while others still wait. One that waits has its page, and is cancelled.
    """
    hub.begin_anew("alice")
    go_on(cluster).unlink(missing_ok=True)
    alice = hub.client("alice")
    waits = {"node_type": "compute", "cores": "1", "memory": "1 GiB"}
    wishes = {
        "login": {"profile": "login"},
        "runs": waits,
        "starts": {"node_type": "slow"},
        "waits": {**waits, "option.begin": "now+60"},
        "never": {**waits, "option.begin": "now+3000"},
    }
    for name in ("login", "runs", "waits", "never", "starts"):
        assert alice.spawn("alice", name, wishes[name]) in (201, 202), alice.said
    await_ready(hub, alice, "alice", "login", "runs")

    def kept() -> dict[str, tuple[str, str]]:
        return {each["server"]: (each["name"], each["job"]) for each in status(hub)}

    def states() -> dict[str, str]:
        lines = cluster.admin(["squeue", "-h", "-o", "%i %T"]).splitlines()
        return dict(line.split() for line in lines)

    assert wait_until(lambda: all(job for _, job in kept().values()), 120)
    before = kept()
    assert wait_until(lambda: states().get(before["starts"][1]) == "RUNNING", 120), states()
    assert not alice.server("alice", "starts")["ready"]
    with hub.down():
        os.kill(hub.proxy_pid(), signal.SIGKILL)
        go_on(cluster).touch()
    alice = hub.client("alice")

    def opens(name: str) -> bool:
        return answers(alice, f"/user/alice/{name}/lab")

    for name in ("login", "runs", "starts"):
        await_ready(hub, alice, "alice", name)
        # one that has just been found again may still be busy with its first answers
        assert wait_until(partial(opens, name), 60, every=1), tail(hub.log, 60)
    assert alice.server("alice", "never")["pending"] == "spawn"
    Stream(alice, "alice", "never").says("waits in the queue")
    assert before["never"][1] in page(alice, "never")
    assert alice.stop("alice", "never") in (202, 204)
    assert wait_until(lambda: before["never"][1] not in states(), 120), tail(hub.log, 60)
    assert wait_until(lambda: "gone from the queue" in page(alice, "never"), 120)
    await_ready(hub, alice, "alice", "waits")
    assert wait_until(lambda: opens("waits"), 60, every=1), tail(hub.log, 60)
    del before["never"]
    assert kept() == before
    for name in before:
        assert alice.stop("alice", name) in (202, 204)
    assert wait_until(lambda: not states(), 120), tail(hub.log, 60)
    assert wait_until(lambda: "login" not in listeners(hub, "alice"), 120), tail(hub.log, 60)


def test_no_other_profile_starts_anything(hub: HubRunner, cluster: SlurmCluster) -> None:
    """An unknown profile, and limits that a login server has not, are refused on every way."""
    hub.begin_anew("alice", "bob")
    bob = hub.client("bob")
    for options in (
        {"profile": "nope"},
        {"profile": "local"},
        {"profile": "login", "memory": "64 GiB"},
        {"profile": "login", "node_type": "compute"},
        {"profile": "batch", "cores": "1000"},
    ):
        assert bob.spawn("bob", "x", options) == 400, (options, bob.said)
    status_code, page = bob.open("/hub/spawn/bob?profile=nope")
    assert status_code == 400 or "there is no profile" in page
    assert hub.process is not None
    for each in psutil.Process(hub.process.pid).children(recursive=True):
        # what the hub asks of the scheduler may have ended meanwhile
        with suppress(psutil.NoSuchProcess):
            assert "singleuser" not in " ".join(each.cmdline())
    assert listeners(hub, "bob") == {}
    assert not cluster.admin(["squeue", "-h"]).strip()


def test_the_form_is_the_sites_own(hub: HubRunner) -> None:
    """The page shows the site's form, not wrapspawner's; a chosen login ignores a job's fields."""
    hub.begin_anew("bob")
    bob = hub.client("bob")
    _, page = bob.open("/hub/spawn")
    assert 'name="node_type"' in page
    token = re.search(r'name="_xsrf" value="([^"]+)"', page)
    form = {"_xsrf": token[1] if token else bob.xsrf(), "profile": "login", "node_type": "compute"}
    code, text = bob.open("/hub/spawn/bob?_xsrf=" + bob.xsrf(), form)
    assert code == 200, text
    events = bob.open("/hub/api/users/bob/server/progress")[1]
    assert "looking at what was asked" in events
    await_ready(hub, bob, "bob", "")
    (row,) = (each for each in status(hub) if each["user"] == "bob")
    assert (row["profile"], row["scheduler"]) == ("login", "local")
    assert bob.stop("bob") in (202, 204)
    assert wait_until(lambda: "login" not in listeners(hub, "bob"), 120), tail(hub.log, 60)
