"""Servers that wait, and servers that really fail so: each says why, in time, with a way on."""

import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster import machine
from tests.cluster.daemons import until, wait_until
from tests.cluster.failing import MARK, go_on, hungry, known, page, retry
from tests.cluster.hub import AT_ONCE, Browser, HubRunner, ensure_hub_machine
from tests.cluster.slurm import SlurmCluster
from tests.cluster.stream import Event, Stream

INTERVAL = 15
NODE_TYPES = """\
  late: {queue: short, cores: 1, memory: 500 MiB, walltime: "00:01:00", max_walltime: "00:02:00",
    setup: ["sleep 200"]}
  bare: {queue: compute, cores: 1, memory: 500 MiB, walltime: "00:10:00",
    directives: ["--nodelist=c3"]}
  full: {queue: compute, cores: 1, memory: 500 MiB, walltime: "00:10:00",
    directives: ["--nodelist=c4"],
    options: {begin: {directive: "--begin={value}", pattern: "now\\\\+[0-9]+"}}}
  charged: {queue: compute, cores: 1, memory: 500 MiB, walltime: "00:10:00", account: required}
  held: {queue: compute, cores: 1, memory: 1 GiB, walltime: "00:10:00", directives: ["--hold"]}
  slow: {queue: compute, cores: 1, memory: 1 GiB, walltime: "00:10:00",
    setup: ["until [ -e GO_ON ]; do sleep 1; done"]}
"""
CONFIG = f"""
def change(spawner):
    if spawner.name == "far":
        # a hub that its nodes cannot reach: nobody listens there
        spawner.hub_connect_url = "http://pangeo-hub:9"
        # long enough for a server on a busy machine to find out by itself
        spawner.report_timeout = 90

c.Spawner.pre_spawn_hook = change
# an answer at once, so that what fails in seconds is seen in the stream of events, too
{AT_ONCE}c.JupyterHub.authenticate_prometheus = False
"""
PLAIN = {"node_type": "compute", "cores": 1, "memory": "1 GiB"}


@pytest.fixture(scope="module")
def hub(cluster: SlurmCluster) -> Iterator[HubRunner]:
    """Return a hub whose site has node types on which servers fail, each in its own way."""
    ensure_hub_machine()
    types = NODE_TYPES.replace("GO_ON", str(go_on(cluster))) + hungry(cluster)
    interval = f"{INTERVAL} seconds"
    with HubRunner(
        cluster, interval=interval, extra_node_types=types, extra_config=CONFIG
    ) as runner:
        yield runner


@pytest.fixture(scope="module")
def alice(hub: HubRunner) -> Browser:
    """Return alice, logged in."""
    return hub.client("alice")


@pytest.fixture(scope="module", autouse=True)
def late(alice: Browser) -> Stream:
    """Start the one that fails last: its walltime of a minute goes by during the other tests."""
    return start(alice, "late", node_type="late")


# how often each server was started
STARTS: Counter[str] = Counter()


def start(browser: Browser, server: str, user: str = "alice", **options: object) -> Stream:
    """Ask for a server and read its events; one that a first try left is stopped before."""
    if (browser.server(user, server) or {}).get("pending"):
        # such a start is not counted as a failure
        STARTS[server] -= 1
    assert wait_until(lambda: is_off(browser, server, user), 120, every=1)
    STARTS[server] += 1
    assert browser.spawn(user, server, options) in (201, 202), browser.said
    return Stream(browser, user, server)


def is_off(browser: Browser, server: str, user: str) -> bool:
    """Tell whether a server is not there, and stop it if it is."""
    if not browser.runs(user, server):
        return True
    browser.stop(user, server)
    return False


def in_time(cluster: SlurmCluster, stream: Stream) -> Event:
    """Return the failure, which came within two intervals after the history knew the end."""
    at = known(cluster, stream.job())
    when, event = stream.failed()
    assert when - at < 2 * INTERVAL, (when - at, event)
    return event


def test_too_little_memory(hub: HubRunner, cluster: SlurmCluster, alice: Browser) -> None:
    """State, exit code, log and fix are on the page after a reload, and at home.

    The user's log is escaped there, and is not in the hub's log.
    """
    stream = start(alice, "hungry", node_type="hungry")
    event = in_time(cluster, stream)
    assert "needed more memory than the 300 MiB it had" in event["message"]
    assert MARK in event["message"]
    assert MARK in event["html_message"]
    text = page(alice, "hungry")
    assert "needed more memory than the 300 MiB it had" in text
    assert "out of memory" in text
    assert f"&lt;b&gt;{MARK}&lt;/b&gt;" in text
    assert f"<b>{MARK}" not in text
    assert retry(text) == {"node_type": ["hungry"], "memory": ["512 MiB"]}
    assert "needed more memory than the 300 MiB" in alice.open("/hub/home")[1]
    assert MARK not in hub.log.read_text()


