"""A notebook server's whole life on PBS, through the program, the poller and stand-in commands."""

import asyncio
import stat
import time
from pathlib import Path

import pytest

from pangeo_hpc.errors import RequestRefused, SubmitRefused
from pangeo_hpc.schedulers.base import JobState
from tests.programs.hub_site import TOKEN, HubSite
from tests.programs.pbs_programs import calls, install, tell

NAME = "jupyter-abcdefgh"
SITE = """\
scheduler: pbs
schedulers:
  pbs: {{type: pbs, bin: {programs}}}
node_types:
  shared: {{default: true, queue: short, cores: 1, memory: 1 GiB, walltime: "00:10:00"}}
  missing: {{queue: nosuch, cores: 1, memory: 1 GiB, walltime: "00:10:00"}}
"""


class PbsHub(HubSite):
    """A hub on a stand-in PBS."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.programs = install(folder / "pbs")
        super().__init__(folder, SITE.format(programs=self.programs), monkeypatch)

    def tell(self, **told: object) -> None:
        """Tell the stand-ins how to behave."""
        tell(self.programs, **told)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    made = PbsHub(tmp_path, monkeypatch)
    yield made
    made.tell()
    made.end(0)
    for kept in asyncio.run(made.desk.servers(made.person.user)):
        asyncio.run(made.desk.cancel(made.person.user, [kept.job]))


@pytest.mark.parametrize("history", [True, False])
@pytest.mark.parametrize(("code", "state"), [(0, JobState.COMPLETED), (3, JobState.FAILED)])
def test_a_whole_life(hub, history, code, state):
    """Queued with the reason, running on a node with dots in its name, and ended with its code.

    Where the server keeps no history, its default, the job's own file tells how it ended.
    """
    hub.tell(paused=True, history=history, domain=".cluster.example")
    submitted = hub.submit(NAME)
    assert (submitted.job, submitted.scheduler) == ("1.standin", "pbs")
    waiting = hub.look(submitted)
    assert waiting is not None
    assert waiting.status.state is JobState.PENDING
    assert waiting.status.reason == "Not Running: Queue not started."
    hub.tell(history=history, domain=".cluster.example")
    running = hub.until(submitted, lambda state: state is JobState.RUNNING)
    assert running.status.nodes == ("node01.cluster.example",)
    hub.end(code)
    ended = hub.until(submitted, lambda state: state.ended)
    assert (ended.status.state, ended.status.exit_code) == (state, code)
    asked = len(calls(hub.programs))
    hub.look(submitted)
    assert len(calls(hub.programs)) == asked, "an end is final"


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ({"job_state": "H", "Hold_Types": "u"}, JobState.HELD),
        ({"job_state": "W"}, JobState.PENDING),
        ({"job_state": "T"}, JobState.PENDING),
        ({"job_state": "S", "exec_host": "node01/0"}, JobState.SUSPENDED),
        ({"job_state": "U", "exec_host": "node01/0"}, JobState.SUSPENDED),
        ({"job_state": "B"}, JobState.RUNNING),
        ({"job_state": "E", "exec_host": "n1.site.org/0*2"}, JobState.ENDING),
        ({"job_state": "%"}, JobState.UNKNOWN),
    ],
)
def test_states_that_are_no_end(hub, said, state):
    """Held, waiting, suspended, in transit, ending, and a letter nobody knows: the server lives."""
    hub.tell(paused=True)
    submitted = hub.submit(NAME)
    hub.tell(paused=True, say={submitted.job: said})
    heard = hub.look(submitted)
    assert heard is not None
    assert (heard.status.state, heard.status.state.ended) == (state, False)
    if state is JobState.HELD:
        assert heard.status.reason == "held by its owner"


def test_a_server_that_is_silent(hub):
    """qstat that fails or hangs is no news; the job is followed when it answers again."""
    submitted = hub.submit(NAME)
    running = hub.until(submitted, lambda state: state is JobState.RUNNING)
    hub.tell(down=["qstat"])
    assert hub.look(submitted) == running
    assert hub.office.pollers["pbs"].figures.failures == 1
    hub.tell()
    assert hub.look(submitted).heard > running.heard


def test_no_secret_is_seen(hub):
    """The token is in no script, argv, variable list, output or record; only in a file that goes.

    That file is the user's alone while the job waits, and gone when the server has read it.
    """
    hub.tell(paused=True)
    submitted = hub.submit(NAME)
    (secret,) = (hub.kept(NAME) / "private").iterdir()
    assert TOKEN in secret.read_text()
    for path in (secret, secret.parent, hub.kept(NAME)):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    hub.tell()
    hub.until(submitted, lambda state: state is JobState.RUNNING)
    deadline = time.monotonic() + 30
    while not (hub.folder / "environment").exists():
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.05)
    assert TOKEN in (hub.folder / "taken").read_text(), "the server was told"
    assert not secret.exists()
    (hub.folder / "taken").unlink()
    public = [each for each in hub.folder.rglob("*") if each.is_file()]
    assert hub.kept(NAME) / "job.sh" in public
    assert [path for path in public if TOKEN in path.read_text(errors="replace")] == []
    argv = calls(hub.programs)
    assert ["qsub", str(hub.kept(NAME) / "job.sh")] in argv
    assert TOKEN not in str(argv)
    script = (hub.kept(NAME) / "job.sh").read_text()
    header = [line for line in script.splitlines() if line.startswith("#PBS")]
    assert not [line for line in header if line.split()[1] in ("-v", "-V")]
    assert any("walltime=" in line for line in header)
    assert any("mem=" in line for line in header)


def test_every_command_is_called_by_its_path(hub, monkeypatch):
    """sudo's PATH does not hold PBS's commands: the site's folder is what counts."""
    monkeypatch.setenv("PATH", "/nowhere")
    submitted = hub.submit(NAME)
    assert hub.look(submitted) is not None
    asyncio.run(hub.desk.cancel(hub.person.user, [submitted.job]))
    assert {call[0] for call in calls(hub.programs)} >= {"qsub", "qstat", "qdel"}


