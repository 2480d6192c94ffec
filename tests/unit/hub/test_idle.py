import json
from datetime import timedelta

import pytest

from pangeo_hpc.hub.idle import (
    GivenBack,
    Report,
    note,
    read,
    read_report,
    time_to_stop,
    total,
)

HOUR = timedelta(hours=1)


def entry(**changes):
    values = {
        "time": 1000.0,
        "user": "alice",
        "server": "",
        "job": "7",
        "node_type": "compute",
        "cores": 4,
        "idle_seconds": 7200.0,
        "seconds_left": 1800.0,
    }
    return GivenBack(**{**values, **changes})


def test_a_server_is_stopped_for_idleness_alone():
    """Its time runs while nothing works; work and a site without a limit keep it."""
    assert time_to_stop(Report(HOUR, ()), 2 * HOUR) == HOUR
    assert time_to_stop(Report(3 * HOUR, ()), 2 * HOUR) == -HOUR
    assert time_to_stop(Report(3 * HOUR, ("a kernel is busy",)), 2 * HOUR) is None
    assert time_to_stop(Report(3 * HOUR, ()), None) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"idle": 1}',
        b'{"idle": "1", "work": []}',
        b'{"idle": true, "work": []}',
        b'{"idle": -1, "work": []}',
        b'{"idle": NaN, "work": []}',
        b'{"idle": 1e300, "work": []}',
        b'{"idle": Infinity, "work": []}',
        b'{"idle": ' + b"9" * 400 + b', "work": []}',
        b"[" * 9000,
        b'{"idle": 1, "work": "busy"}',
        b'{"idle": 1, "work": [1]}',
        b'{"idle": 1, "work": [], "user": "bob"}',
        b'{"idle": 1, "work": ["' + b"x" * 20_000 + b'"]}',
    ],
)
def test_anything_but_a_report_is_refused(body):
    """A server's user may send what they like; only a number and sentences are taken."""
    assert read_report(body) is None


def test_a_report_is_read():
    """Whole and broken seconds, and what works, cut to what anybody reads."""
    assert read_report(b'{"idle": 1.5, "work": []}') == Report(timedelta(seconds=1.5), ())
    told = read_report(json.dumps({"idle": 0, "work": ["w" * 500] * 19}).encode())
    assert told is not None
    assert [len(each) for each in told.work] == [300] * 19


def test_what_a_stop_gives_back():
    """Cores times the walltime that was left."""
    assert entry().core_hours == 2.0
    assert total([entry(), entry(cores=8)]) == 6.0
    assert total([]) == 0


def test_the_journal_keeps_what_was_given_back(tmp_path):
    """What is noted is read again, from a moment on, and is for the hub's account only."""
    path = tmp_path / "journal"
    assert read(path) == ()
    note(path, entry())
    note(path, entry(time=2000.0, server="second"))
    assert read(path) == (entry(), entry(time=2000.0, server="second"))
    assert [each.server for each in read(path, since=1500.0)] == ["second"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text().splitlines()[0])["core_hours"] == 2.0


def test_a_broken_line_hides_no_other(tmp_path):
    """A full disk leaves half a line; what came before and after it is still told."""
    path = tmp_path / "journal"
    note(path, entry())
    with path.open("a") as file:
        file.write('{"time": 3\n[1, 2]\n')
    note(path, entry(job="8"))
    assert [each.job for each in read(path)] == ["7", "8"]


def test_an_entry_after_one_that_was_cut(tmp_path):
    """What a full disk left of a line takes no other with it."""
    path = tmp_path / "journal"
    note(path, entry())
    path.write_bytes(path.read_bytes()[:-20])
    note(path, entry(time=2000.0))
    assert read(path) == (entry(time=2000.0),)