def test_the_environment_is_missing_on_the_node(cluster: SlurmCluster, alice: Browser) -> None:
    """A node on which the server environment is not there is named as such."""
    with hidden(cluster, "c3", machine.VENV):
        stream = start(alice, "bare", node_type="bare")
        event = in_time(cluster, stream)
    assert "missing on the node" in event["message"]
    assert "No such file or directory" in event["message"]
    assert "127" in event["message"]
    assert retry(page(alice, "bare")) == {"node_type": ["bare"]}


@pytest.fixture
def small_disk(cluster: SlurmCluster) -> Iterator[Path]:
    """Return bob's part of the shared disk, of one megabyte, as the login side and c4 see it."""
    place = cluster.shared_dir("bob")
    bob = cluster.user("bob")
    options = f"size=1m,mode=700,uid={bob.uid},gid={bob.gid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "small", place], check=True)
    try:
        # a node takes its own copy of all mounts when it starts
        cluster.kill_node("c4")
        cluster.start_node("c4")
        # the controller may not have seen that it was away
        srun = ["srun", "--nodelist=c4", "--mem=50M", "--time=1", "true"]
        until(lambda: bob.run(srun, check=False, cwd=Path("/tmp")).returncode == 0)
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
        cluster.kill_node("c4")
        cluster.start_node("c4")


def test_the_quota_is_full(hub: HubRunner, cluster: SlurmCluster, small_disk: Path) -> None:
    """A disk that fills while the job waits, and one that is full before, are both named."""
    bob = hub.client("bob")
    stream = start(bob, "full", "bob", **{"node_type": "full", "option.begin": "now+600"})
    job = stream.job()
    waste = small_disk / "waste"
    with pytest.raises(OSError, match="No space left"):
        waste.write_bytes(bytes(1 << 21))
    cluster.admin(["scontrol", "update", f"jobid={job}", "starttime=now"])
    event = in_time(cluster, stream)
    assert "no room left" in event["message"], event
    again = start(bob, "again", "bob", node_type="full")
    _, event = again.failed()
    assert "no room left on the disk" in event["message"], event
    assert "Delete or move some of your files" in page(bob, "again", "bob")


def test_the_node_cannot_reach_the_hub(cluster: SlurmCluster, alice: Browser) -> None:
    """A server that runs on and is not heard of is given up, with the cause, and cancelled."""
    stream = start(alice, "far", **PLAIN)
    _, event = stream.failed(300)
    assert "could not reach the hub" in event["message"], event
    assert "pangeo-hub:9" in event["message"]
    job = stream.job()
    assert wait_until(lambda: job not in queue(cluster), 120)


def test_the_scheduler_refuses(alice: Browser) -> None:
    """The scheduler's own words are on the page, with what to do."""
    stream = start(alice, "refused", node_type="charged", account="nobodys")
    _, event = stream.failed()
    assert "did not take the job" in event["message"]
    assert "Invalid account" in event["message"]
    text = page(alice, "refused")
    assert "Invalid account" in text
    assert "--account" in text
    assert retry(text) == {"node_type": ["charged"], "account": ["nobodys"]}


def test_held_then_released(cluster: SlurmCluster, alice: Browser) -> None:
    """A held job is shown as held, and goes on when it is released."""
    stream = start(alice, "held", node_type="held")
    event = stream.says("held")
    assert event["state"] == "held"
    assert "is held and does not start by itself" in page(alice, "held")
    cluster.admin(["scontrol", "release", stream.job()])
    assert stream.ready().get("ready"), stream.events[-3:]
    alice.stop("alice", "held")


def test_suspended_and_put_back(cluster: SlurmCluster, alice: Browser) -> None:
    """A job that is suspended or requeued while it starts is shown so, and comes up after all."""
    go_on(cluster).unlink(missing_ok=True)
    stream = start(alice, "slow", node_type="slow")
    stream.says("runs on")
    job = stream.job()
    cluster.admin(["scontrol", "suspend", job])
    assert stream.says("suspended")["state"] == "suspended"
    cluster.admin(["scontrol", "resume", job])
    # our jobs are not requeued by themselves, but an administrator can do it
    assert "Requeue=0" in cluster.admin(["scontrol", "show", "job", job])
    cluster.admin(["scontrol", "update", f"jobid={job}", "requeue=1"])
    cluster.admin(["scontrol", "requeue", job])
    event = stream.says("put back into the queue")
    assert event["job"] == job
    assert event["restarts"] == 1
    assert wait_until(lambda: "PENDING" in state(cluster, job), 120)
    cluster.admin(["scontrol", "update", f"jobid={job}", "starttime=now"])
    go_on(cluster).touch()
    assert stream.ready().get("ready"), stream.events[-3:]
    alice.stop("alice", "slow")


