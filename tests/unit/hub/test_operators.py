"""What an operator's commands read: the token, the hub's answer, its database; and the metrics."""

import asyncio
import json
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY, generate_latest
from traitlets.config import Config

from pangeo_hpc.errors import Exit, HubUnreachable
from pangeo_hpc.hub import idle, metrics, operators, status
from pangeo_hpc.hub.desk import Desk
from pangeo_hpc.hub.office import Office
from pangeo_hpc.hub.poller import News
from pangeo_hpc.hub.state import ServerState
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.site import Hub
from tests.unit.hub.conftest import ALICE, Forever, Program


def hub_at(port: int) -> Hub:
    return Hub(url="http://127.0.0.1:8000/hpc", connect_url=f"http://127.0.0.1:{port}")


@pytest.fixture
def place(tmp_path):
    state = tmp_path / "hub"
    state.mkdir(mode=0o700)
    operators.admit(Config(), state)
    return state


@pytest.fixture
def answering():
    """Serve one answer, and note how it was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        code, body = 200, b'{"format": 1, "servers": [], "schedulers": {}}'

        def do_GET(self):
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(self.code)
            self.end_headers()
            self.wfile.write(self.body)

        def log_message(self, *args):
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield SimpleNamespace(port=server.server_port, asked=asked, handler=Handler)
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_running_hub_is_asked_with_its_token(place, answering):
    """At the address for the inside, below the path of the public one."""
    assert operators.ask(hub_at(answering.port), place)["servers"] == []
    token = (place / operators.TOKEN).read_text()
    assert answering.asked == [("/hpc/hub/api/pangeo-hpc/status", f"token {token}")]


@pytest.mark.parametrize(("code", "body"), [(403, b"{}"), (503, b"down"), (200, b"<html>")])
def test_another_answer_is_none(place, answering, code, body):
    """A hub that does not know us, a proxy without a hub, a page: none is a status."""
    answering.handler.code, answering.handler.body = code, body
    with pytest.raises(HubUnreachable) as caught:
        operators.ask(hub_at(answering.port), place)
    assert caught.value.exit_code is Exit.SCHEDULER
    assert caught.value.hint


def test_a_hub_that_never_ran(tmp_path):
    """It is said that this is no hub's directory."""
    with pytest.raises(HubUnreachable, match="no hub has run"):
        operators.read_token(tmp_path)
    for place in (tmp_path, tmp_path / "not" / "there"):
        assert operators.remembered(place) == ()


def test_what_the_database_knows(tmp_path):
    """Servers of one profile and of several, by user and server; a row without a server is none."""
    state = ServerState.new("token").plain() | {"job": "12", "scheduler": "slurm", "ends": 1000.0}
    rows = [
        (1, "", {"job_id": "12", "server": state}),
        (2, "big", {"profile": "login", "child_state": {"server": {**state, "job": "7.1002"}}}),
        (2, "", {}),
        (1, "old", None),
    ]
    with sqlite3.connect(tmp_path / operators.DATABASE) as database:
        database.execute("CREATE TABLE users (id INTEGER, name TEXT)")
        database.execute("CREATE TABLE spawners (user_id INTEGER, name TEXT, state TEXT)")
        database.executemany("INSERT INTO users VALUES (?, ?)", [(1, "alice"), (2, "bob")])
        values = [(user, name, None if s is None else json.dumps(s)) for user, name, s in rows]
        database.executemany("INSERT INTO spawners VALUES (?, ?, ?)", values)
    database.close()
    found = operators.remembered(tmp_path)
    assert [(k.user, k.server, k.profile, k.state.job) for k in found] == [
        ("alice", "", "batch", "12"),
        ("bob", "big", "login", "7.1002"),
    ]
    last = operators.last_known(found, now=400.0)
    assert [(row["job"], row["walltime_left"], row["state"]) for row in last] == [
        ("12", 600.0, None), ("7.1002", 600.0, None),
    ]  # fmt: skip


