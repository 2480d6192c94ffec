"""What one user can do with another's Dask cluster on the same machine: nothing."""

import json
import os
import re
import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import websocket
from playwright.sync_api import Page

from tests.cluster import machine
from tests.cluster.browser import log_in, picture
from tests.cluster.dask_rig import all_gone
from tests.cluster.face import Cluster
from tests.cluster.hub import Browser, HubRunner, ensure_hub_machine
from tests.cluster.machine import VENV
from tests.cluster.sites import CommandLine
from tests.cluster.slurm import SlurmCluster
from tests.cluster.test_hub_running import Work
from tests.cluster.test_hub_running import started as server_started
from tests.cluster.test_lab import tunnelled
from tests.cluster.users import ClusterUser

# bob is on the very machine of alice's programs
pytestmark = pytest.mark.own_daemons

PYTHON = f"{VENV}/bin/python"

START = """\
import json, os, sys
import pangeo_hpc

cluster = pangeo_hpc.start_cluster("compute", workers={workers}, name="mine")
if {workers}:
    cluster.wait_for_workers({workers}, timeout=120)
board = json.loads((cluster.folder / "dashboard.json").read_text())
print(json.dumps([str(cluster.folder), board["socket"], cluster.scheduler_address,
                  cluster.dashboard_link]), flush=True)
{end}
"""
# Asks every port as a Dask client does, with what it is given, and prints what lets it in.
ASK = """\
import asyncio, json, sys
from distributed.comm.core import connect
from distributed.core import send_recv
from distributed.protocol import to_serialize
from distributed.security import Security

def run(**_):
    import os
    return os.getuid()

async def ask(address, security):
    arguments = security.get_connection_args("client") if security else {{}}
    comm = await connect(address, timeout={patience}, **arguments)
    try:
        return await asyncio.wait_for(send_recv(comm, op="identity", reply=True), {patience})
    finally:
        comm.abort()

async def main():
    found = {{}}
    for place in json.loads(sys.argv[1]):
        for protocol, security in {ways}:
            try:
                said = await ask(f"{{protocol}}://{{place}}", security)
                found[place] = said["type"]
            except (OSError, asyncio.TimeoutError):
                pass
    print(json.dumps(found))
asyncio.run(main())
"""
# No certificate, one of his own, and one that says all that hers says.
STRANGER = ASK.format(ways="[('tcp', None), ('tls', Security.temporary())]", patience=4)
OWNER = """\
[("tls", Security(require_encryption=True, tls_ca_file=sys.argv[2],
                  tls_client_cert=sys.argv[2], tls_client_key=sys.argv[3]))]"""
RUN = """\
import sys, distributed
from distributed.security import Security
for address, security in ((sys.argv[1].replace("tls", "tcp"), None),
                          (sys.argv[1], Security.temporary())):
    try:
        with distributed.Client(address, security=security, timeout="4s") as client:
            print("in", client.run_on_scheduler(lambda: __import__("os").getuid()))
    except OSError:
        print("refused")
"""
CURL = ["curl", "--silent", "--insecure", "--max-time", "5", "--output", "-"]


@pytest.fixture(autouse=True)
def no_job_left(alice: ClusterUser) -> Iterator[None]:
    """Fail a test that leaves jobs."""
    yield
    all_gone(alice, 90)


@contextmanager
def started(
    cli: CommandLine, workers: int, end: str = "sys.stdin.readline()\ncluster.close()"
) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    """Yield a script of alice's that holds a cluster until it is told to go on."""
    script = cli.script("closed.py", START.format(workers=workers, end=end))
    child = cli.user.popen(
        [PYTHON, str(script)], env={"PANGEO_HPC_SITE": str(cli.site)}, cwd=cli.here, stdin=-1
    )
    assert child.stdin and child.stdout and child.stderr
    with child:
        try:
            line = child.stdout.readline()
            assert line, child.stderr.read()
            yield child, json.loads(line)
        finally:
            if child.poll() is None:
                child.communicate("go on\n", timeout=120)


