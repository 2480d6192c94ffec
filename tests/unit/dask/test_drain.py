"""When workers leave, which tasks never fit, and what is kept."""

import asyncio
import pickle
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pangeo_hpc.dask.drain import Life, margins, never_fits, stagger
from pangeo_hpc.dask.drain_worker import seconds_left
from pangeo_hpc.dask.handover import Handover, Leave
from pangeo_hpc.dask.keeper import portions, worth_keeping
from pangeo_hpc.dask.misfit import too_long
from pangeo_hpc.dask.succession import Succession

HOUR = 3600.0


def life(walltime: float, *, number: int = 0, late: float = 0.0) -> Life:
    """Return a life whose worker came `late` seconds after its job's start, at 0 of the clock."""
    return Life(late, walltime, number, margins(walltime))


@pytest.mark.parametrize(
    ("walltime", "drain", "reserve"),
    [(60, 18, 9), (600, 30, 15), (HOUR, 180, 90), (12 * HOUR, 900, 450), (72 * HOUR, 900, 450)],
)
def test_margins(walltime: float, drain: float, reserve: float) -> None:
    """They are small for a minute and generous for half a day."""
    found = margins(walltime)
    assert (found.drain, found.reserve) == (drain, reserve)
    assert 0 < found.last < found.reserve < found.drain
    assert found.drain + found.spread < walltime / 2


def test_a_walltime_shorter_than_any_that_is_sensible() -> None:
    """There is still an order, and time for tasks."""
    found = life(15.0)
    assert 0 < found.drains() < found.cut < found.last < found.ends


def test_units_are_spread() -> None:
    """However many there are, no two drain together, and the gaps are like each other."""
    moments = sorted(stagger(number, 100.0) for number in range(50))
    gaps = [b - a for a, b in pairwise(moments)]
    assert min(gaps) > 0.5
    assert max(gaps) < 5
    assert moments[0] == 0.0
    assert moments[-1] < 100


def test_it_counts_from_the_end_of_the_job() -> None:
    """A worker that came late has the same end."""
    assert life(HOUR, late=600).drains() == life(HOUR).drains() == HOUR - 180


def test_no_task_is_begun_that_cannot_end() -> None:
    """With tasks of ten minutes to do, a worker takes none in its last ten minutes."""
    one = life(HOUR)
    assert one.drains(longest=600) == HOUR - 90 - 660
    assert one.drains(longest=10) == one.drains()


def test_long_tasks_leave_half_a_life() -> None:
    """Tasks longer than a life do not keep workers from all work."""
    one = life(HOUR, late=60)
    assert one.drains(longest=5 * HOUR) == one.cut - one.useful / 2


def test_never_fits() -> None:
    """The second try decides if it was a fair one; there is an end in any case."""
    assert not never_fits([40.0], 40.0)
    assert never_fits([40.0, 40.0], 40.0)
    assert never_fits([5.0, 38.0], 40.0)
    assert not never_fits([5.0, 6.0], 40.0)
    assert never_fits([5.0, 6.0, 5.0, 4.0], 40.0)


def test_room_for_another_try() -> None:
    """It is twice the time, or nearly a whole life."""
    one = life(HOUR)
    assert one.is_room(60.0, now=0.0)
    assert one.is_room(60.0, now=one.cut - 120)
    assert not one.is_room(60.0, now=one.cut - 119)
    assert one.is_room(HOUR, now=10.0)
    assert not one.is_room(HOUR, now=HOUR / 2)


def test_what_is_said_of_a_task() -> None:
    """By name and duration, with what helps; the error comes whole through pickle."""
    error = too_long("('mean-agg', 0)", [41.2, 43.9], 44.0, 60.0)
    text = str(pickle.loads(pickle.dumps(error)))
    assert "('mean-agg', 0)" in text
    assert "41 s and 44 s" in text
    assert "walltime of 00:01:00" in text
    assert "hint: give the workers a longer walltime, or cut the data into smaller chunks" in text