def test_what_idle_servers_gave_back(tmp_path):
    """Of the last thirty days, together and by user; nothing where none was stopped yet."""
    nothing = {"days": 30, "servers": 0, "core_hours": 0, "by_user": {}}
    assert operators.given_back(tmp_path / "not there") == nothing
    now = 100 * 86400.0
    for user, cores, days in (("alice", 2, 1), ("alice", 1, 29), ("bob", 3, 2), ("bob", 9, 31)):
        entry = idle.GivenBack(
            time=now - days * 86400, user=user, server="", job="1", node_type="one",
            cores=cores, idle_seconds=60.0, seconds_left=1800.0,
        )  # fmt: skip
        idle.note(tmp_path / idle.JOURNAL, entry)
    assert operators.given_back(tmp_path, now) == {
        "days": 30, "servers": 3, "core_hours": 3.0, "by_user": {"alice": 1.5, "bob": 1.5},
    }  # fmt: skip


@pytest.fixture
def spawner(site, monkeypatch):
    """Return what a status row is made of: a server whose job runs."""
    monkeypatch.setattr(status, "person_of", lambda user: ALICE)
    office = Office(site, Desk(("x",)), runner=Program())
    poller = office.poller("slurm")
    poller._task = Forever()
    poller.watch("12")
    heard = JobStatus(
        id="12", state=JobState.RUNNING, queue="shared", nodes=("c1",), memory_used=5 * 2**20
    )
    poller._watched["12"].news = News(heard, 0.0)
    kept = ServerState.new("t").plain() | {"job": "12", "scheduler": "slurm", "node": "c1"}
    return SimpleNamespace(
        office=office,
        user=SimpleNamespace(name="alice"),
        user_options={"memory": "8 GiB"},
        server_state=ServerState(**kept),
    )


def test_a_row_of_the_status(spawner):
    """What was asked and what is known; the secrets of a server's state are not in it."""
    row = status.row("alice", "big", spawner, ready=True)
    assert (row["state"], row["queue"], row["node"], row["job"]) == (
        "running",
        "shared",
        "c1",
        "12",
    )
    assert (row["node_type"], row["memory"], row["memory_used"]) == ("shared", 8 * 2**30, 5 * 2**20)
    assert row["walltime_left"] is None
    text = json.dumps(row)
    assert spawner.server_state.proof_key not in text
    assert spawner.server_state.token_digest not in text


def test_a_row_of_a_site_that_has_changed(spawner):
    """A server whose choices no longer fit is still told."""
    spawner.user_options = {"node_type": "of-long-ago"}
    row = status.row("alice", "", spawner, ready=True)
    assert (row["job"], row["node_type"]) == ("12", None)


def test_metrics(spawner):
    """Servers by state, the wait, the looks with their failures, and failed starts by diagnosis."""
    metrics.follow(spawner.office)
    labels = {"scheduler": "slurm", "state": "running"}
    assert REGISTRY.get_sample_value("pangeo_hpc_servers", labels) == 1
    spawner.office.poller("slurm").watch("13")
    labels["state"] = metrics.UNHEARD
    assert REGISTRY.get_sample_value("pangeo_hpc_servers", labels) == 1

    def value(name, **labels):
        return REGISTRY.get_sample_value(name, labels) or 0.0

    counted = {
        "pangeo_hpc_queue_wait_seconds_count": {},
        "pangeo_hpc_spawn_failures_total": {"diagnosis": "out of memory"},
        "pangeo_hpc_query_seconds_count": {"scheduler": "slurm"},
        "pangeo_hpc_query_failures_total": {"scheduler": "slurm"},
    }
    before = {name: value(name, **labels) for name, labels in counted.items()}
    metrics.waited(12.0)
    metrics.failed("out of memory")
    # its program has no answer left: a look that fails
    asyncio.run(spawner.office.poller("slurm").look())
    after = {name: value(name, **labels) - before[name] for name, labels in counted.items()}
    assert after == dict.fromkeys(counted, 1.0)
    text = generate_latest(REGISTRY).decode()
    assert "alice" not in "".join(line for line in text.splitlines() if "pangeo_hpc" in line)
