from datetime import timedelta

import pytest

from pangeo_hpc.server.clock import Span, due, still_told, wait

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("left", "told", "expected"),
    [
        (16, None, None),
        (15, None, 15),
        (14, 15, None),
        (5, 15, 5),
        (4, 5, None),
        (2, None, 5),
        (0, 5, None),
        (0, None, 5),
    ],
)
def test_each_warning_comes_once(left, told, expected):
    """At 15 and at 5 minutes, and only the tighter one for a job that is short from the start."""
    given = None if told is None else told * MINUTE
    wanted = None if expected is None else expected * MINUTE
    assert due(left * MINUTE, given) == wanted


def test_nothing_is_warned_of_without_an_end():
    """A job whose end nobody knows gets no warning."""
    assert due(None, None) is None
    assert Span().left(0) is None
    assert Span().walltime is None


def test_a_longer_walltime_is_warned_of_again():
    """What was told at five minutes is forgotten once there is more time than that."""
    assert still_told(4 * MINUTE, 5 * MINUTE) == 5 * MINUTE
    assert still_told(30 * MINUTE, 5 * MINUTE) is None
    assert still_told(10 * MINUTE, 15 * MINUTE) == 15 * MINUTE
    assert still_told(None, 5 * MINUTE) is None


def test_no_look_is_later_than_a_warning():
    """Between two looks there is never a warning: the next look comes with it."""
    assert wait(30 * MINUTE, 60) == 60
    assert wait(15 * MINUTE + timedelta(seconds=7), 60) == 7
    assert wait(3 * MINUTE, 60) == 60
    assert wait(None, 60) == 60
    assert wait(5 * MINUTE + timedelta(milliseconds=1), 60) == 0.1


def test_the_time_left_is_never_negative():
    """Slurm ends jobs some seconds late; nothing is left by then."""
    assert Span(begun=0.0, ends=100.0).left(160.0) == timedelta(0)
    assert Span(begun=10.0, ends=100.0).walltime == 90.0
