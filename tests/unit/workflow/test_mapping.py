"""Items computed once, results kept by type, failures listed: in threads, with a real ledger."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from pangeo_hpc.errors import MapFailed, RunBusy, StoppedInTime, UsageError
from pangeo_hpc.workflow import lease
from pangeo_hpc.workflow.attempt import Attempt, summarize
from pangeo_hpc.workflow.deadline import Deadline
from pangeo_hpc.workflow.mapping import maps as mapping
from pangeo_hpc.workflow.mapping.items import Item
from pangeo_hpc.workflow.mapping.kept import Kept
from pangeo_hpc.workflow.mapping.ledger import failures
from pangeo_hpc.workflow.mapping.pool import Ended, Outcome
from tests.unit.workflow.conftest import Begin

CALLS: Counter[Any] = Counter()


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


def square(number: int) -> int:
    CALLS[number] += 1
    return number * number


def run_map(
    attempt: Attempt, function: Callable[[Any], Any], items: Iterable[Any], **choices: Any
) -> mapping.Results:
    return mapping.start(attempt, function, items, mapping.Choices(**choices), None)


def said(attempt: Attempt) -> str:
    return attempt.progress._stream.getvalue()  # type: ignore[attr-defined]


def test_each_item_once(attempt: Begin) -> None:
    """A later attempt gives what was kept and calls nothing; duplicates are computed once."""
    items = [3, 1, 2, 3, 1]
    for calls in (1, 1):
        with attempt() as now:
            assert list(run_map(now, square, items)) == [9, 1, 4, 9, 1]
            assert {1: calls, 2: calls, 3: calls} == CALLS
            (written,) = now.outputs
            assert written.complete
    assert (written.written, written.skipped, written.units) == (0, 3, 3)
    assert "square: 3 of 3 items are there from an earlier attempt" in said(now)


def test_nothing_is_computed_before_it_is_asked_for(attempt: Begin) -> None:
    """`run.map` alone returns at once; no items are no results."""
    with attempt() as now:
        run_map(now, square, [1])
        assert not CALLS
        assert list(run_map(now, square, [])) == []


def test_results_in_the_order_of_items_or_as_they_are_done(
    attempt: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first item waits until another one was done."""
    monkeypatch.setattr("pangeo_hpc.machine._cores", lambda: 2)
    other = threading.Event()

    def wait(name: str) -> str:
        if name == "first":
            assert other.wait(20)
        else:
            other.set()
        return name

    with attempt() as now:
        assert list(run_map(now, wait, ["first", "second"])) == ["first", "second"]
    other.clear()
    with attempt() as now:
        results = run_map(now, wait, ["first", "second"], ordered=False, name="other")
        assert list(results) == ["second", "first"]


def test_a_break_keeps_what_is_done(attempt: Begin) -> None:
    """Leaving the loop ends the computing; what was done is not done again."""
    with attempt() as now:
        for value in run_map(now, square, range(200)):
            if value == 4:
                break
    with attempt() as now:
        kept = len(list((now.folder / "maps/square/items").iterdir()))
        assert 3 <= kept < 200
        assert list(run_map(now, square, range(200))) == [n * n for n in range(200)]
        # no more than those that had been begun are computed again
        assert CALLS.total() <= 200 + 64
        assert sorted(CALLS) == list(range(200))


def test_failures_are_tried_again_and_listed(attempt: Begin) -> None:
    """The others are done; the error holds a table and tracebacks; a rerun tries them again."""

    def fragile(number: int) -> int:
        CALLS[number] += 1
        if number % 2 and CALLS[number] < 4:
            raise ValueError(f"no good: {number}")
        return number

    with attempt() as now:
        results = run_map(now, fragile, range(4), retries=2)
        found = []
        with pytest.raises(MapFailed) as told:
            found.extend(results)
        assert found == [0, 2]
        assert CALLS == {0: 1, 1: 3, 2: 1, 3: 3}
        assert told.value.exit_code == 1
        text = str(told.value)
        assert "2 of 4 items of fragile failed after 3 tries each, the others are done" in text
        assert "  1  ValueError: no good: 1\n" in text
        assert 'raise ValueError(f"no good: {number}")' in text
        assert "in compute" not in text
        assert sorted(f.item for f in told.value.failures) == ["1", "3"]
        kept = failures(now.folder)["fragile"]
        assert {each["item"]: each["tries"] for each in kept} == {"1": 3, "3": 3}
        assert "Traceback" in kept[0]["traceback"]
        summarize(now, time.monotonic())
        (output,) = json.loads((now.folder / "outputs.json").read_text())["outputs"]
        assert not output["complete"]
        assert sorted(each["error"] for each in output["failed"]) == [
            "ValueError: no good: 1",
            "ValueError: no good: 3",
        ]
    with attempt() as now:
        assert list(run_map(now, fragile, range(4))) == [0, 1, 2, 3]
        assert failures(now.folder) == {}
    assert CALLS == {0: 1, 1: 4, 2: 1, 3: 4}


