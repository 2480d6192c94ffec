"""While a server runs: its time left, Dask's dashboard, and stops of idle servers that see work."""

import json
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import websocket

from pangeo_hpc.hub import idle
from tests.browser import Browser as Notebook
from tests.cluster import machine
from tests.cluster.daemons import tail, wait_until
from tests.cluster.hub import AT_ONCE, Browser, HubRunner, ensure_hub_machine
from tests.cluster.slurm import SlurmCluster
from tests.cluster.users import ClusterUser

AFTER = 45.0
# What an open window asks again and again.
POLLED = ("/api/kernels", "/api/contents", "/pangeo-hpc/time-left")
SMALL = {"node_type": "compute", "cores": 2, "memory": "1500 MiB", "walltime": "00:30:00"}

# Each works until its file is there. None of them prints anything meanwhile.
BUSY = """\
import os, time
while not os.path.exists({file!r}):
    time.sleep(0.2)
"""
# The kernel is idle for Jupyter: it does not wait for the result itself.
DASK = """\
import os, time
import pangeo_hpc
cluster = pangeo_hpc.start_cluster(where="local", workers=1, cores=1, memory="500 MiB")
client = cluster.get_client()
def until(file):
    while not os.path.exists(file):
        time.sleep(0.2)
future = client.submit(until, {file!r})
"""
SHELL = "sh -c 'until [ -e {file} ]; do sleep 1; done'\n"
DASHBOARD = """\
from distributed import LocalCluster
cluster = LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0")
print(cluster.dashboard_link)
"""


# a request for a server is answered at once, and not only when it is up


@pytest.fixture(scope="module")
def hub(cluster: SlurmCluster) -> Iterator[HubRunner]:
    """Return a hub that stops servers in which nothing happened for some seconds."""
    ensure_hub_machine()
    limit = f"  idle: {{after: {AFTER:.0f} seconds}}\n"
    with HubRunner(cluster, extra_hub=limit, extra_config=AT_ONCE) as runner:
        yield runner


def test_the_time_left_is_that_of_the_job(hub: HubRunner, cluster: SlurmCluster) -> None:
    """Server and home page tell the end that Slurm has, also after an operator changed it."""
    hub.begin_anew("alice")
    alice = hub.client("alice")
    server = started(hub, alice, "timed")
    keep = Work(server, BUSY.format(file="/nowhere"))

    def knows() -> bool:
        told = server.ask("/pangeo-hpc/time-left")
        return isinstance(told, dict) and told["ends"] is not None

    assert wait_until(knows, 60, every=0.5), server.ask("/pangeo-hpc/time-left")
    asked = time.time()
    told = server.ask("/pangeo-hpc/time-left")
    assert asked - 5 < told["now"] < time.time() + 5
    job = told["job"]
    assert told["node"] in ("c1", "c2", "c3", "c4") and told["node_type"] == "compute"
    assert abs(told["ends"] - end_of(cluster, job)) <= 2
    assert server.ask("/pangeo-hpc/time-left", token="x" * 32) == 403
    for words in (f"<td>{job}</td>", "<td>running</td>", f"<td>{told['node']}</td>"):
        assert words in home(alice, told["ends"]), words
    cluster.admin(["scontrol", "update", f"JobId={job}", "TimeLimit=15"])
    end = end_of(cluster, job)
    assert end < told["ends"] - 100

    def follows() -> bool:
        return abs(server.ask("/pangeo-hpc/time-left")["ends"] - end) <= 2

    assert wait_until(follows, 60, every=0.5), server.ask("/pangeo-hpc/time-left")
    home(alice, end)
    keep.close()
    assert alice.stop("alice", "timed") in (202, 204)


