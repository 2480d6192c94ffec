"""A stale attempt writes nothing into a store or a ledger after its successor began."""

import asyncio
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from zarr.core.buffer import default_buffer_prototype

from pangeo_hpc import files
from pangeo_hpc.errors import RunBusy
from pangeo_hpc.workflow import lease
from pangeo_hpc.workflow.holder import Holder
from pangeo_hpc.workflow.writing.store import DurableStore, survey
from tests.unit.workflow.conftest import nobody_knows


def write(target: DurableStore, key: str, data: bytes) -> None:
    asyncio.run(target.set(key, default_buffer_prototype().buffer.from_bytes(data)))


@pytest.fixture
def overtaken(folder: Path, me: Holder, tmp_path: Path) -> tuple[DurableStore, Callable[[], None]]:
    """A store in the hands of an attempt, and what a later attempt does when it begins."""
    mine = lease.take(folder, me, nobody_knows)
    ours = DurableStore.at(tmp_path / "out.zarr", mine.fence)

    def overtake() -> None:
        assert lease.claim(folder / "leases", replace(me, number=2, token="later"))
        survey(tmp_path / "out.zarr")

    return ours, overtake


def test_a_write_is_durable_and_whole(
    overtaken: tuple[DurableStore, Callable[[], None]], tmp_path: Path
) -> None:
    """It has its place, and nothing is left beside it."""
    ours, _ = overtaken
    write(ours, "tas/c/0/0", b"one")
    write(ours, "tas/c/0/0", b"two")
    assert (tmp_path / "out.zarr/tas/c/0/0").read_bytes() == b"two"
    assert survey(tmp_path / "out.zarr")[0] == {"tas/c/0/0"}


@pytest.mark.parametrize("moment", ["before", "while it is written", "after the fence"])
def test_no_write_after_the_successor_began(
    overtaken: tuple[DurableStore, Callable[[], None]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    """Whenever it is overtaken: even if it had passed its last look at the fence."""
    ours, overtake = overtaken
    write(ours, "tas/c/0/0", b"one")
    looks = 0
    check = lease.Fence.check

    def look(fence: lease.Fence) -> None:
        nonlocal looks
        looks += 1
        if (moment, looks) == ("while it is written", 2):
            overtake()
        check(fence)
        if (moment, looks) == ("after the fence", 2):
            overtake()

    if moment == "before":
        overtake()
    monkeypatch.setattr(lease.Fence, "check", look)
    before = (tmp_path / "out.zarr/tas/c/0/0").stat()
    with pytest.raises(RunBusy, match="was taken over"):
        write(ours, "tas/c/0/0", b"late")
    after = (tmp_path / "out.zarr/tas/c/0/0").stat()
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)
    assert survey(tmp_path / "out.zarr")[0] == {"tas/c/0/0"}
    assert looks == {"before": 1, "while it is written": 2, "after the fence": 3}[moment]


def test_a_store_in_a_worker_is_fenced_too(
    overtaken: tuple[DurableStore, Callable[[], None]], tmp_path: Path
) -> None:
    """What travels to a Dask worker of a stale attempt looks at the same numbers."""
    ours, overtake = overtaken
    there = pickle.loads(pickle.dumps(ours))
    write(there, "tas/c/0/0", b"one")
    overtake()
    with pytest.raises(RunBusy, match="was taken over"):
        write(there, "tas/c/0/1", b"late")
    assert survey(tmp_path / "out.zarr")[0] == {"tas/c/0/0"}


def test_a_ledger_entry_is_fenced_likewise(folder: Path, me: Holder) -> None:
    """The draft of an entry is removed by the next holder, and the rename then fails."""
    first = lease.take(folder, me, nobody_knows)
    entry = folder / "ledger" / "out" / "token" / "unit-1.json"
    entry.parent.mkdir(parents=True)

    def overtaken() -> None:
        first.fence.check()
        first.release()
        assert lease.take(folder, me, nobody_knows).holder.number == 2

    with pytest.raises(FileNotFoundError):
        files.write_json(entry, {}, last=overtaken)
    assert list(entry.parent.iterdir()) == []
    with pytest.raises(RunBusy):
        files.write_json(entry, {}, last=first.fence.check)
    assert list(entry.parent.iterdir()) == []
