"""What a cluster has cost, from accounts and states that are written down here."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from pangeo_hpc.dask.accounts import Account
from pangeo_hpc.dask.report import Report, Unit, report_of
from pangeo_hpc.schedulers.base import JobState, JobStatus

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def job(number: int, state: JobState, **more: Any) -> JobStatus:
    return JobStatus(id=str(number), state=state, submitted=NOON, **more)


def report() -> Report:
    ended = job(7, JobState.COMPLETED, started=at(10), ended=at(70), cores=8)
    running = job(8, JobState.RUNNING, started=at(20))
    return report_of(
        "mine",
        [
            Unit(name="a", cores=4, status=ended, account=Account(0.0, busy=14400.0, lost=3600.0)),
            Unit(name="b", cores=4, status=running, account=Account(0.0, busy=3600.0)),
            Unit(name="c", cores=4, status=job(9, JobState.PENDING)),
        ],
        now=at(80),
    )


def test_core_hours() -> None:
    """A job has its cores from its start to its end, or to now; busy, idle and lost fill that."""
    ended, running, waiting = report().rows
    assert (ended.requested, ended.busy, ended.lost, ended.idle) == (8.0, 4.0, 1.0, 3.0)
    assert (running.requested, running.busy, running.idle) == (4.0, 1.0, 3.0)
    assert (waiting.requested, waiting.idle, waiting.wait) == (0.0, 0.0, None)
    assert (ended.wait, running.wait) == (600.0, 1200.0)
    total = report().total
    assert (total.requested, total.busy, total.idle, total.lost) == (12.0, 5.0, 6.0, 1.0)


def test_hardware_threads() -> None:
    """Where the batch system counts two for a core, a busy worker thread is two of them."""
    status = job(7, JobState.RUNNING, started=NOON)
    unit = Unit(name="a", cores=8, status=status, account=Account(0.0, busy=4 * 3600.0))
    (row,) = report_of("mine", [unit], cores_per_thread=2, now=at(60)).rows
    assert (row.requested, row.busy, row.idle) == (8.0, 8.0, 0.0)


def test_programs() -> None:
    """Without a batch system the time is that of the workers, and nobody waits."""
    moment = NOON.timestamp()
    units = [
        Unit(name="a", cores=1, account=Account(moment, moment + 1800, busy=900.0)),
        Unit(name="b", cores=1, account=Account(moment)),
    ]
    found = report_of("mine", units, now=at(60))
    assert [row.requested for row in found.rows] == [0.5, 1.0]
    assert [row.state for row in found.rows] == ["ended", "running"]
    assert found.line() == ("2 worker programs had 1.50 core-hours: 17 % busy, 83 % idle, 0 % lost")


def test_shown() -> None:
    """As a table, in one line, and as JSON."""
    told = report()
    assert repr(told).splitlines() == [
        "job    worker  state      queue wait  core-hours  busy         idle         lost",
        "7      a       completed  10 min      8.00        4.00 (50 %)  3.00 (38 %)  1.00 (12 %)",
        "8      b       running    20 min      4.00        1.00 (25 %)  3.00 (75 %)  0.0000 (0 %)",
        "9      c       pending                0.0000      0.0000       0.0000       0.0000",
        "total                     20 min      12.0        5.00 (42 %)  6.00 (50 %)  1.00 (8 %)",
    ]
    assert told.line() == (
        "3 jobs had 12.0 core-hours: 42 % busy, 50 % idle, 8 % lost; 20 min in the queue"
    )
    assert told._repr_html_().count("<tr>") == 5
    data = json.loads(json.dumps(told.json()))
    assert data["format"] == 1
    assert data["jobs"][0]["core_hours"] == {
        "requested": 8.0,
        "busy": 4.0,
        "idle": 3.0,
        "lost": 1.0,
    }
    assert data["total"]["queue_wait_seconds"] == 1200.0


def test_nothing_yet() -> None:
    """A cluster without workers has cost nothing."""
    assert report_of("mine", []).line() == "0 worker programs had 0.0000 core-hours"
