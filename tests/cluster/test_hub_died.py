"""Servers that were up and really die: each tells its user why, in time, with a way on."""

import re
from collections.abc import Iterator
from contextlib import suppress

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Browser as Notebook
from tests.cluster.browser import log_in, picture
from tests.cluster.daemons import tail, wait_until
from tests.cluster.errors import ClusterError
from tests.cluster.failing import known, page, retry
from tests.cluster.hub import AT_ONCE, Browser, HubRunner, end_all_jobs, ensure_hub_machine
from tests.cluster.slurm import SlurmCluster
from tests.cluster.stream import Stream
from tests.cluster.test_hub_running import Work

INTERVAL = 15
SMALL = {"node_type": "compute", "cores": 1, "memory": "500 MiB"}
# The kernel of the operating system takes the server first, and then the rest of the job.
EATER = """\
import os
with open(f"/proc/{os.getppid()}/oom_score_adj", "w") as file:
    file.write("1000")
eaten = []
while True:
    eaten.append(bytearray(b"x") * (1 << 26))
"""


@pytest.fixture(scope="module")
def hub(cluster: SlurmCluster) -> Iterator[HubRunner]:
    """Return a hub."""
    ensure_hub_machine()
    end_all_jobs(cluster)
    config = AT_ONCE + "c.JupyterHub.authenticate_prometheus = False\n"
    with HubRunner(cluster, interval=f"{INTERVAL} seconds", extra_config=config) as runner:
        yield runner


@pytest.fixture(scope="module")
def alice(hub: HubRunner) -> Browser:
    """Return alice, logged in."""
    return hub.client("alice")


@pytest.fixture(scope="module", autouse=True)
def jobs(hub: HubRunner, alice: Browser) -> dict[str, str]:
    """Start all servers at once, and return their jobs when they are up."""
    hub.begin_anew("alice")
    # the walltime of the first is long enough for all to come up on a busy machine
    asked = {
        "late": {**SMALL, "walltime": "00:04:00"},
        **dict.fromkeys(("hungry", "gone", "node", "stopped", "own"), SMALL),
    }
    for name, options in asked.items():
        assert alice.spawn("alice", name, options) in (201, 202), alice.said
    streams = {name: Stream(alice, "alice", name) for name in asked}
    for stream in streams.values():
        assert stream.ready(200).get("ready"), (stream.events[-3:], tail(hub.log, 60))
    return {name: stream.job() for name, stream in streams.items()}


def told(cluster: SlurmCluster, alice: Browser, name: str, job: str, seconds: float = 150) -> str:
    """Return the page at a server's own address, within two intervals after the history knows."""
    known(cluster, job, seconds)

    def says() -> bool:
        _, found = alice.open(f"/user/alice/{name}/lab")
        return "Your server ended" in found

    # each look itself takes its time on a busy machine
    assert wait_until(says, 2 * INTERVAL, every=0.2), (page(alice, name), job)
    return alice.open(f"/hub/user/alice/{name}/lab")[1]


def test_too_little_memory(
    hub: HubRunner,
    cluster: SlurmCluster,
    alice: Browser,
    jobs: dict[str, str],
    request: pytest.FixtureRequest,
) -> None:
    """A server whose memory is eaten says so at its address, on its page and at home."""
    # a second try may find that it is dead already
    if (alice.server("alice", "hungry") or {}).get("ready"):
        made = alice.json("/hub/api/users/alice/tokens", body={"note": "test"}, method="POST")
        server = Notebook(f"{hub.url}/user/alice/hungry/lab?token={made['token']}")
        request.addfinalizer(Work(server, EATER).close)
    text = told(cluster, alice, "hungry", jobs["hungry"])
    assert "needed more memory than the 500 MiB it had, and was ended" in text
    assert "out of memory" in text
    assert jobs["hungry"] in text
    assert "The last lines of its log" in text
    assert retry(text)["memory"] == ["768 MiB"]
    home = alice.open("/hub/home")[1]
    assert re.search(r"The server &#34;hungry&#34; ended:\s+Your server needed more", home), home
    assert "needed more memory than the 500 MiB" in page(alice, "hungry")


