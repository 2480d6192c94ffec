"""Slurm and PBS at one site: each server on the scheduler of its node type, each asked apart."""

import asyncio

import pytest

from pangeo_hpc.hub.operators import Known
from pangeo_hpc.hub.reconcile import Reconciler
from pangeo_hpc.hub.state import ServerState
from pangeo_hpc.schedulers.base import JobState
from tests.programs import pbs_programs, slurm_programs
from tests.programs.hub_site import HubSite

ONE, OTHER = "jupyter-abcdefgh", "jupyter-bcdefghj"
SITE = """\
scheduler: slurm
schedulers:
  slurm: {{type: slurm, bin: {slurm}}}
  casper: {{type: pbs, bin: {pbs}}}
node_types:
  shared: {{default: true, queue: short, cores: 1, memory: 1 GiB, walltime: "00:10:00"}}
  analysis:
    {{scheduler: casper, queue: short, cores: 1, memory: 2 GiB, walltime: "00:10:00"}}
"""


@pytest.fixture
def hub(tmp_path, monkeypatch):
    slurm, pbs = (
        slurm_programs.install(tmp_path / "slurm"), pbs_programs.install(tmp_path / "pbs"),
    )  # fmt: skip
    made = HubSite(tmp_path, SITE.format(slurm=slurm, pbs=pbs), monkeypatch)
    made.slurm, made.pbs = slurm, pbs
    yield made
    made.end(0)
    for kept in asyncio.run(made.desk.servers(made.person.user)):
        asyncio.run(made.desk.cancel(made.person.user, [kept.job]))


def is_running(state):
    return state is JobState.RUNNING


def known(hub, name, submitted):
    """Return what the hub's database would hold of a server."""
    state = ServerState.new("token").plain()
    state |= {"name": name, "job": submitted.job, "scheduler": submitted.scheduler}
    return Known(hub.person.user, "", "batch", ServerState(**state))


def test_each_server_on_its_own_scheduler(hub):
    """The node type decides; each look asks each scheduler once, about its own job only."""
    one, other = hub.submit(ONE), hub.submit(OTHER, node_type="analysis")
    assert (one.scheduler, other.scheduler) == ("slurm", "casper")
    assert (one.job, other.job) == ("1", "1.standin")
    assert hub.until(one, is_running).status.nodes == ("c1",)
    assert hub.until(other, is_running).status.nodes == ("node01",)
    slurm_calls = len(slurm_programs.calls(hub.slurm))
    pbs_calls = len(pbs_programs.calls(hub.pbs))
    hub.look(one)
    assert len(slurm_programs.calls(hub.slurm)) == slurm_calls + 1
    assert len(pbs_programs.calls(hub.pbs)) == pbs_calls
    hub.look(other)
    assert pbs_programs.calls(hub.pbs)[-1][-1] == "1.standin"
    assert asyncio.run(hub.desk.cancel(hub.person.user, ["1"], scheduler="slurm")) == {}
    assert hub.until(one, lambda state: state.ended).status.state is JobState.CANCELLED
    assert hub.look(other).status.state is JobState.RUNNING


def test_one_scheduler_that_is_down_is_not_the_other(hub):
    """News of the one go on while there are none of the other."""
    one, other = hub.submit(ONE), hub.submit(OTHER, node_type="analysis")
    hub.until(one, is_running)
    hub.until(other, is_running)
    slurm_programs.tell(hub.slurm, down=["squeue", "sacct"])
    hub.end(0)
    assert hub.until(other, lambda state: state.ended).status.state is JobState.COMPLETED
    assert hub.look(one).status.state is JobState.RUNNING
    slurm_programs.tell(hub.slurm)
    assert hub.until(one, lambda state: state.ended).status.state is JobState.COMPLETED


def test_orphans_are_found_on_both(hub):
    """One question to each scheduler finds them; they are cancelled on request only."""
    one, other = hub.submit(ONE), hub.submit(OTHER, node_type="analysis")
    hub.until(one, is_running)
    hub.until(other, is_running)
    before = len(slurm_programs.calls(hub.slurm))
    comparing = Reconciler(hub.site, hub.desk, lambda: [known(hub, ONE, one)])
    report = asyncio.run(comparing.compare())
    assert len(slurm_programs.calls(hub.slurm)) == before + 1
    assert [(each.kind, each.job, each.name) for each in report.found] == [
        ("orphan", other.job, OTHER)
    ]
    assert report.remains
    assert hub.look(other).status.state is JobState.RUNNING
    comparing = Reconciler(hub.site, hub.desk, list)
    report = asyncio.run(comparing.cancel(asyncio.run(comparing.compare())))
    assert {each.job: each.done for each in report.found} == {
        one.job: "cancelled", other.job: "cancelled",
    }  # fmt: skip
    assert not report.remains
    for each in (one, other):
        assert hub.until(each, lambda state: state.ended).status.state is JobState.CANCELLED


def test_states_whose_job_is_gone(hub):
    """A hub that was down while a server ended is told so, and one that lives is not touched."""
    one, other = hub.submit(ONE), hub.submit(OTHER, node_type="analysis")
    hub.until(one, is_running)
    hub.until(other, is_running)
    asyncio.run(hub.desk.cancel(hub.person.user, [other.job]))
    hub.until(other, lambda state: state.ended)
    both = [known(hub, ONE, one), known(hub, OTHER, other)]
    report = asyncio.run(Reconciler(hub.site, hub.desk, lambda: both).compare())
    assert [(each.kind, each.job, each.state) for each in report.found] == [
        ("gone", other.job, "cancelled")
    ]
    assert report.remains


def test_a_scheduler_that_does_not_answer(hub):
    """Nothing is taken as gone, and it is said who was silent."""
    other = hub.submit(OTHER, node_type="analysis")
    hub.until(other, is_running)
    pbs_programs.tell(hub.pbs, down=["qstat", "qselect"])
    comparing = Reconciler(hub.site, hub.desk, lambda: [known(hub, OTHER, other)])
    report = asyncio.run(comparing.compare())
    assert report.found == []
    assert [text.partition(":")[0] for text in report.silent] == ["casper"]
    assert report.remains
    pbs_programs.tell(hub.pbs)


def test_what_the_queues_hide_the_users_tell(hub):
    """Where others' jobs are hidden, the user's own program finds the orphan."""
    one = hub.submit(ONE)
    hub.until(one, is_running)

    class Blind(Reconciler):
        """Sees nobody's jobs."""

        async def _in_queues(self, report):
            return {}

    comparing = Blind(hub.site, hub.desk, list)
    assert asyncio.run(comparing.compare()).found == []
    (found,) = asyncio.run(comparing.compare([hub.person.user])).found
    assert (found.kind, found.job, found.scheduler) == ("orphan", "1", "slurm")