def test_failures_may_be_left_out(attempt: Begin) -> None:
    """`on_error="skip"` goes on without them, and says so; sys.exit in a function is one too."""

    def leave(number: int) -> int:
        if number == 1:
            raise SystemExit(3)
        return number

    with attempt() as now:
        results = run_map(now, leave, range(3), retries=0, on_error="skip")
        assert list(results) == [0, 2]
        assert [f.error for f in results.failures] == ["SystemExit: 3"]
        assert "leave: 1 items failed and are left out" in said(now)


def test_it_stops_before_the_walltime(attempt: Begin) -> None:
    """What is done is kept, nothing new is begun, and the error is the one that means 75."""
    deadline = Deadline(None)

    def slow(number: int) -> int:
        CALLS[number] += 1
        if number == 5:
            deadline.ends = datetime.now(UTC) + timedelta(seconds=15)
        return number

    with attempt(deadline=deadline) as now:
        with pytest.raises(StoppedInTime, match=r"of 500 items of slow are done, 14 seconds|15 s"):
            list(run_map(now, slow, range(500)))
        assert 5 < CALLS.total() < 500
    deadline.ends = None
    with attempt() as now:
        assert list(run_map(now, slow, range(500))) == list(range(500))
    # what had been begun was awaited, so that nothing is done twice
    assert dict.fromkeys(range(500), 1) == CALLS


def test_sigusr1_stops_it_too(attempt: Begin) -> None:
    """The scheduler's warning counts as the end of the walltime."""
    with attempt() as now:

        def warned(number: int) -> int:
            now.signals.asked = "asked to stop by SIGUSR1"
            return number

        # the function takes the attempt from outside itself, which has no digest
        with pytest.raises(StoppedInTime, match="asked to stop by SIGUSR1"):
            list(run_map(now, warned, range(300)))


def test_a_stale_attempt_writes_nothing(attempt: Begin) -> None:
    """Once somebody took the run over, no entry and no result is written."""
    with attempt() as now:
        folder = now.folder / "maps/overtaken"

        def overtaken(number: int) -> np.ndarray[Any, Any]:
            if number == 0:
                later = lease.claim(
                    now.folder / "leases",
                    lease.replace(now.lease.holder, number=now.lease.holder.number + 1),
                )
                assert later
            return np.arange(number + 3)

        with pytest.raises(RunBusy, match="was taken over"):
            list(run_map(now, overtaken, [0]))
        assert list((folder / "items").iterdir()) == []
        assert list((folder / "results").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"code": "code 2"}, "the script has changed"),
        ({"inputs": {"tas.nc": "other"}}, "input tas.nc has changed"),
    ],
)
def test_another_script_or_input_computes_again(
    attempt: Begin, change: dict[str, Any], why: str
) -> None:
    """It says why; `key` stands for the script."""
    for key in (None, "version 3"):
        CALLS.clear()
        with attempt(inputs={"tas.nc": "1"}) as now:
            list(run_map(now, square, [1, 2], key=key, name=f"k-{key is None}"))
        with attempt(**{"inputs": {"tas.nc": "1"}, **change}) as now:
            assert list(run_map(now, square, [1, 2], key=key, name=f"k-{key is None}")) == [1, 4]
            again = key is None or "inputs" in change
            assert ("2 items are computed again: " + why in said(now)) is again
        assert dict.fromkeys((1, 2), 2 if again else 1) == CALLS


def test_keep_takes_what_an_earlier_script_made(attempt: Begin) -> None:
    """And says so; items that are not there are computed by the new one."""
    with attempt() as now:
        list(run_map(now, square, [1, 2]))
    CALLS.clear()
    with attempt(code="code 2", keep=True) as now:
        assert list(run_map(now, square, [1, 2, 3])) == [1, 4, 9]
        assert "2 results of an earlier script, environment or input are kept" in said(now)
    assert CALLS == {3: 1}


def test_force_starts_over_once(attempt: Begin) -> None:
    """Requeued under the same mark it goes on with what that start over has done."""
    for forced, calls in ((None, 1), ("attempt 2", 2), ("attempt 2", 2), (None, 2)):
        with attempt(forced=forced) as now:
            assert list(run_map(now, square, [7])) == [49]
        assert CALLS[7] == calls


def test_what_a_function_takes_from_outside_counts(attempt: Begin) -> None:
    """A lambda in a loop over years would else give the first year's results for all."""
    with attempt() as now:
        for year in (1990, 1991):
            results = run_map(now, lambda m, year=year: m + str(year), ["r1"], name=f"y{year}")
            assert list(results) == [f"r1{year}"]

    def of(year: int) -> Callable[[str], str]:
        return lambda member: f"{member} {year}"

    for year in (1990, 1991, 1991):
        with attempt() as now:
            assert list(run_map(now, of(year), ["r1"], name="members")) == [f"r1 {year}"]
    assert "members: 1 of 1 items are there" in said(now)
    with attempt() as now:
        list(run_map(now, of(1991), ["r1"], name="members"))
        with pytest.raises(UsageError, match="variable year has another value"):
            run_map(now, of(1992), ["r1"], name="members")