@pytest.mark.parametrize(
    "facts",
    [{}, {"SLURM_JOB_ID": "7"}, {"PBS_JOBID": "7.server", "PBS_ENVIRONMENT": "PBS_BATCH"}],
    ids=["unknown", "slurm", "pbs"],
)
def test_seconds_left(facts: dict[str, str]) -> None:
    """The job script's word is enough, whatever the batch system."""
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    ends = int((now + timedelta(minutes=5)).timestamp())
    assert seconds_left({**facts, "PANGEO_HPC_ENDS": str(ends)}, now) == 300
    assert seconds_left(facts, now) is None


def result(name: str, size: int, seconds: float, *, scattered: bool = False) -> Any:
    """Return what the scheduler knows of a result."""
    return SimpleNamespace(
        key=name,
        run_spec=None if scattered else "work",
        prefix=SimpleNamespace(duration_average=seconds),
        get_nbytes=lambda: size,
    )


def test_what_is_worth_keeping() -> None:
    """First what cannot be computed again, then what took longest for its size, in what fits."""
    results = [
        result("cheap", 50, 1),
        result("dear", 50, 100),
        result("data", 30, -1, scattered=True),
        result("huge", 500, 5000),
    ]
    assert [ts.key for ts in worth_keeping(results, 100)] == ["data", "dear"]
    assert [ts.key for ts in worth_keeping(results, 10_000)] == ["data", "huge", "dear", "cheap"]


def test_portions() -> None:
    """Nothing is left out, and what is large goes alone."""
    results = [result("huge", 1 << 30, 1), *(result(f"n{n}", 1 << 20, 1) for n in range(40))]
    parts = [[ts.key for ts in part] for part in portions(results)]
    assert [len(part) for part in parts] == [1, 32, 8]
    assert [key for part in parts for key in part] == [ts.key for ts in results]


def test_lost_results_are_told_once() -> None:
    """One line for a job that ends, however many workers it has and whatever they still make."""
    said: list[str] = []
    keeper: Any = SimpleNamespace(room=0)
    handover, leave = Handover(keeper, said.append), Leave("w-0", 0.0, 10.0, 20.0)
    scheduler: Any = SimpleNamespace(running=set(), workers={})
    handover.scheduler = scheduler
    handover.leaving["tls://a:1"] = leave
    worker: Any = SimpleNamespace(address="tls://a:1", has_what=[])
    for name in ("x", "y"):
        made = result(name, 1000, 1.0)
        made.actor, made.who_has = False, [worker]
        worker.has_what.append(made)
        asyncio.run(handover.keep_if_alone(worker, leave))
    assert len(said) == 1
    assert said[0].startswith("1 results of w-0 are computed again: its job ends")


class Unit:
    """A worker job that notes its end."""

    ended = False

    def gone(self) -> None:
        """Note it."""
        self.ended = True


def cluster(limit: int | None) -> Any:
    """Return two units of a cluster, as far as a succession looks at it."""
    from distributed.core import Status

    return SimpleNamespace(
        desk=SimpleNamespace(limit=limit),
        workers={"w-0": Unit(), "w-1": Unit()},
        worker_spec={"w-0": {}, "w-1": {}},
        retiring=set(),
        status=Status.running,
        unit_of=lambda name: name.rpartition("-")[0],
    )


def test_succession() -> None:
    """A unit that leaves counts no longer, and is not ended from outside."""
    ours = cluster(None)
    succession = Succession(cast("Any", ours))
    assert succession.unit_of("w-0-3") == ("w-0", 0)
    assert succession.unit_of("w-12-0") == ("w-12", 12)
    leaving = ours.workers["w-0"]
    succession.begin("w-0")
    assert (list(ours.worker_spec), ours.retiring, leaving.ended) == (["w-1"], {"w-0"}, False)
    succession.end("w-0")
    assert (list(ours.workers), ours.retiring, leaving.ended) == (["w-1"], set(), True)
    succession.end("w-1")  # cancelled by somebody: the cluster hears of it from the queue
    assert list(ours.workers) == ["w-1"]


def test_succession_without_a_place() -> None:
    """Where all jobs are in use that a site allows, the successor has to wait."""
    ours = cluster(2)
    Succession(cast("Any", ours)).begin("w-0")
    assert list(ours.worker_spec) == ["w-0", "w-1"]
    assert ours.retiring == set()