@pytest.mark.parametrize("paused", [True, False])
def test_a_server_that_is_stopped(hub, paused):
    """Waiting or running, it is cancelled as its user; twice is no error, and no secret is left."""
    hub.tell(paused=paused)
    submitted = hub.submit(NAME)
    if not paused:
        hub.until(submitted, lambda state: state is JobState.RUNNING)
    for _ in range(2):
        assert asyncio.run(hub.desk.cancel(hub.person.user, [submitted.job])) == {}
    ended = hub.until(submitted, lambda state: state.ended)
    assert ended.status.state is JobState.CANCELLED
    assert list((hub.kept(NAME) / "private").iterdir()) == []


def test_the_same_order_again(hub):
    """A submission whose answer was lost is found, and never made twice."""
    hub.tell(mute=["qsub"])
    first = hub.submit(NAME)
    hub.tell()
    assert hub.submit(NAME) == first
    assert asyncio.run(hub.desk.find(hub.person.user, NAME)) == first
    assert [call[0] for call in calls(hub.programs)].count("qsub") == 1


def test_what_pbs_refuses(hub):
    """Its own words reach the hub, with a hint; nothing is left in the queue, no secret either."""
    with pytest.raises(SubmitRefused) as caught:
        hub.submit(NAME, node_type="missing")
    assert "Unknown queue" in caught.value.text
    assert "qstat -Q" in (caught.value.hint or "")
    assert list((hub.kept(NAME) / "private").iterdir()) == []
    with pytest.raises(RequestRefused):
        hub.submit("jupyter-bcdefghj", cores="1000")
    assert [call for call in calls(hub.programs) if call[0] == "qsub"] == [
        ["qsub", str(hub.kept(NAME) / "job.sh")]
    ]


def test_a_job_of_nobodys_server(hub):
    """Only servers' jobs are cancelled through the hub, however the order came."""
    from pangeo_hpc.errors import NotAllowed

    with pytest.raises(NotAllowed, match=r"not the job of a server.*4711\.standin"):
        asyncio.run(hub.desk.cancel(hub.person.user, ["4711.standin"]))
    assert "qdel" not in {call[0] for call in calls(hub.programs)}