def listening(child: "subprocess.Popen[str]", folder: str) -> set[str]:
    """Return where the programs of a cluster listen for TCP: its own process and the workers'."""
    programs = {psutil.Process(child.pid)}
    for each in psutil.process_iter(["cmdline"]):
        if any(folder in word for word in each.info["cmdline"] or ()):
            programs.add(each)
    found = set()
    children = {one for each in programs for one in each.children(recursive=True)}
    for each in programs | children:
        # the cluster's own process asks the queue now and then, by a program that soon ends
        with suppress(psutil.NoSuchProcess):
            for connection in each.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    found.add(f"{connection.laddr.ip}:{connection.laddr.port}")
    return found


def test_nobody_else_gets_in(cluster: Cluster, cli: CommandLine, bob: ClusterUser) -> None:
    """Bob reads, joins and runs nothing at any of alice's ports, and none of her files.

    The same questions with her keys are answered, so they are the right ones.
    """
    alice = cli.user
    with started(cli, 2) as (child, (folder, socket, address, link)):
        places = sorted(listening(child, folder))
        # a scheduler, two nannies, two workers
        assert len(places) >= 5
        assert address.removeprefix("tls://") in places
        if cluster.interface == "lo":
            assert {place.partition(":")[0] for place in places} == {"127.0.0.1"}
        keys = sorted(str(path) for path in Path(folder, "tls").iterdir())
        owner = cli.script("owner.py", ASK.format(ways=OWNER, patience=30))
        told = alice.run([PYTHON, owner, json.dumps(places), *keys], timeout=120)
        kinds = json.loads(told.stdout)
        assert sorted(set(kinds.values())) == ["Nanny", "Scheduler", "Worker"], kinds
        assert set(kinds) == set(places)

        stranger = bob.run([PYTHON, "-c", STRANGER, json.dumps(places)], timeout=240)
        assert json.loads(stranger.stdout) == {}
        assert bob.run([PYTHON, "-c", RUN, address], timeout=120).stdout.split() == [
            "refused",
            "refused",
        ]
        for place in places:
            for url in (f"http://{place}/status", f"https://{place}/status"):
                said = bob.run([*CURL, url], check=False)
                assert said.returncode != 0 and said.stdout == "", (url, said.stdout)

        page = [*CURL, "--unix-socket", socket, "http://localhost/status"]
        assert "Dask" in alice.run(page).stdout
        said = bob.run(page, check=False)
        assert said.returncode == 7 and said.stdout == "", said
        for path in (folder, f"{folder}/tls", str(Path(socket).parent), *keys):
            for words in (["ls", path], ["cat", path]):
                assert bob.run(words, check=False).stdout == ""
        assert re.fullmatch(r"http://localhost:\d+/status", link)
        nobody_is_told(cluster, bob, Path(folder))


@pytest.fixture
def second_network() -> Iterator[tuple[str, str]]:
    """Yield an interface of this machine beside those it has, and its address."""
    number = os.getpid() % 60_000
    name, address = f"pg{number}", f"198.18.{number // 250}.{number % 250 + 1}"
    ip = ["/usr/sbin/ip"] if Path("/usr/sbin/ip").exists() else ["ip"]
    made = subprocess.run(
        [*ip, "link", "add", "name", name, "type", "veth", "peer", "name", f"{name}p"],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"this machine has no more than its own interfaces: {made.stderr}")
    try:
        machine.call([*ip, "addr", "add", f"{address}/32", "dev", name])
        for end in (name, f"{name}p"):
            machine.call([*ip, "link", "set", end, "up"])
        yield name, address
    finally:
        machine.call([*ip, "link", "delete", name])


