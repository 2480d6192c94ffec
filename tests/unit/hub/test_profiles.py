"""The wrapper of several profiles: what it refuses, what reaches the child, what is rebuilt."""

import asyncio
import os
import warnings
from dataclasses import replace
from types import SimpleNamespace

import pytest
from jupyterhub import orm
from jupyterhub.spawner import LocalProcessSpawner, SpawnException
from traitlets.config import Config

from pangeo_hpc.hub import forms, office, postmortem, profiles, remembering
from pangeo_hpc.hub import spawner as spawners
from pangeo_hpc.hub.desk import Log
from pangeo_hpc.hub.failure import Failure
from pangeo_hpc.hub.metrics import DEATHS
from pangeo_hpc.hub.profiles import LoginSpawner, SiteProfilesSpawner
from pangeo_hpc.hub.spawner import A_LONG_TIME, SiteSpawner
from pangeo_hpc.hub.state import ServerState
from pangeo_hpc.schedulers.base import JobState, JobStatus
from tests.unit.hub.conftest import ALICE, write_site


class Session:
    """A database session of JupyterHub's that counts what is written down."""

    def __init__(self):
        self.commits = 0

    def commit(self):
        self.commits += 1


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Return a function that makes a spawner of alice's as JupyterHub does."""
    monkeypatch.setattr(profiles, "person_of", lambda user: ALICE)
    monkeypatch.setattr(spawners, "person_of", lambda user: ALICE)
    session = Session()
    monkeypatch.setattr(remembering, "inspect", lambda row: SimpleNamespace(session=session))
    office.office.cache_clear()
    config = Config()
    for section in ("SiteProfilesSpawner", "SiteSpawner"):
        config[section].site_file = str(write_site(tmp_path))
        config[section].program = ["/nowhere/program"]

    def make(kind=SiteProfilesSpawner, **more):
        row = SimpleNamespace(
            server=None, name="big", state=None, user_options=None, last_activity=None, started=None
        )
        rows = SimpleNamespace(_orm_spawners=[row])
        user = SimpleNamespace(
            name="alice", url="/user/alice/", escaped_name="alice", orm_user=rows
        )
        given = {
            "user": user, "orm_spawner": row, "config": config, "user_options": {},
            "oauth_client_id": "client-1", "cookie_options": {"path": "/x"},
            "_deprecated_db_session": session, "hub": SimpleNamespace(base_url="/hub/"),
        }  # fmt: skip
        return kind(**{**given, **more})

    yield make
    office.office.cache_clear()


def kept_state(**changes):
    return {"server": {**ServerState.new("token").plain(), **changes}, "job_id": "12"}


@pytest.mark.parametrize("options", [{"profile": "nope"}, {"profile": "local"}])
def test_an_unknown_profile_starts_nothing(made, options):
    """It is refused on every way in, and there is no child, least of all a local process."""
    spawner = made()
    for way in (spawner.hold, spawner.options_from_form, spawner.take_up):
        with pytest.raises(SpawnException):
            way(options)
    spawner.user_options = options
    with pytest.raises(SpawnException):
        spawner.start()
    assert spawner.child_spawner is None
    assert not issubclass(spawner.child_class, SiteSpawner)
    assert spawner.child_class is LocalProcessSpawner, "wrapspawner's own trap is still there"


def test_each_profile_has_its_child(made):
    """The choice decides the class; the child belongs to the same user, server and row."""
    for options, kind in (({"profile": "login"}, LoginSpawner), ({"cores": "4"}, SiteSpawner)):
        spawner = made()
        spawner.take_up(options)
        child = spawner.child_spawner
        assert type(child) is kind
        assert (child.user, child.name, child.orm_spawner) == (
            spawner.user, spawner.name, spawner.orm_spawner,
        )  # fmt: skip
        assert child.user_options == spawner.user_options
        assert child.oauth_client_id == "client-1"
        assert child.cookie_options == {"path": "/x"}


def test_the_form_is_the_sites(made):
    """The wrapper shows the site's form for all profiles, and reads it as the child would."""
    spawner = made()
    assert spawner.options_form is forms.render
    page = asyncio.run(spawner.get_options_form())
    assert 'name="node_type"' in page
    form = {"profile": ["login"], "node_type": ["shared"], "cores": ["64"]}
    assert spawner.options_from_form(form) == {"profile": "login"}
    with pytest.raises(SpawnException):
        spawner.options_from_form({**form, "profile": ["batch"]})


def test_changes_reach_the_child(made):
    """What JupyterHub and hooks set before the child is there, and after, reaches it."""
    spawner = made()
    spawner.api_token = "token-of-this-start"
    spawner.environment = {"A": "1"}
    spawner.take_up({"profile": "batch", "memory": "8 GiB"})
    child = spawner.child_spawner
    assert child.api_token == "token-of-this-start"
    assert child.environment == {"A": "1"}
    assert child.user_options == {"profile": "batch", "memory": "8 GiB"}
    spawner.environment = {"A": "2"}
    assert child.environment == {"A": "2"}