def home(browser: Browser, end: float) -> str:
    """Return the home page, which tells the minutes that are left until then."""
    before = time.time()
    page = browser.open("/hub/home")[1]
    # the hub may know the end by two seconds more or less
    left = {int(end - each) // 60 for each in (before - 2, time.time() + 2)}
    assert any(f">{minutes} min<" in page for minutes in left), (left, page)
    return page


def test_a_dashboard_reaches_its_owner_and_nobody_else(hub: HubRunner) -> None:
    """Dask's own link leads through the hub to the dashboard, for alice and not for bob."""
    hub.begin_anew("alice")
    alice, bob = hub.client("alice"), hub.client("bob")
    work = Work(started(hub, alice, "board"), DASHBOARD)
    link = work.printed().strip()
    assert link.startswith("/user/alice/board/proxy/") and link.endswith("/status"), link
    health = link.replace("/status", "/health")
    status, text = alice.open(health)
    assert (status, text) == (200, "ok")
    status, text = bob.open(health)
    assert status == 403 and text != "ok", (status, text)
    work.close()
    assert alice.stop("alice", "board") in (202, 204)


@pytest.mark.timeout(1200)
def test_only_servers_in_which_nothing_works_are_stopped(
    hub: HubRunner, cluster: SlurmCluster, alice: ClusterUser, request: pytest.FixtureRequest
) -> None:
    """An open window keeps no server; a busy kernel, Dask tasks and a terminal's program do.

    They do until they end, and what a stop gives back is written down.
    """
    hub.begin_anew("alice")
    browser = hub.client("alice")
    file = str(alice.shared / "enough")
    Path(file).unlink(missing_ok=True)
    journal = hub.state / idle.JOURNAL
    before = len(idle.read(journal))

    def given_back() -> list[idle.GivenBack]:
        return list(idle.read(journal)[before:])

    # one after the other: each has its work before it was idle for too long
    request.addfinalizer(Work(started(hub, browser, "busy"), BUSY.format(file=file)).close)
    request.addfinalizer(Work(started(hub, browser, "dask"), DASK.format(file=file)).close)
    request.addfinalizer(Terminal(started(hub, browser, "shell"), SHELL.format(file=file)).close)
    servers = {name: server_of(hub, browser, name) for name in ("busy", "dask", "shell")}
    begun = time.monotonic()
    expected = {
        "busy": "a kernel is busy (python3)",
        "dask": "Dask tasks are running",
        "shell": "terminal 1 runs sh, sleep",
    }

    def seen() -> bool:
        return all(working(servers[name]) == [words] for name, words in expected.items())

    assert wait_until(seen, 120, every=0.5), (
        {name: working(servers[name]) for name in expected},
        tail(hub.log, 80),
    )

    # its idle time begins when all others work
    servers["quiet"] = started(hub, browser, "quiet")
    answered: dict[str, list[float]] = {path: [] for path in POLLED}

    def quiet_is_gone() -> bool:
        for path, moments in answered.items():
            if polled(servers["quiet"], path) == 200:
                moments.append(time.time())
        return bool(given_back())

    assert wait_until(quiet_is_gone, AFTER + 90, every=1), tail(hub.log, 60)
    (quiet,) = given_back()
    assert quiet.server == "quiet"
    # what was asked, and answered, in the very seconds that counted as idle; its last word is older
    first, last = quiet.time - quiet.idle_seconds, quiet.time - 5
    assert all(any(first < each < last for each in found) for found in answered.values()), answered
    assert not (browser.server("alice", "quiet") or {}).get("ready")
    assert wait_until(lambda: jobs(cluster, "alice") == 3, 60)
    # with none of its work seen, each of the others would be gone by then
    rest = begun + AFTER + 25 - time.monotonic()
    assert not wait_until(lambda: jobs(cluster, "alice") < 3, max(rest, 5), every=1), tail(
        hub.log, 60
    )
    assert all(browser.server("alice", name)["ready"] for name in expected)  # type: ignore[index]
    Path(file).touch()
    assert wait_until(lambda: jobs(cluster, "alice") == 0, AFTER + 120, every=1), tail(hub.log, 60)
    assert wait_until(lambda: len(given_back()) == 4, 60), tail(hub.log, 60)
    assert journal.stat().st_mode & 0o777 == 0o600
    for entry in given_back():
        assert (entry.user, entry.cores, entry.node_type) == ("alice", 2, "compute")
        assert AFTER <= entry.idle_seconds < AFTER + 15
        assert 2 * 400 / 3600 < entry.core_hours < 2 * 1800 / 3600
    assert {entry.server for entry in given_back()} == set(servers)
    told = json.loads(status(hub, "--json"))["given_back"]
    hours = sum(entry.core_hours for entry in idle.read(journal))
    assert (told["days"], told["servers"]) == (30, before + 4)
    assert told["core_hours"] == told["by_user"]["alice"] == pytest.approx(hours, abs=0.01)


def status(hub: HubRunner, *words: str) -> str:
    """Return what `hub status` tells root."""
    program = f"{machine.VENV}/bin/pangeo-hpc"
    argv = [program, "--site", hub.site_file, "hub", "status", "--state", hub.state, *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True).stdout


# -- what a person does ------------------------------------------------------------------------


def started(hub: HubRunner, browser: Browser, name: str) -> Notebook:
    """Start a server of alice's, wait until it is ready, and return it."""
    if not browser.runs("alice", name):
        assert browser.spawn("alice", name, SMALL) in (201, 202), browser.said

    def ready() -> bool:
        return bool((browser.server("alice", name) or {}).get("ready"))

    assert wait_until(ready, 180, every=0.5), tail(hub.log, 60)
    return server_of(hub, browser, name)


def server_of(hub: HubRunner, browser: Browser, name: str) -> Notebook:
    """Return a server of alice's, with a token of hers."""
    made = browser.json("/hub/api/users/alice/tokens", body={"note": "test"}, method="POST")
    return Notebook(f"{hub.url}/user/alice/{name}/lab?token={made['token']}")


class Work:
    """Code that runs in a kernel of its own, with nobody waiting for it."""

    def __init__(self, server: Notebook, code: str) -> None:
        kernel = server.ask("/api/kernels", {})
        assert isinstance(kernel, dict), kernel
        self.channels = websocket.create_connection(
            f"ws://{server.place}/api/kernels/{kernel['id']}/channels",
            header=[f"Authorization: token {server.token}"],
            timeout=180,
        )
        self.mark = uuid.uuid4().hex
        header = {"msg_id": self.mark, "msg_type": "execute_request", "username": "", "session": ""}
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
        message = {"header": {**header, "version": "5.3"}, "parent_header": {}, "metadata": {}}
        self.channels.send(json.dumps({**message, "content": content, "channel": "shell"}))

    def printed(self) -> str:
        """Return what the code prints, up to its end."""
        text = ""
        while True:
            told = json.loads(self.channels.recv())
            if told["parent_header"].get("msg_id") != self.mark:
                continue
            content: dict[str, Any] = told["content"]
            text += "\n".join(content.get("traceback", [])) + content.get("text", "")
            if content.get("execution_state") == "idle":
                return text

    def close(self) -> None:
        """Close the window; the kernel goes on."""
        self.channels.close()


class Terminal:
    """A terminal in which a line was typed."""

    def __init__(self, server: Notebook, line: str) -> None:
        made = server.ask("/api/terminals", {})
        assert isinstance(made, dict), made
        self.channel = websocket.create_connection(
            f"ws://{server.place}/terminals/websocket/{made['name']}",
            header=[f"Authorization: token {server.token}"],
            timeout=180,
        )
        self.channel.send(json.dumps(["stdin", line]))

    def close(self) -> None:
        """Close the window; what runs goes on."""
        self.channel.close()


def working(server: Notebook) -> list[str]:
    """Return what a server says works in it, or the error that it answers with."""
    told = server.ask("/pangeo-hpc/time-left")
    return list(told["idle"]["work"]) if isinstance(told, dict) else [str(told)]


def polled(server: Notebook, path: str) -> int:
    """Ask what an open window asks; return the status, 0 without an answer."""
    request = urllib.request.Request(f"http://{server.place}{path}")
    request.add_header("Authorization", f"token {server.token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def jobs(cluster: SlurmCluster, user: str) -> int:
    """Return how many jobs a user has in the queue."""
    return len(cluster.admin(["squeue", "-h", "-u", user, "-o", "%i"]).split())


def end_of(cluster: SlurmCluster, job: str) -> float:
    """Return when Slurm will end a job."""
    text = cluster.admin(["squeue", "-h", "-j", job, "-o", "%e"]).strip()
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()
