"""What adaptive scaling decides, from looks that are written down here."""

import math

import pytest

from pangeo_hpc.dask.demand import Bounds, Look, Step, bounds_of, decide
from pangeo_hpc.errors import UsageError

ANY = Bounds(0)
PAIR = (2, 1)
"""Two workers of one thread in each unit."""


def look(workers: int = 0, tasks: int = 0, seconds: float = 0.0, **units: tuple[str, ...]) -> Look:
    return Look(workers=workers, tasks=tasks, seconds=seconds, **units)


def step(
    seen: Look,
    bounds: Bounds = ANY,
    unit: tuple[int, int] = PAIR,
    *,
    now: float = 100.0,
    wait: float | None = None,
    spare: dict[str, float] | None = None,
) -> Step:
    return decide(seen, bounds, unit, now=now, hold=30.0, wait=wait, spare=spare)


def test_whole_units() -> None:
    """What the scheduler would like is rounded up to whole units, and is one submission."""
    assert step(look(workers=3, tasks=3)) == Step(start=2)
    assert step(look(workers=7, tasks=9, busy=("a",))) == Step(start=3)


def test_threads_count_before_there_is_a_worker() -> None:
    """A scheduler without workers cannot know their size and counts threads; we know it."""
    assert step(look(workers=16, tasks=16), unit=(2, 4)) == Step(start=2)
    assert step(look(workers=16, tasks=16), unit=(1, 1)) == Step(start=16)


def test_what_waits_counts() -> None:
    """A unit in the queue is not asked for again."""
    assert step(look(workers=1, tasks=8, waiting=("a",))) == Step()
    assert step(look(workers=4, tasks=8, waiting=("a",), busy=("b",))) == Step()


def test_bounds() -> None:
    """Never fewer than the least, never more than the most."""
    assert step(look(), Bounds(2)) == Step(start=2)
    assert step(look(workers=100, tasks=100), Bounds(0, 4)) == Step(start=4)
    assert step(look(idle=("a", "b")), Bounds(2), spare={"a": 0.0}) == Step()


def test_waiting_units_stay_while_there_is_work_for_them() -> None:
    """The scheduler would be content with one worker, but four tasks fill two units."""
    seen = look(workers=1, tasks=4, busy=("a",), waiting=("b",))
    assert step(seen, spare={"b": 0.0}) == Step()


def test_spare_units_are_held() -> None:
    """A unit goes once it was spare all the time without a break: the newest in queue first."""
    seen = look(waiting=("c", "d"), idle=("a",))
    first = step(seen)
    assert first == Step(spare={"d": 100.0, "c": 100.0, "a": 100.0})
    assert step(seen, now=129.0, spare=dict(first.spare)).end == ()
    assert step(seen, now=130.0, spare=dict(first.spare)).end == ("d", "c", "a")
    busy = step(look(workers=2, tasks=2, waiting=("c", "d"), busy=("a",)), spare=dict(first.spare))
    assert set(busy.spare) == {"c", "d"}
    assert step(seen, now=130.0, spare=dict(busy.spare)).end == ("d", "c")


def test_busy_units_never_go() -> None:
    """Whatever the bounds say by now."""
    seen = look(tasks=2, busy=("a", "b"), idle=("c",))
    assert step(seen, Bounds(0, 1), spare={"c": 0.0}).end == ("c",)


def test_nothing_is_asked_that_would_come_too_late() -> None:
    """Ten minutes of queue for a minute of work with what is there: no."""
    seen = look(workers=12, tasks=12, seconds=60.0, busy=("a",))
    assert step(seen, wait=600.0) == Step()
    assert step(seen, wait=20.0) == Step(start=5)
    assert step(look(workers=12, tasks=12, seconds=60.0), wait=600.0) == Step(start=6)
    assert step(seen, Bounds(2), wait=600.0) == Step(start=1)


@pytest.mark.parametrize(
    ("given", "per_unit", "expected"),
    [
        ((0, 64, None, None), 4, Bounds(0, 16)),
        ((1, 10, None, None), 4, Bounds(1, 2)),
        ((0, 1, None, None), 4, Bounds(0, 1)),
        ((3, 3, None, None), 4, Bounds(1, 1)),
        ((0, None, 1, 3), 4, Bounds(1, 3)),
        ((0, math.inf, None, None), 4, Bounds(0)),
        ((None, None, None, None), 1, Bounds(0)),
        ((0, 0, None, None), 4, Bounds(0, 0)),
    ],
)
def test_bounds_of(
    given: tuple[float | None, float | None, int | None, int | None],
    per_unit: int,
    expected: Bounds,
) -> None:
    """Workers become whole jobs: the least rounded up, the most down."""
    assert bounds_of(*given, per_unit) == expected


@pytest.mark.parametrize("given", [(-1, 4), (4, 2), (math.inf, math.inf)])
def test_wrong_bounds(given: tuple[float, float]) -> None:
    """A range that is none is refused."""
    with pytest.raises(UsageError, match="no range of workers"):
        bounds_of(*given, None, None, 1)