def test_settings_of_the_inner_spawner_stay(made):
    """An administrator's line for SiteSpawner is not overwritten by the wrapper's default."""
    spawner = made()
    spawner.config.SiteSpawner.environment = {"OMP_NUM_THREADS": "1"}
    spawner.config.SiteSpawner.report_timeout = 60
    spawner.take_up({"profile": "login"})
    assert spawner.child_spawner.environment == {"OMP_NUM_THREADS": "1"}
    assert spawner.child_spawner.report_timeout == 60
    assert spawner.start_timeout == spawner.child_spawner.start_timeout == A_LONG_TIME


def test_the_deprecated_database_is_not_touched(made, caplog):
    """JupyterHub warns at each use of Spawner.db, which stock wrapspawner makes at each spawn."""
    spawner = made()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spawner.take_up({"profile": "login"})
    assert "deprecated" not in caplog.text
    assert "db" not in spawner._trait_values


def test_what_the_child_remembers_is_written_down_by_the_wrapper(made):
    """The row holds the profile beside the child's state, from before the submission on."""
    spawner = made()
    spawner.take_up({"profile": "login"})
    child = spawner.child_spawner
    child.server_state = ServerState.new("token")
    child._remember(port=30001)
    state = spawner.orm_spawner.state
    assert state["profile"] == "login"
    assert state["child_state"]["server"]["port"] == 30001
    assert state == spawner.get_state()


def test_a_port_is_taken_while_the_wrapper_waits(made):
    """The child looks ready by itself, since JupyterHub's marks are the wrapper's."""
    spawner = made()
    spawner.take_up({"profile": "batch"})
    child = spawner.child_spawner
    child.server_state = ServerState.new("token")
    spawner._spawn_pending = True
    child.orm_spawner.server = orm.Server(
        proto="http", base_url="/user/alice/big/", ip="", port=1, cookie_name=""
    )
    assert child.take_port(30001) is True
    assert child.take_port(30002) is False, "one port per start"
    spawner._spawn_pending = False
    assert child.take_port(30001) is False, "nobody waits any more"


@pytest.mark.parametrize(
    ("state", "kind", "profile"),
    [
        ({"profile": "login", "child_state": kept_state()}, LoginSpawner, "login"),
        ({"profile": "batch", "child_state": kept_state()}, SiteSpawner, "batch"),
        ({"profile": "of-long-ago", "child_state": kept_state()}, SiteSpawner, "batch"),
        (kept_state(), SiteSpawner, "batch"),
    ],
)
def test_the_right_child_is_rebuilt(made, state, kind, profile):
    """After a restart the server is what it was, also after profiles were edited or introduced."""
    spawner = made()
    spawner.load_state(state)
    child = spawner.child_spawner
    assert type(child) is kind
    assert child.server_state == ServerState.revive(state.get("child_state", state)["server"])
    assert child.user_options == spawner.user_options
    assert spawner.get_state()["profile"] == profile
    assert spawner.server_state is child.server_state


def test_a_site_that_gave_its_profiles_up(made):
    """The plain spawner takes up what a wrapper has remembered."""
    spawner = made(SiteSpawner)
    state = kept_state(job="7.1001", scheduler="local", address="127.0.0.1", port=30001)
    spawner.load_state({"profile": "login", "child_state": state})
    assert spawner.server_state.job == "7.1001"
    assert spawner.job_id == "7.1001"


@pytest.mark.parametrize("state", [{}, {"profile": "login"}, {"profile": "x", "child_state": {}}])
def test_without_a_server_there_is_no_child(made, state):
    """A row without a server is no server: it is polled as gone, and stopping it is nothing."""
    spawner = made()
    spawner.load_state(state)
    assert spawner.child_spawner is None
    assert spawner.server_state is None
    assert spawner.get_state() == {}

    async def ask():
        return await spawner.poll(), await spawner.stop()

    assert asyncio.run(ask()) == (1, None)


def test_profiles_are_not_shared_between_users(made):
    """wrapspawner hands the same dictionary of settings to every child; ours has none."""
    first, second = made(), made()
    for each in (first, second):
        each.take_up({"profile": "login"})
    assert first.child_config is not second.child_config
    assert first.child_config == {}


def test_a_stopped_server_may_have_another_profile_next_time(made):
    """clear_state forgets the child, and the next start chooses anew."""
    spawner = made()
    spawner.take_up({"profile": "login"})
    spawner.child_spawner.server_state = ServerState.new("token")
    spawner.clear_state()
    assert (spawner.child_spawner, spawner.get_state()) == (None, {})
    spawner.take_up({"cores": "2"})
    assert type(spawner.child_spawner) is SiteSpawner


def test_a_child_that_was_left_over_is_not_started(made):
    """A hub that was killed while it stopped a server may have kept one of another profile."""
    spawner = made()
    spawner.load_state({"profile": "login", "child_state": kept_state()})
    assert type(spawner.child_spawner) is LoginSpawner
    spawner.take_up({"cores": "2"})
    assert type(spawner.child_spawner) is SiteSpawner
    assert spawner.server_state is None


