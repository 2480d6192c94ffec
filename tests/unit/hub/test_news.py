"""No news is no end, and an end is known without news when the walltime is over."""

import asyncio
import time
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from pangeo_hpc.errors import SchedulerUnreachable, UnknownName
from pangeo_hpc.hub import adoption, following, postmortem, submission
from pangeo_hpc.hub import spawner as room
from pangeo_hpc.hub.office import Office
from pangeo_hpc.hub.poller import HISTORY_DELAY, Poller
from pangeo_hpc.hub.spawner import SiteSpawner
from pangeo_hpc.hub.state import ServerState
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.server import proof

START = 1_800_000_000.0
MONOTONIC = time.monotonic


def running(job: str) -> JobStatus:
    return JobStatus(id=job, state=JobState.RUNNING, nodes=("c1",))


def test_one_users_silence_is_no_news_for_that_user_only() -> None:
    """A program of alice's that gives no answer neither ends her servers nor hides bob's end."""
    now = 0.0

    async def queue(ids: Collection[str]) -> Mapping[str, JobStatus | None]:
        return {}

    async def history(ids: Collection[str]) -> Mapping[str, JobStatus | None]:
        return {"1": None}

    async def follow() -> tuple[Any, Any]:
        nonlocal now
        poller = Poller(queue, history, interval=15, clock=lambda: now)
        for job in ("1", "2"):
            poller.watch(job)
        for _ in range(3):
            now += HISTORY_DELAY
            await poller.look()
        heard = poller.news("1"), poller.news("2")
        await poller.stop()
        return heard

    silent, gone = asyncio.run(follow())
    assert silent is None
    assert gone.status.state is JobState.LOST


def test_users_are_asked_at_once_and_apart() -> None:
    """A user whose program fails is left out; the others' answers count."""

    class Desk:
        async def status(
            self, user: str, jobs: Collection[str], *, scheduler: str
        ) -> dict[str, JobStatus]:
            if user == "alice":
                raise SchedulerUnreachable("she stopped it")
            return {job: running(job) for job in jobs}

    office = Office.__new__(Office)
    office.desk = Desk()  # type: ignore[assignment]
    office._owners = {("slurm", "1"): "alice", ("slurm", "2"): "bob", ("slurm", "3"): "bob"}
    found = asyncio.run(office._from_users("slurm", ["1", "2", "3"]))
    assert found["1"] is None
    assert found["2"] == running("2") and found["3"] == running("3")


class Known:
    """A poller that heard something once, and what it heard."""

    interval = 15.0

    def __init__(self, status: JobStatus | None, age: float = 0.0) -> None:
        self.status, self.age = status, age

    def news(self, job: str) -> Any:
        if self.status is None:
            return None
        return SimpleNamespace(status=self.status, heard=1000.0 - self.age)

    async def next_answer(self, within: float | None = None) -> bool:
        await asyncio.sleep(0)
        return False


def server(
    monkeypatch: pytest.MonkeyPatch, poller: Known, *, now: float, listens: str = "ours"
) -> tuple[SiteSpawner, list[Any]]:
    """Return the spawner of a server that runs until START, and what it did."""
    done: list[Any] = []
    spawner = SiteSpawner()
    state = ServerState(
        name="jupyter-abcdefgh", token_digest="", proof_key="00", asked=START - 60, job="7",
        scheduler="slurm", node="c1", address="10.0.0.1", port=30001, begun=START - 60, ends=START,
    )  # fmt: skip
    spawner.server_state = state

    def remember(**changes: Any) -> ServerState:
        spawner.server_state = ServerState(**{**state.plain(), **changes})
        return spawner.server_state

    class Desk:
        async def cancel(self, user: str, jobs: Collection[str]) -> dict[str, str]:
            done.append(("cancel", list(jobs)))
            return {}

    class Proxy:
        async def delete_user(self, user: Any, name: str) -> None:
            done.append("no route")

        async def add_user(self, user: Any, name: str) -> None:
            done.append("a route")

    def connect(secret: bytes, address: str, port: int, *, base: str) -> Any:
        done.append((address, port))
        if listens == "nobody":
            raise ConnectionRefusedError
        if listens == "a stranger":
            raise proof.Stranger("somebody else")
        return SimpleNamespace(close=lambda: None)

    async def note(status: JobStatus) -> None:
        done.append(("used", status.id))

    async def gone(asking: Any, status: JobStatus | None) -> None:
        done.append(("gone", status.state if status else None))

    monkeypatch.setattr(postmortem, "gone", gone)
    monkeypatch.setattr(spawner, "_note_usage", note)
    monkeypatch.setattr(spawner, "_remember", remember)
    monkeypatch.setattr(spawner, "_follow", lambda *, starting: poller)
    spawner.user = SimpleNamespace(name="alice", settings={"proxy": Proxy()})
    monkeypatch.setattr(SiteSpawner, "office", SimpleNamespace(desk=Desk()))
    monkeypatch.setattr(SiteSpawner, "_log_name", "alice:")
    monkeypatch.setattr(SiteSpawner, "server", None)
    monkeypatch.setattr(room.time, "time", lambda: now)
    monkeypatch.setattr(room.time, "monotonic", lambda: 1000.0)
    monkeypatch.setattr(following.address, "resolved", lambda name: iter(["10.0.0.1"]))
    monkeypatch.setattr(following.proof, "connect", connect)
    return spawner, done


