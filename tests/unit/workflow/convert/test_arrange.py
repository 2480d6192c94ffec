"""How files are joined: order, overlaps, gaps, and everything that does not fit."""

from pathlib import Path

import cftime
import numpy as np
import pytest

from pangeo_hpc.errors import Problem
from pangeo_hpc.workflow.convert.arrange import Arrangement, arrange
from pangeo_hpc.workflow.convert.order import Overlaps
from pangeo_hpc.workflow.convert.survey import Described, Piece

DAY = np.timedelta64(1, "D")


def days(first: str, count: int) -> np.ndarray:
    return np.datetime64(first, "ns") + np.arange(count) * DAY


def piece(name: str, values: object, **variables: Described) -> Piece:
    array = None if values is None else np.asarray(values)
    steps = 5 if array is None else len(array)
    shape = Described(("time", "x"), (steps, 3), "float32")
    grid = {"x": "digest of x"}
    own = {
        "tas": shape,
        "x": Described(("x",), (3,), "float64"),
        "time": Described(("time",), (steps,), "str" if array is None else str(array.dtype)),
    }
    return Piece(Path(name), steps, array, own | variables, grid)


def join(*pieces: Piece, overlaps: str = "refuse") -> tuple[Arrangement, list[Problem]]:
    problems: list[Problem] = []
    return arrange(pieces, "time", Overlaps(overlaps), problems), problems


def taken(arrangement: Arrangement) -> list[tuple[str, int, int]]:
    return [(part.piece.path.name, part.start, part.stop) for part in arrangement.parts]


def test_files_are_sorted_by_their_coordinate() -> None:
    """The order in which a shell lists them does not matter."""
    found, problems = join(piece("b", days("2001-01-11", 5)), piece("a", days("2001-01-01", 10)))
    assert not problems
    assert taken(found) == [("a", 0, 10), ("b", 0, 5)]
    assert found.gaps == found.overlaps == ()
    assert found.steps == 15


def test_an_overlap_is_refused_by_name() -> None:
    """Nothing is dropped unless the person says which file counts."""
    _, problems = join(piece("a", days("2001-01-01", 10)), piece("b", days("2001-01-08", 10)))
    (told,) = problems
    assert told.path == "b"
    assert "begins before a ends: time 2001-01-08 to 2001-01-10 is in both" in told.text
    assert told.hint is not None
    assert "--overlaps" in told.hint


@pytest.mark.parametrize(
    ("overlaps", "expected"),
    [("first", [("a", 0, 10), ("b", 3, 10)]), ("last", [("a", 0, 7), ("b", 0, 10)])],
)
def test_the_chosen_file_counts(overlaps: str, expected: list[tuple[str, int, int]]) -> None:
    """Each step is taken once, from the file that was chosen."""
    a, b = piece("a", days("2001-01-01", 10)), piece("b", days("2001-01-08", 10))
    found, problems = join(a, b, overlaps=overlaps)
    assert not problems
    assert taken(found) == expected
    assert found.overlaps[0].steps == 3


def test_a_file_inside_another_and_one_after_it() -> None:
    """The end of the longest file so far counts, not that of the last one."""
    a, b = piece("a", days("2001-01-01", 20)), piece("b", days("2001-01-05", 3))
    c = piece("c", days("2001-01-18", 10))
    found, problems = join(a, b, c, overlaps="first")
    assert not problems
    assert taken(found) == [("a", 0, 20), ("c", 3, 10)]
    assert {(each.earlier.name, each.later.name) for each in found.overlaps} == {
        ("a", "b"),
        ("a", "c"),
    }


@pytest.mark.parametrize("overlaps", ["first", "last"])
def test_steps_that_alternate_are_refused(overlaps: str) -> None:
    """A step that is in one file only is never dropped."""
    a = piece("a", days("2001-01-01", 10))
    b = piece("b", days("2001-01-05", 10) + np.timedelta64(12, "h"))
    _, problems = join(a, b, overlaps=overlaps)
    assert ["alternate" in each.text for each in problems] == [True]


def test_gaps_are_told() -> None:
    """Between files and inside them; how many steps are missing."""
    inside = np.delete(days("2001-01-01", 10), [4, 5])
    found, problems = join(piece("a", inside), piece("b", days("2001-01-12", 5)))
    assert not problems
    assert [(gap.path.name, gap.steps) for gap in found.gaps] == [("a", 2), ("a", 1)]


@pytest.mark.parametrize("calendar", ["noleap", "360_day", "standard"])
def test_months_are_no_gaps(calendar: str) -> None:
    """February is shorter than its neighbours, in every calendar."""
    times = [cftime.datetime(2000, month, 1, calendar=calendar) for month in range(1, 13)]
    more = [cftime.datetime(2001, month, 1, calendar=calendar) for month in range(1, 13)]
    found, problems = join(piece("b", more), piece("a", times))
    assert not problems
    assert found.gaps == ()
    assert taken(found) == [("a", 0, 12), ("b", 0, 12)]


def test_everything_that_differs_is_told_at_once() -> None:
    """One error names the file, the variable, and what is there instead."""
    first = piece("a", days("2001-01-01", 5))
    other = piece(
        "b",
        days("2001-01-06", 5),
        tas=Described(("time", "x"), (5, 4), "float32"),
        extra=Described((), (), "int64"),
        x=Described(("x",), (3,), "<U5"),
    )
    moved = Piece(
        Path("c"), 5, days("2001-01-11", 5), first.variables, {"x": "another digest of x"}
    )
    _, problems = join(first, other, moved)
    told = [f"{each.path}: {each.text}" for each in problems]
    assert "b: has a variable extra, which a does not have" in told
    assert "b: tas has 4 steps of x, in a 3" in told
    assert "b: x is <U5, in a float64" in told
    assert "c: x has other values than in a" in told


def test_calendars_are_not_mixed() -> None:
    """Times of two calendars have no order."""
    noleap = [cftime.datetime(2000, 1, day, calendar="noleap") for day in (1, 2, 3)]
    other = [cftime.datetime(2000, 1, day, calendar="360_day") for day in (4, 5, 6)]
    _, problems = join(piece("a", noleap), piece("b", other))
    assert ["calendar 360_day" in each.text for each in problems] == [True]


def test_times_that_go_back_are_refused() -> None:
    """A step that stands twice in one file is found where it is."""
    times = days("2001-01-01", 5)
    times[3] = times[1]
    _, problems = join(piece("a", times))
    assert "time does not increase: 2001-01-03 is followed by 2001-01-02 (step 3)" in str(
        problems[0]
    )


def test_without_a_coordinate_the_given_order_stays() -> None:
    """It is said, since nobody can check it."""
    found, problems = join(piece("b", None), piece("a", None))
    assert not problems
    assert taken(found) == [("b", 0, 5), ("a", 0, 5)]
    assert "no coordinate" in found.notes[0]