def test_cancelled_while_it_waits(cluster: SlurmCluster, alice: Browser) -> None:
    """Cancelled from the page: the job is gone from the queue, and the page says so."""
    stream = start(alice, "waits", **PLAIN, **{"option.begin": "now+600"})
    event = stream.until(
        lambda event: "waits in the queue compute" in event["message"] and event["estimated_start"]
    )
    assert event["words"] == "BeginTime"
    assert event["estimated_start"] > time.time() + 300
    job = stream.job()
    text = page(alice, "waits")
    assert job in text
    assert 'http-equiv="refresh"' in text
    assert alice.stop("alice", "waits") in (202, 204)
    assert wait_until(lambda: job not in queue(cluster), 120)
    assert wait_until(lambda: "gone from the queue" in page(alice, "waits"), 120)


def test_cancelled_by_somebody(cluster: SlurmCluster, alice: Browser) -> None:
    """A job that an administrator cancels says who it was."""
    stream = start(alice, "scancel", **PLAIN, **{"option.begin": "now+600"})
    cluster.admin(["scancel", stream.job()])
    event = in_time(cluster, stream)
    assert "cancelled by root" in event["message"], event


def test_jobs_ahead(cluster: SlurmCluster, alice: Browser) -> None:
    """Of two servers in a queue that stands still, the second has one before it."""
    first = start(alice, "down1", node_type="down")
    # on a busy machine the second could be submitted before the first
    first.job()
    second = start(alice, "down2", node_type="down")
    # its reason is "Priority" for as long as only the first was looked at
    event = second.until(
        lambda event: (
            event.get("ahead") == 1 and ("c5" in event["words"] or "DOWN" in event["words"])
        )
    )
    assert "One job of this queue comes before yours." in event["message"]
    assert "are down" in event["message"]
    assert not any("comes before" in event["message"] for _, event in first.events)
    for name in ("down1", "down2"):
        alice.stop("alice", name)


def test_the_walltime_is_over(cluster: SlurmCluster, alice: Browser, late: Stream) -> None:
    """A job that ends by its walltime before its server is up is offered a longer one."""
    at = known(cluster, late.job(), 240)
    when, event = late.failed()
    assert when - at < 2 * INTERVAL
    assert "walltime was over" in event["message"]
    text = page(alice, "late")
    assert "timeout" in text
    assert retry(text) == {"node_type": ["late"], "walltime": ["00:02:00"]}


def test_failures_are_counted_by_their_diagnosis(hub: HubRunner) -> None:
    """Each that the tests above made is one in the metrics, and nobody's name is there."""
    start = "pangeo_hpc_spawn_failures_total"
    made = {
        "out-of-memory": ("hungry",),
        "environment": ("bare",),
        "unreachable": ("far",),
        "refused": ("refused",),
        "cancelled": ("scancel",),
        "walltime": ("late",),
        "disk-full": ("full", "again"),
    }
    counted = {kind: hub.metric(f'{start}{{diagnosis="{kind}"}}') for kind in made}
    assert counted == {kind: sum(STARTS[name] for name in names) for kind, names in made.items()}
    ours = [line for line in hub.metrics() if line.startswith("pangeo_hpc")]
    assert not [line for line in ours if "alice" in line or "bob" in line]


def test_after_a_restart(hub: HubRunner, alice: Browser) -> None:
    """What a hub that was killed knew of failures is there again, but for the users' logs."""
    with hub.down():
        pass
    text = page(alice, "hungry")
    assert "needed more memory than the 300 MiB" in text
    assert "out of memory" in text
    assert MARK not in text
    assert retry(text)["memory"] == ["512 MiB"]
    assert "needed more memory than the 300 MiB" in alice.open("/hub/home")[1]


def queue(cluster: SlurmCluster) -> list[str]:
    """Return the jobs that are in the queue."""
    return cluster.admin(["squeue", "-h", "-o", "%i"]).split()


def state(cluster: SlurmCluster, job: str) -> str:
    """Return Slurm's word for a job's state."""
    return cluster.admin(["squeue", "-h", "-j", job, "-o", "%T"]).strip()


@contextmanager
def hidden(cluster: SlurmCluster, node: str, place: Path) -> Iterator[None]:
    """Let a folder be empty on one node."""
    inside = ["nsenter", f"--target={cluster.daemons[node].process.pid}", "--mount"]
    subprocess.run([*inside, "mount", "-t", "tmpfs", "nothing", place], check=True)
    try:
        yield
    finally:
        subprocess.run([*inside, "umount", place], check=True)
