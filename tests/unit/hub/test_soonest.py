"""What could start sooner, and guesses from free nodes."""

import asyncio
from datetime import UTC, datetime, timedelta
from unittest.mock import AsyncMock

import pytest

from pangeo_hpc.hub import estimates as room
from pangeo_hpc.hub.choices import Choices
from pangeo_hpc.hub.conditions import Cluster
from pangeo_hpc.hub.estimates import Busy, Estimates, until
from pangeo_hpc.hub.fresh import Known
from pangeo_hpc.hub.soonest import MOST, Offer, best, candidates, starts_now
from pangeo_hpc.schedulers.base import JobRequest, Node, NodeState
from pangeo_hpc.units import gib
from tests.unit.hub import formsite

NOW = datetime(2026, 11, 1, tzinfo=UTC)
JOB = JobRequest(name="j", command=("true",), cores=4, memory=gib(16), walltime=timedelta(hours=1))


def node(state=NodeState.PARTLY, **more):
    whole = {"cores": 36, "cores_used": 30, "memory": gib(100), "memory_used": gib(50)}
    return Node(name="n1", state=state, queues=("casper",), **(whole | more))


def test_each_node_type_is_asked_whole_and_shorter(tmp_path):
    """The asked one first; no longer than each allows; none that does not allow the shape."""
    asked = Choices(walltime="08:00:00", account="a1")
    found = candidates(formsite.site(tmp_path), asked, formsite.person(tmp_path))
    told = [(each.request.node_type, str(each.request.walltime)) for each in found]
    # short takes no account
    assert told == [
        ("shared", "8:00:00"),
        ("shared", "2:00:00"),
        ("casper", "8:00:00"),
        ("casper", "2:00:00"),
    ]
    asked = Choices(node_type="short", cores="20")
    found = candidates(formsite.site(tmp_path), asked, formsite.person(tmp_path))
    assert {each.request.node_type for each in found} == {"shared"}
    assert {each.request.cores for each in found} == {20}


def test_questions_are_bounded(tmp_path):
    """However many node types a site has, a handful of questions is asked."""
    more = "".join(
        f"  type{n}: {{cores: 4, memory: 16 GiB, walltime: '04:00:00'}}\n" for n in range(20)
    )
    text = formsite.SITE.replace("environments:", f"{more}environments:")
    site = formsite.site(tmp_path, text)
    assert len(candidates(site, Choices(), formsite.person(tmp_path))) == MOST


def test_a_shorter_job_that_starts_no_sooner_is_not_offered():
    """The soonest is first, and per node type nothing shorter without a gain."""

    def offer(name, hours, wait):
        start = NOW + timedelta(hours=wait)
        return Offer(Choices(), name, timedelta(hours=hours), start)

    found = best(
        [offer("a", 12, 3), offer("a", 3, 3), offer("b", 12, 5), offer("b", 3, 0), offer("c", 1, 0)]
    )
    told = [(each.node_type, each.walltime.total_seconds() / 3600) for each in found]
    assert told == [("b", 3), ("c", 1), ("a", 12), ("b", 12)]


@pytest.mark.parametrize(
    ("nodes", "fits"),
    [
        ([node()], True),
        ([node(cores_used=33)], False),
        ([node(memory_used=gib(90))], False),
        ([node(NodeState.DOWN)], False),
        ([node(NodeState.BUSY)], False),
        ([], False),
    ],
)
def test_a_guess_needs_a_node_with_room(nodes, fits):
    """Cores and memory must be free on one node that takes work."""
    assert starts_now(JOB, nodes) is fits


def test_whole_nodes_and_gpus_are_guessed_too():
    """An exclusive job wants an idle node; GPUs must be free."""
    whole = JobRequest(**{**JOB.__dict__, "exclusive": True})
    assert not starts_now(whole, [node()])
    assert starts_now(whole, [node(NodeState.IDLE, cores_used=0)])
    gpu = JobRequest(**{**JOB.__dict__, "gpus": 1})
    assert not starts_now(gpu, [node(gpus=2, gpus_used=2)])
    assert starts_now(gpu, [node(gpus=2, gpus_used=1)])


class Desk:
    """Answers like the program that acts as users."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.now, self.most = 0, 0

    async def preview(self, user, choices):
        self.asked.append(f"{user} {dict(choices)}")
        self.now += 1
        self.most = max(self.most, self.now)
        await self.open.wait()
        self.now -= 1
        return {"script": "#!/bin/bash", "start": None, "said": ""}


def office(tmp_path, monkeypatch, nodes=()):
    monkeypatch.setattr(room, "person_of", lambda user: formsite.person(tmp_path))
    monkeypatch.setattr(room, "_BETWEEN", 0.0)
    conditions = AsyncMock()
    conditions.cluster.return_value = Known(Cluster(nodes, ()), 1.0)
    desk = Desk()
    return desk, Estimates(formsite.site(tmp_path), desk, conditions, clock=lambda: 0.0)


def test_the_same_question_is_asked_once(tmp_path, monkeypatch):
    """Until its answer is old, whoever of the user's pages asks."""
    desk, estimates = office(tmp_path, monkeypatch)

    async def look():
        for _ in range(3):
            await estimates.preview("alice", Choices(cores="8"))
        await estimates.preview("alice", Choices(cores="9"))
        await estimates.preview("bob", Choices(cores="8"))

    asyncio.run(look())
    assert len(desk.asked) == 3


def test_nobody_can_keep_the_hub_busy(tmp_path, monkeypatch):
    """One user has one question at a time and a few that wait; all together have four."""
    desk, estimates = office(tmp_path, monkeypatch)

    async def look():
        desk.open.clear()
        several = [
            asyncio.create_task(estimates.preview(user, Choices(cores=str(cores))))
            for user in "abcdefgh"
            for cores in (5, 6, 7)
        ]
        await asyncio.sleep(0.01)
        assert desk.most == 4
        with pytest.raises(Busy):
            await estimates.preview("a", Choices(cores="8"))
        desk.open.set()
        await asyncio.gather(*several)

    asyncio.run(look())
    assert desk.most == 4
    assert len(desk.asked) == 24


@pytest.mark.parametrize(("used", "now"), [(0, True), (36, False)])
def test_pbs_is_guessed_from_free_nodes_and_says_so(tmp_path, monkeypatch, used, now):
    """No PBS tells the start of a job that is not queued: free nodes do, marked as a guess."""
    nodes = (node(cores_used=used),)
    _, estimates = office(tmp_path, monkeypatch, nodes)
    seen = asyncio.run(estimates.preview("alice", Choices(node_type="casper", account="a1")))
    assert seen.is_guess
    assert (seen.start is not None) is now
    seen = asyncio.run(estimates.preview("alice", Choices(node_type="shared")))
    assert not seen.is_guess
    assert seen.start is None


@pytest.mark.parametrize(
    ("seconds", "about"),
    [(-5, None), (59, None), (61, "0:02:00"), (3000, "0:50:00"), (10_000, "2:50:00"),
     (90_000, "1 day, 1:00:00")],
)  # fmt: skip
def test_a_wait_is_told_no_finer_than_it_is_known(seconds, about):
    """In minutes within the hour, in five minutes within the day, then in hours; rounded up."""
    left = until(NOW + timedelta(seconds=seconds), NOW)
    assert (str(left) if left else None) == about