def test_an_administrator_cancels_it(
    cluster: SlurmCluster, alice: Browser, jobs: dict[str, str]
) -> None:
    """It says who it was."""
    cluster.admin(["scancel", jobs["gone"]])
    text = told(cluster, alice, "gone", jobs["gone"])
    assert "was cancelled by root, not from the hub" in text
    assert retry(text)["memory"] == ["500 MiB"]


def test_stopped_by_its_user(cluster: SlurmCluster, alice: Browser, jobs: dict[str, str]) -> None:
    """Neither a stop from the hub nor one by its user's own command is told as a failure."""
    assert alice.stop("alice", "stopped") in (202, 204)
    cluster.user("alice").run(["scancel", jobs["own"]])
    for name in ("stopped", "own"):
        known(cluster, jobs[name])

        def is_off(name: str = name) -> bool:
            return not (alice.server("alice", name) or {}).get("ready")

        assert wait_until(is_off, 120, every=0.5)
        text = page(alice, name)
        assert "pangeo-retry" not in text
        assert "not running" in text


def test_the_walltime_is_over(cluster: SlurmCluster, alice: Browser, jobs: dict[str, str]) -> None:
    """A longer one is filled in."""
    text = told(cluster, alice, "late", jobs["late"], 300)
    assert "The walltime of your server was over" in text
    assert "timeout" in text
    asked = {name: [str(value)] for name, value in SMALL.items()}
    assert retry(text) == {**asked, "walltime": ["00:08:00"]}


def test_deaths_are_counted_apart(hub: HubRunner) -> None:
    """Each death above is one in the metrics, and no failed start."""
    lines = [line for line in hub.metrics() if line.startswith("pangeo_hpc_server_deaths_total")]
    assert sorted(lines) == [
        f'pangeo_hpc_server_deaths_total{{diagnosis="{kind}"}} 1.0'
        for kind in ("cancelled", "out-of-memory", "walltime")
    ]
    assert not any(line.startswith("pangeo_hpc_spawn_failures_total{") for line in hub.metrics())


def test_what_it_looks_like(hub: HubRunner, page: Page) -> None:
    """The page and the home page can be looked at."""
    log_in(page, hub, "alice", "/hub/user/alice/hungry/lab")
    expect(page.get_by_role("heading", name="Your server ended")).to_be_visible()
    picture(page, "server-ended")
    page.goto(f"{hub.url}/hub/home")
    picture(page, "server-ended-home")


def test_its_node_fails_while_the_hub_is_down(
    hub: HubRunner, cluster: SlurmCluster, alice: Browser, jobs: dict[str, str]
) -> None:
    """A hub that comes back says so, and still knows of the others."""
    running = dict(
        line.split()
        for line in cluster.admin(["squeue", "-h", "-t", "R", "-o", "%i %N"]).splitlines()
    )
    # a second try finds the job dead already
    node = running.get(jobs["node"])
    try:
        with hub.down():
            if node:
                cluster.mark_down(node)
            known(cluster, jobs["node"])
        assert wait_until(lambda: "The node failed on which" in look(alice, "node"), 120), tail(
            hub.log, 60
        )
    finally:
        # the tests of another file want it back
        assert node is None or wait_until(lambda: is_back(cluster, node), 120, every=1)
    assert "needed more memory than the 500 MiB" in look(alice, "hungry")


def is_back(cluster: SlurmCluster, node: str) -> bool:
    """Tell whether a node takes jobs, and ask it to if it is still down."""
    state = cluster.node_states()[node]
    if state.startswith("down"):
        # it may have come back by itself meanwhile
        with suppress(ClusterError):
            cluster.admin(["scontrol", "update", f"nodename={node}", "state=resume"])
    return state in ("idle", "mixed", "allocated")


def look(browser: Browser, name: str) -> str:
    """Return the page at a server's own address."""
    return browser.open(f"/hub/user/alice/{name}/lab")[1]