def test_at_the_interface_of_the_site_only(
    cluster: Cluster, cli: CommandLine, second_network: tuple[str, str]
) -> None:
    """Scheduler, nannies and workers listen at the network that the site names, and no other."""
    name, address = second_network
    site = cluster.directory / "second-network.yaml"
    text = cli.site.read_text()
    assert "interface: lo\n" in text
    site.write_text(text.replace("interface: lo\n", f"interface: {name}\n"))
    site.chmod(0o644)
    with started(CommandLine(cli.user, site), 2) as (child, (folder, _, scheduler, _)):
        places = listening(child, folder)
        assert len(places) >= 5
        assert scheduler.removeprefix("tls://") in places
        assert {place.partition(":")[0] for place in places} == {address}


def nobody_is_told(cluster: Cluster, bob: ClusterUser, folder: Path) -> None:
    """Look for the key wherever other users, or readers of a log, could find it."""
    (key,) = folder.glob("tls/key-*")
    secret = key.read_text().splitlines()[1]
    assert len(secret) > 40
    for words in (
        ["squeue", "--noheader", "--format=%all"],
        ["scontrol", "show", "job", "--details"],
        ["sacct", "--format=All", "--allusers", "--parsable2"],
        ["ps", "-e", "-o", "args", "-ww"],
    ):
        said = cluster.admin(words) if words[0] != "ps" else bob.run(words).stdout
        assert said and secret not in said, words
    for path in folder.rglob("*"):
        if path.is_file() and path != key:
            assert secret not in path.read_text(errors="replace"), path


def test_keys_go_with_the_cluster(cli: CommandLine) -> None:
    """After close neither keys nor the dashboard's place are there."""
    with started(cli, 1) as (child, (folder, socket, _, _)):
        assert sorted(path.name[:4] for path in Path(folder, "tls").iterdir()) == ["cert", "key-"]
        assert Path(socket).is_socket()
        child.communicate("go on\n", timeout=120)
    assert child.returncode == 0
    assert not Path(folder, "tls").exists()
    assert not Path(socket).parent.exists()


def test_keys_go_after_kill_9(cli: CommandLine) -> None:
    """The next cluster takes away what a killed one has left, and nothing of a living one."""
    with started(cli, 1) as (_, (living, *_)):
        kill = "os.kill(os.getpid(), 9)"
        with started(cli, 1, kill) as (child, (folder, socket, _, _)):
            assert child.wait(60) == -signal.SIGKILL
        assert Path(folder, "tls").exists() and Path(socket).parent.exists()
        with started(cli, 0):
            assert not Path(folder, "tls").exists()
            assert not Path(socket).parent.exists()
            assert len(list(Path(living, "tls").iterdir())) == 2
        assert list(Path(folder).glob("**/*.out")) or list(Path(folder).glob("**/*.log"))


# -- by way of a notebook server ------------------------------------------------------------------

NOTEBOOK = """\
import json, time
import pangeo_hpc
cluster = pangeo_hpc.start_cluster({arguments})
client = cluster.get_client()
cluster.wait_for_workers(1, timeout=120)
def step(number):
    time.sleep(0.15)
    return number
def total(numbers):
    return sum(numbers)
futures = client.map(step, range(2400))
print("LINK", json.dumps([cluster.dashboard_link, client.dashboard_link, cluster.name]))
"""
# What the browser has been told of tasks: each is a bar.
BARS = """
() => {
  const documents = (window.Bokeh && window.Bokeh.documents) || [];
  for (const each of documents)
    for (const model of each._all_models.values())
      if (model.type === "ColumnDataSource" && "start" in model.data && "worker" in model.data
          && Array.from(model.data.start).length > 60) return true;
  return false;
}
"""


def link_of(said: str) -> tuple[str, str]:
    """Return the link and the name of the cluster that a notebook printed."""
    found = re.search(r"^LINK (.*)$", said, re.MULTILINE)
    assert found, said
    link, same, name = json.loads(found[1])
    assert link == same
    return link, name


@pytest.fixture(scope="module")
def hub(cluster: SlurmCluster) -> Iterator[HubRunner]:
    """Return a hub."""
    ensure_hub_machine()
    with HubRunner(cluster) as runner:
        yield runner