FAILED = Failure(kind="walltime", sentence="It was too long.", advice="", when=5.0)


def test_a_failure_outlives_the_child_and_the_hub(made):
    """The wrapper keeps what became of the last start, also as the plain spawner reads it."""
    spawner = made()
    spawner.take_up({"profile": "login"})
    spawner.child_spawner.failure = FAILED
    spawner.clear_state()
    assert spawner.child_spawner is None
    assert spawner.failure == FAILED
    assert "It was too long." in spawner.failure_html()
    again, plain = made(), made(SiteSpawner)
    again.load_state(spawner.get_state())
    plain.load_state(spawner.get_state())
    assert again.failure == plain.failure == FAILED
    again.take_up({"profile": "login"})
    again.clear_state()
    assert (again.failure, again.get_state()) == (None, {})


ENDED = JobStatus(id="12", state=JobState.OUT_OF_MEMORY, exit_code=137)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (ENDED, "out-of-memory"),
        (replace(ENDED, state=JobState.CANCELLED, word="CANCELLED by 0"), "cancelled"),
        # by its own user, be it from the hub, and from JupyterLab's menu
        (replace(ENDED, state=JobState.CANCELLED, word=f"CANCELLED by {os.getuid()}"), None),
        (replace(ENDED, state=JobState.COMPLETED, exit_code=0), None),
    ],
)
def test_a_death_outlives_the_child_and_the_hub(made, monkeypatch, status, kind):
    """Why a child died that had been up is at the wrapper, and there again after a restart."""

    class Poller:
        def news(self, job):
            return SimpleNamespace(status=status, heard=0.0)

    class Desk:
        async def logs(self, user, name, lines):
            return Log(("the last line",), 137)

    names = {0: "root", os.getuid(): "alice"} if kind is None else {0: "root"}
    monkeypatch.setattr(
        postmortem.pwd, "getpwuid", lambda number: SimpleNamespace(pw_name=names[number])
    )
    monkeypatch.setattr(SiteSpawner, "_follow", lambda self, *, starting: Poller())
    spawner = made(user_options={"profile": "batch"})
    state = kept_state(job="12", scheduler="slurm", address="10.0.0.1", port=30001)
    spawner.load_state({"profile": "batch", "child_state": state})
    monkeypatch.setattr(spawner.office, "desk", Desk())

    async def note(*_):
        pass

    monkeypatch.setattr(SiteSpawner, "_note_usage", note)
    before = DEATHS.labels(kind or "none")._value.get()
    assert asyncio.run(spawner.poll()) == status.exit_code
    assert DEATHS.labels(kind or "none")._value.get() == before + (kind is not None)
    spawner.clear_state()
    again = made()
    again.load_state(spawner.get_state())
    assert spawner.failure == again.failure
    assert (again.failure.kind if again.failure else None) == kind
    if again.failure:
        assert again.failure.up
        assert "the last line" in again.failure_html()


def test_a_server_that_waits_is_pending_at_the_wrapper(made, monkeypatch):
    """JupyterHub looks at nothing else: its page, its cancel button and its route depend on it."""
    spawner, done = made(), []
    spawner.load_state({"profile": "batch", "child_state": kept_state(job="7")})
    child = spawner.child_spawner

    async def drop():
        done.append("no route")

    async def add():
        done.append("a route")

    monkeypatch.setattr(child, "_drop_route", drop)
    monkeypatch.setattr(child, "_add_route", add)

    async def check():
        up = asyncio.Event()

        async def until_up(*, adopted):
            await up.wait()
            return "http://c1:30001"

        monkeypatch.setattr(child, "_until_up", until_up)
        spawner._check_pending = True
        url = asyncio.ensure_future(spawner.get_url())
        while not spawner._spawn_pending:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)
        assert spawner.pending == "spawn"
        up.set()
        assert await url == "http://c1:30001"
        assert done == ["no route"], "it is not checked yet"
        spawner._check_pending = False
        await spawner._spawn_future
        assert done == ["no route", "a route"]
        assert spawner.pending is None

    asyncio.run(check())


def test_progress_begins_before_there_is_a_child(made):
    """The first event comes at once, and the child's follow when it is there."""

    async def watch():
        spawner = made()
        events = spawner.progress()
        first = await anext(events)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        assert not waiting.done()
        spawner.take_up({"profile": "batch"})
        second = await asyncio.wait_for(waiting, 5)
        await events.aclose()
        return first, second

    first, second = asyncio.run(watch())
    assert first["message"] == "The hub is looking at what was asked."
    assert second["progress"] > first["progress"]


def test_a_login_server_listens_on_this_very_host(made):
    """Its address is loopback, whatever the name of the host stands for."""
    spawner = made(LoginSpawner)
    assert spawner._addresses(ServerState.new("token")) == ["127.0.0.1"]