def test_two_maps_of_one_function_share_its_name(attempt: Begin) -> None:
    """Maps within one another, with items of their own, do not get into each other's way."""
    with attempt() as now:
        pairs = [(a, b) for a in run_map(now, square, [1, 2]) for b in run_map(now, square, [3, 4])]
        assert pairs == [(1, 9), (1, 16), (4, 9), (4, 16)]
        assert CALLS == {1: 1, 2: 1, 3: 1, 4: 1}
        assert sorted(path.name for path in (now.folder / "maps").iterdir()) == ["square"]


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"retries": -1}, "retries=-1"),
        ({"on_error": "ignore"}, "on_error='ignore' is unknown"),
        ({"key": 3}, "key=3 is no text"),
        ({"name": "a/b"}, "cannot be the name of a map"),
    ],
)
def test_wrong_use_is_told_at_once(attempt: Begin, choices: dict[str, Any], words: str) -> None:
    """Before anything is computed."""
    with attempt() as now, pytest.raises(UsageError, match=words):
        run_map(now, square, [1], **choices)


def test_two_lambdas_need_names(attempt: Begin) -> None:
    """One is called so; what a second one computes would be taken for the first one's results."""
    with attempt() as now:
        assert list(run_map(now, lambda item: item, [1])) == [1]
        with pytest.raises(UsageError, match="something else under the name lambda before"):
            run_map(now, lambda item: item + 1, [1])
        assert list(run_map(now, lambda item: item + 1, [1], name="next")) == [2]
        assert sorted(path.name for path in (now.folder / "maps").iterdir()) == ["lambda", "next"]


def test_lost_results_are_computed_again(attempt: Begin) -> None:
    """A purge of scratch may take a file; it is said, and only that item is done again."""

    def table(number: int) -> Any:
        CALLS[number] += 1
        return np.full(3, number)

    with attempt() as now:
        list(run_map(now, table, [1, 2]))
        path = next((now.folder / "maps/table/results").glob("1-*"))
        path.unlink()
        stray = path.with_name(path.name.replace("-1-", "-0-"))
        stray.write_text("left by an attempt that was killed")
    with attempt() as now:
        assert [int(each[0]) for each in run_map(now, table, [1, 2])] == [1, 2]
        assert "table: 1 results are no longer there" in said(now)
        assert not stray.exists()
    assert CALLS == {1: 2, 2: 1}


def test_slow_loops_do_not_keep_workers_idle(
    attempt: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the script does something with a result, the others are computed and noted."""
    monkeypatch.setattr("pangeo_hpc.machine._cores", lambda: 1)
    with attempt() as now:
        items = now.folder / "maps/square/items"

        def wait() -> Iterator[int]:
            for value in run_map(now, square, range(50)):
                end = time.monotonic() + 90
                while len(list(items.glob("*.json"))) < 50:
                    assert time.monotonic() < end
                    threading.Event().wait(0.01)
                yield value

        assert sum(wait()) == sum(n * n for n in range(50))


class Dying:
    """Two places; the worker dies whenever the item 'bad' is on it, with all that is beside it."""

    width = 2

    def __init__(self) -> None:
        self.tries: list[list[str]] = []

    def start(self, items: Sequence[Item], tell: Callable[[Ended], None]) -> None:
        names = [item.value for item in items]
        self.tries.append(names)
        for item in items:
            if "bad" in names:
                tell(Ended(item, Outcome(None, 0.0, "its worker died", "", died=True)))
            else:
                tell(Ended(item, Outcome(Kept("json", text=f'"{item.value}"'), 2.0)))

    def outcomes(self, ended: Sequence[Ended]) -> list[Ended]:
        return list(ended)

    def close(self) -> None:
        pass


def test_items_whose_worker_died_are_tried_alone(
    attempt: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that one which needs too much memory does not take those beside it along."""
    pool = Dying()
    monkeypatch.setattr(mapping._Map, "_pool", lambda *_: pool)
    with attempt() as now:
        results = run_map(now, str, ["bad", "beside", "c", "d"], on_error="skip")
        assert list(results) == ["beside", "c", "d"]
        assert [(each.item, each.tries) for each in results.failures] == [("bad", 2)]
    assert pool.tries == [["bad", "beside"], ["c", "d"], ["bad"], ["beside"]]


def test_items_that_are_too_long_for_the_walltime_are_given_up(
    attempt: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the last seconds nobody waits for what is still computed."""
    deadline = Deadline(None)

    class Endless(Dying):
        def start(self, items: Sequence[Item], tell: Callable[[Ended], None]) -> None:
            deadline.ends = datetime.now(UTC) + timedelta(seconds=5)

    monkeypatch.setattr(mapping._Map, "_pool", lambda *_: Endless())
    with attempt(deadline=deadline) as now, pytest.raises(StoppedInTime, match="0 of 2 items"):
        list(run_map(now, str, ["a", "b"]))