def test_through_the_hub(hub: HubRunner, cluster: SlurmCluster, page: Page) -> None:
    """Alice sees bars of tasks in her browser, by the link that is printed; bob sees nothing."""
    alice, bob = hub.client("alice"), hub.client("bob")
    board = f"board{secrets.token_hex(3)}"  # a server of a first try may still be ending
    server = server_started(hub, alice, board)
    try:
        work = Work(server, NOTEBOOK.format(arguments='"compute", workers=2, name="board"'))
        work.channels.settimeout(180)  # nothing is said while workers start
        said = work.printed()
        link, name = link_of(said)
        assert link == f"/user/alice/{board}/pangeo-dask/{name}/status"
        assert f"pangeo-hpc: its dashboard: {link}\n" in said

        log_in(page, hub, "alice")
        page.goto(f"{hub.url}{link}", wait_until="commit")
        page.wait_for_function(BARS, timeout=90_000)
        picture(page, "dask-dashboard")

        # as dask-labextension does with a link that it found or was given
        plots = link.replace("/status", "/individual-plots.json")
        assert alice.json(plots)["Individual Task Stream"] == "/individual-task-stream"
        status, text = alice.open(link)
        assert status == 200 and "Dask" in text
        channel = f"{hub.url.replace('http', 'ws')}{link}/ws"
        # an origin is compared where cookies come by themselves, as they do in a browser
        assert hears(channel, alice, text, origin=hub.url) == "ACK"
        assert hears(channel, alice, text, origin="http://evil.example") == "403"

        for path in (link, plots):
            status, text = bob.open(path)
            assert status == 403 and "task-stream" not in text.lower()
        assert hears(channel, bob, "", origin=hub.url) in ("302", "403")
        base = link.partition(name)[0]
        for path in ("gone-1a2b/status", "..%2f..%2fetc/passwd", f"{name}%2f../status", "%2e%2e/x"):
            assert alice.open(f"{base}{path}")[0] == 404, path
        work.close()
    finally:
        kernels_end(server)
        assert alice.stop("alice", board) in (202, 204)


def hears(channel: str, who: Browser, page: str, *, origin: str) -> str:
    """Return the first word on a dashboard's websocket, or the status it is refused with.

    Bokeh's own script gets what it opens the websocket with from the page.
    """
    found = re.search(r'"token":"([^"]+)"', page)
    try:
        socket = websocket.create_connection(
            channel,
            cookie="; ".join(f"{each.name}={each.value}" for each in who.jar),
            origin=origin,
            subprotocols=["bokeh", found[1]] if found else None,
            timeout=30,
        )
    except websocket.WebSocketBadStatusException as error:
        return str(error.status_code)
    try:
        return "ACK" if "ACK" in str(socket.recv()) + str(socket.recv()) else "nothing"
    finally:
        socket.close()


def kernels_end(server: Any) -> None:
    """End the kernels of a server, each with its cluster."""
    for each in server.ask("/api/kernels"):
        server.ask(f"/api/kernels/{each['id']}", method="DELETE")


def test_in_a_lab(cli: CommandLine, bob: ClusterUser) -> None:
    """The link of a notebook in `pangeo-hpc lab` opens there, with the lab's token only."""
    _, url = cli("lab", "start", "--cores", "2").stdout.splitlines()
    try:
        browser = tunnelled(cli, url)
        arguments = 'where="local", workers=1, cores=1, memory="500 MiB", name="board"'
        work = Work(browser, NOTEBOOK.format(arguments=arguments))
        work.channels.settimeout(180)
        link, name = link_of(work.printed())
        assert link == f"/pangeo-dask/{name}/status"
        plots = link.replace("/status", "/individual-plots.json")
        assert browser.ask(plots)["Individual Task Stream"] == "/individual-task-stream"
        for secret in ([], ["--header", "Authorization: token wrong"]):
            said = bob.run([*CURL, *secret, "--include", f"http://{browser.place}{plots}"]).stdout
            assert re.match(r"HTTP/1.1 (302|403)", said), said
            assert "task-stream" not in said
        work.close()
        kernels_end(browser)
    finally:
        cli("lab", "stop")
