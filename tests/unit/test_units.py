"""Units end at the border: what is accepted, what is refused, and how it is printed."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pangeo_hpc import units

H = timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("16 GiB", 16 * 2**30),
        ("16G", 16 * 2**30),
        ("100GB", 100 * 10**9),
        ("512 M", 512 * 2**20),
        ("1.5 GiB", 3 * 2**29),
        ("2tib", 2**41),
        ("700 MB", 700 * 10**6),
    ],
)
def test_memory(text: str, amount: int) -> None:
    """G and GiB are 2^30, GB is 10^9."""
    assert units.parse_memory(text) == amount


@pytest.mark.parametrize("value", [16, "16", "", "GiB", "-1 GiB", "1 parsec", None, True, "0 GiB"])
def test_memory_refused(value: object) -> None:
    """A bare number is no amount of memory."""
    with pytest.raises(ValueError, match="memory"):
        units.parse_memory(value)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("04:00:00", 4 * H),
        ("1-12:00:00", 36 * H),
        ("100:00:00", 100 * H),
        ("90 minutes", 1.5 * H),
        ("2 hours 30 min", 2.5 * H),
    ],
)
def test_walltime(text: str, time: timedelta) -> None:
    """Three fields, with days before them, or words."""
    assert units.parse_walltime(text) == time


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1440, "quote it"),
        (90, "quote it"),
        (True, "quote it"),
        ("24:00", "three fields"),
        ("90", "no unit"),
        ("00:61:00", "59"),
        ("00:00:00", "no time"),
        ("soon", "not a duration"),
        ("", "not a duration"),
    ],
)
def test_walltime_refused(value: object, words: str) -> None:
    """What YAML makes of an unquoted 24:00, and two fields even when quoted, are refused."""
    with pytest.raises(ValueError, match=words):
        units.parse_walltime(value)


@given(st.integers(1, 10**7))
def test_walltime_round_trip(seconds: int) -> None:
    """What is printed is read back the same."""
    time = timedelta(seconds=seconds)
    assert units.parse_walltime(units.format_walltime(time)) == time


def test_walltime_rounds_up() -> None:
    """A fraction of a second never shortens a job."""
    assert units.format_walltime(timedelta(seconds=1.2)) == "00:00:02"


@given(st.integers(1, 2**50))
def test_memory_is_legible(amount: int) -> None:
    """What is printed is read back within the rounding of its one decimal."""
    text = units.format_memory(amount)
    assert abs(units.parse_memory(text) - amount) <= max(1, amount * 0.05)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        (0, timedelta(0)),
        ("0", timedelta(0)),
        ("60 days", timedelta(days=60)),
        ("15 s", timedelta(seconds=15)),
        ("1 week", timedelta(days=7)),
    ],
)
def test_duration(text: object, time: timedelta) -> None:
    """Words with units; only 0 may stand alone."""
    assert units.parse_duration(text) == time


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (timedelta(days=2, hours=3, minutes=4), "2 days 3 hours"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(0), "0 seconds"),
        (timedelta(minutes=-5), "-5 minutes"),
    ],
)
def test_duration_for_a_person(time: timedelta, text: str) -> None:
    """Two units are enough."""
    assert units.format_duration(time) == text


def test_share() -> None:
    """A share is a percentage, kept as a fraction."""
    assert units.parse_share("25 %") == 0.25
    for bad in ("25", 25, "101 %", "-1 %"):
        with pytest.raises(ValueError, match="share"):
            units.parse_share(bad)


def test_whole_mib_rounds_down() -> None:
    """Scripts never ask for more than was allowed."""
    assert units.whole_mib(2**30 - 1) == 1023


@pytest.mark.parametrize("text", ["99999999999 days", "9999999999-00:00:00"])
def test_longer_than_anything_lasts(text: str) -> None:
    """A slip of the keyboard is told as such."""
    with pytest.raises(ValueError, match="longer than anything"):
        units.parse_walltime(text)
