"""Servers of profiles that fail, before and while the hub is down: their pages say why."""

from collections.abc import Iterator

import pytest

from tests.cluster.daemons import tail, until, wait_until
from tests.cluster.failing import MARK, hungry, known, page, retry
from tests.cluster.hub import AT_ONCE, Browser, HubRunner, end_all_jobs, ensure_hub_machine
from tests.cluster.slurm import SlurmCluster
from tests.cluster.stream import Stream

# so little that no server starts in it
LOGIN = "  profiles: [login, batch]\n  login: {cores: 1, memory: 40 MiB}\n"
FAILED = "needed more memory than the 300 MiB it had"


@pytest.fixture(scope="module")
def hub(cluster: SlurmCluster) -> Iterator[HubRunner]:
    """Return a hub of two profiles, in both of which servers fail."""
    ensure_hub_machine()
    end_all_jobs(cluster)
    with HubRunner(
        cluster, extra_hub=LOGIN, extra_node_types=hungry(cluster), extra_config=AT_ONCE
    ) as runner:
        yield runner


def test_jobs_that_fail(hub: HubRunner, cluster: SlurmCluster) -> None:
    """One fails while the hub is up and one while it is down: both say so after the restart.

    The log of the first is shown until then, and that of the second from then on.
    """
    hub.begin_anew("alice")
    alice = hub.client("alice")
    assert alice.spawn("alice", "up", {"node_type": "hungry"}) in (201, 202), alice.said
    later = {"node_type": "hungry", "option.begin": "now+3000"}
    assert alice.spawn("alice", "down", later) in (201, 202), alice.said
    job = Stream(alice, "alice", "down").job()
    assert wait_until(lambda: FAILED in page(alice, "up"), 180), tail(hub.log, 60)
    check(page(alice, "up"))
    assert f"&lt;b&gt;{MARK}&lt;/b&gt;" in page(alice, "up")
    assert FAILED in alice.open("/hub/home")[1]

    with hub.down():
        cluster.admin(["scontrol", "update", f"jobid={job}", "starttime=now"])
        known(cluster, job)
    alice = hub.client("alice")
    assert wait_until(lambda: FAILED in page(alice, "down"), 120), tail(hub.log, 60)
    for name in ("up", "down"):
        check(page(alice, name))
    assert job in page(alice, "down")
    assert f"&lt;b&gt;{MARK}&lt;/b&gt;" in page(alice, "down")
    assert MARK not in page(alice, "up")
    assert "option.begin" in retry(page(alice, "down"))
    assert alice.open("/hub/home")[1].count(FAILED) >= 2
    assert MARK not in hub.log.read_text()


def check(text: str) -> None:
    """Expect state, exit status, and a way on."""
    assert FAILED in text
    assert "out of memory" in text
    assert "Exit" in text
    assert retry(text)["memory"] == ["512 MiB"]


def test_login_servers_that_fail(hub: HubRunner, cluster: SlurmCluster) -> None:
    """The end of a small server is told as well; the way on is a job with more memory."""
    hub.begin_anew("alice")
    alice = hub.client("alice")
    words = "needed more memory than the 40 MiB it had"
    assert alice.spawn("alice", "", {"profile": "login"}) in (201, 202), alice.said
    assert wait_until(lambda: words in page(alice, ""), 120), tail(hub.log, 60)
    assert as_a_job(alice) == {"profile": ["batch"], "node_type": ["short"], "memory": ["256 MiB"]}

    queue = cluster.directory / "shared/alice/state/localqueue"

    def begun() -> set[str]:
        return {path.parent.name for path in queue.glob("*/*/state.json")}

    before, new = begun(), set[str]()
    assert alice.spawn("alice", "", {"profile": "login"}) in (201, 202), alice.said
    # begun: a job that just came would wait until the hub asks for it again
    until(lambda: new.update(begun() - before) or new)
    with hub.down():
        ended = queue / "ended" / new.pop() / "state.json"
        until(lambda: ended.exists() and "OUT_OF_MEMORY" in ended.read_text())
    alice = hub.client("alice")
    assert wait_until(lambda: words in page(alice, ""), 120), tail(hub.log, 60)
    assert as_a_job(alice)["profile"] == ["batch"]


def as_a_job(browser: Browser) -> dict[str, list[str]]:
    """Return the choices that a failed login server is tried again with."""
    return retry(page(browser, ""))