@pytest.mark.parametrize(
    ("status", "age", "after", "expected"),
    [
        # news that it runs, however long its walltime is over
        (running("7"), 0.0, 3600.0, None),
        # no news for an hour, and its walltime is not over, or only just
        (running("7"), 3600.0, -1.0, None),
        (running("7"), 3600.0, 89.0, None),
        # no news, and its walltime and the grace are over
        (running("7"), 3600.0, 91.0, 0),
        (None, 0.0, 91.0, 0),
        (None, 0.0, -1.0, None),
        # the scheduler said so
        (JobStatus(id="7", state=JobState.FAILED, exit_code=3), 0.0, -30.0, 3),
        (JobStatus(id="7", state=JobState.LOST), 0.0, -30.0, 0),
    ],
)
def test_a_route_ends_when_the_job_must_have_ended(
    monkeypatch: pytest.MonkeyPatch,
    status: JobStatus | None,
    age: float,
    after: float,
    expected: int | None,
) -> None:
    """A hub without news gives a server up when its walltime is over, and never before."""
    spawner, done = server(monkeypatch, Known(status, age), now=START + after)
    assert asyncio.run(spawner.poll()) == expected
    looked = [each for each in done if each[0] == "gone"]
    ended = status.state if status is not None and status.state.ended else None
    assert looked == ([] if expected is None else [("gone", ended)])


def test_an_end_is_looked_into_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ask at once; and not that of a server which is stopped from the hub."""
    ended = JobStatus(id="7", state=JobState.FAILED, exit_code=3)
    spawner, done = server(monkeypatch, Known(ended), now=START - 30)

    async def ask() -> list[int | None]:
        return list(await asyncio.gather(spawner.poll(), spawner.poll()))

    assert asyncio.run(ask()) == [3, 3]
    assert done.count(("gone", JobState.FAILED)) == 1
    spawner, done = server(monkeypatch, Known(ended), now=START - 30)
    spawner._is_unwanted = True
    assert asyncio.run(spawner.poll()) == 3
    assert ("gone", JobState.FAILED) not in done


@pytest.mark.parametrize(
    ("listens", "expected"), [("ours", None), ("nobody", None), ("a stranger", 1)]
)
def test_a_strangers_port_ends_the_route(
    monkeypatch: pytest.MonkeyPatch, listens: str, expected: int | None
) -> None:
    """Somebody else at the server's port ends its route and its job; a busy server does not."""
    spawner, done = server(monkeypatch, Known(running("7")), now=START - 30, listens=listens)
    assert asyncio.run(spawner.poll()) == expected
    assert done[0] == ("10.0.0.1", 30001)
    assert done[1:] == (["no route", ("cancel", ["7"])] if expected else [])


def test_a_server_that_does_not_prove_itself_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart, JupyterHub is never told the address of a stranger, and no route is left."""
    spawner, done = server(monkeypatch, Known(running("7")), now=START - 30, listens="a stranger")

    async def silent(*_: Any) -> Any:
        return room.SpawnException("did not report", reason="silent")

    monkeypatch.setattr(postmortem, "silent", silent)
    assert asyncio.run(spawner.get_url()) == adoption.NOWHERE
    assert "no route" in done


def test_a_server_that_proves_itself_keeps_its_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart, our own server is routed as before."""
    spawner, done = server(monkeypatch, Known(running("7")), now=START - 30)
    assert asyncio.run(spawner.get_url()) == "http://10.0.0.1:30001"
    assert "no route" not in done


@pytest.mark.parametrize("there", [True, False])
def test_a_server_found_again_is_routed_once_it_is_checked(
    monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    """A proxy that was killed too learns of it then, and not when all other waits are over."""
    spawner, done = server(monkeypatch, Known(running("7")), now=START - 30)
    monkeypatch.setattr(SiteSpawner, "server", SimpleNamespace(base_url="/") if there else None)
    # time passes, since the check takes some
    monkeypatch.setattr(room.time, "monotonic", MONOTONIC)

    async def check() -> None:
        spawner._check_pending = True
        await spawner.get_url()
        await asyncio.sleep(0)
        assert "a route" not in done
        spawner._check_pending = False
        assert spawner._routing is not None
        await spawner._routing

    asyncio.run(check())
    assert ("a route" in done) == there


def starting(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> tuple[Any, list[Any]]:
    """Return a server that has reported, and does not prove itself; then there is an error."""
    spawner, done = server(monkeypatch, Known(running("7")), now=START - 30, listens="nobody")
    monkeypatch.setattr(room.time, "monotonic", MONOTONIC)

    async def until_up(*, adopted: float) -> str:
        if error is not None:
            raise error
        await asyncio.Event().wait()
        return ""

    monkeypatch.setattr(spawner, "_until_up", until_up)
    return spawner, done


@pytest.mark.parametrize("error", [RuntimeError("x"), UnknownName("y"), OSError()])
def test_no_server_keeps_the_hub_from_starting(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """JupyterHub ends with any error of the check of any server; that one is given up instead."""
    spawner, done = starting(monkeypatch, error)
    assert asyncio.run(spawner.get_url()) == adoption.NOWHERE
    assert spawner.http_timeout == 1
    assert "no route" in done


def test_a_server_that_is_stopped_while_it_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it any more, and the check makes nothing of what becomes of its job."""
    spawner, done = starting(monkeypatch, None)

    async def stop(spawner: Any, now: bool) -> None:
        done.append("stopped")

    monkeypatch.setattr(submission.SubmittingSpawner, "stop", stop)

    async def check() -> None:
        url = asyncio.ensure_future(spawner.get_url())
        await asyncio.wait([url], timeout=0.5)
        await spawner.stop()
        await asyncio.wait([url], timeout=0.1)
        assert spawner._awaited.cancelled()
        assert not url.done()
        url.cancel()

    asyncio.run(check())
    assert done[-1] == "stopped"
