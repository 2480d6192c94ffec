"""What was at work when attempts ended, and pieces that no walltime is enough for."""

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pangeo_hpc.errors import Exit, RunBusy, UnitTooLong
from pangeo_hpc.workflow import lease
from pangeo_hpc.workflow.deadline import Deadline
from pangeo_hpc.workflow.ending import Signals
from pangeo_hpc.workflow.holder import Holder, myself
from pangeo_hpc.workflow.tries import holders, refuse_too_long, stuck
from tests.unit.workflow.conftest import nobody_knows

START = datetime(2026, 1, 1, tzinfo=UTC)
PIECE = "unit-000003 of out.zarr"


def held(*, begun: float = 2, ended: float = 59, piece: str = PIECE) -> Holder:
    """A holder in a job of an hour that computed a piece, from and until so many minutes."""

    def minute(number: float) -> str:
        return (START + timedelta(minutes=number)).isoformat()

    return replace(
        myself(None, 1),
        taken_at=minute(0),
        renewed_at=minute(ended),
        ends=minute(60),
        at_work={piece: minute(begun)},
    )


def test_a_piece_longer_than_a_job_is_told_after_its_second_try() -> None:
    """By its name and how long it was tried."""
    refuse_too_long(PIECE, [held()])
    with pytest.raises(UnitTooLong) as caught:
        refuse_too_long(PIECE, [held(), held(begun=1)])
    assert caught.value.text.startswith(f"{PIECE} takes longer than a job has: 2 attempts computed")
    assert "58 minutes" in caught.value.text
    assert "unit=" in str(caught.value)
    assert caught.value.exit_code == Exit.NO


@pytest.mark.parametrize(
    "other",
    [
        held(ended=20),  # killed long before its walltime
        held(begun=50),  # it had little time left
        held(piece="unit-000004 of out.zarr"),
        replace(held(), ends=None),
        replace(held(), at_work={}),
    ],
)
def test_what_is_no_whole_try(other: Holder) -> None:
    """Kills, late starts and other pieces do not count."""
    refuse_too_long(PIECE, [held(), other, other])


def test_what_is_at_work_is_noted_until_it_is_done(folder: Path, me: Holder) -> None:
    """Those that follow find it in the holder's file; what fails stays."""
    first = lease.take(folder, me, nobody_knows)
    first.begun("one")
    first.begun("two")
    first.done("one")
    with pytest.raises(ValueError, match="no"), first.working("three"):
        raise ValueError("no")
    with first.working("four"):
        pass
    first.release()
    (kept,) = holders(folder / "leases")
    assert set(stuck(kept)) == {"two", "three"}
    assert all(took < timedelta(minutes=1) for took in stuck(kept).values())


def test_an_earlier_holder_is_remembered_by_the_next(folder: Path, me: Holder) -> None:
    """The lease itself refuses a piece that two attempts did not finish."""
    directory = folder / "leases"
    directory.mkdir()
    for number in (1, 2):
        old = replace(held(), number=number, released_at=held().renewed_at)
        (directory / f"{number:04}.json").write_text(old.dump())
    third = lease.take(folder, me, nobody_knows)
    with pytest.raises(UnitTooLong):
        third.begun(PIECE)
    third.begun("another piece")


def test_a_holder_of_an_earlier_version_is_understood(me: Holder) -> None:
    """Files without the newer facts are read, and those with unknown ones too."""
    kept = json.loads(me.dump())
    del kept["ends"], kept["at_work"]
    old = Holder.load(json.dumps({**kept, "mood": "good"}))
    assert (old.ends, old.at_work) == (None, {})


def test_the_heartbeat_tells_of_a_loss(
    folder: Path, me: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that computes for hours does not wait for its next write to stop."""
    monkeypatch.setattr(lease, "HEARTBEAT", 0.01)
    mine = lease.take(folder, me, nobody_knows)
    told = threading.Event()
    errors: list[RunBusy] = []
    mine.start_heartbeat(lambda error: (errors.append(error), told.set()))
    lease.claim(folder / "leases", replace(me, number=2, token="later"))
    assert told.wait(30)
    assert "was taken over" in str(errors[0])
    mine.release()


def test_a_lost_run_ends_the_main_thread(folder: Path) -> None:
    """From any thread, with the error that says who took it."""
    error = RunBusy("run climatology was taken over")
    signals = Signals("climatology", Deadline(None))
    with signals:
        threading.Timer(0.1, signals.lost, args=(error,)).start()
        with pytest.raises(RunBusy, match="taken over"):
            threading.Event().wait(30)
    # nobody listens any more: nothing is sent
    signals.lost(error)
