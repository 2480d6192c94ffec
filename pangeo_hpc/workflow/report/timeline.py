"""The timeline of a report: when attempts and Dask workers waited and ran, as bars to draw."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pangeo_hpc.units import format_duration
from pangeo_hpc.workflow.provenance import record as provenance

# More workers than this are not told apart on a page.
MOST_WORKERS = 24
# Between two attempts of a run may lie days: such a gap is cut out of the axis.
_GAP = 0.08
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One stretch of time: `kind` is waiting, running, or how it ended; places are in percent."""

    kind: str
    words: str
    left: float
    width: float


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One line of the timeline; `indent` for the workers of an attempt."""

    label: str
    bars: tuple[Bar, ...]
    marks: tuple[tuple[float, str], ...] = ()
    indent: bool = False


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Lanes, the ticks of their axis (percent, label), places where time was cut out, and notes."""

    lanes: tuple[Lane, ...]
    ticks: tuple[tuple[float, str], ...]
    cuts: tuple[tuple[float, str], ...]
    note: str = ""


@dataclass(frozen=True)
class _Span:
    kind: str
    words: str
    start: datetime
    stop: datetime


@dataclass(frozen=True)
class _Row:
    label: str
    spans: tuple[_Span, ...]
    marks: tuple[tuple[datetime, str], ...] = ()
    indent: bool = False


def timeline(attempts: Sequence[Mapping[str, Any]], now: datetime | None = None) -> Timeline | None:
    """Return the timeline of a run's attempts, None if nothing of them ever began."""
    moment = now or datetime.now(UTC)
    rows: list[_Row] = []
    notes: list[str] = []
    for attempt in attempts:
        rows += _rows(attempt, moment, notes)
    rows = [row for row in rows if row.spans]
    if not rows:
        return None
    axis = _Axis([span for row in rows for span in row.spans])
    lanes = tuple(
        Lane(
            label=row.label,
            bars=tuple(axis.bar(span) for span in row.spans),
            marks=tuple((axis.place(when), words) for when, words in row.marks),
            indent=row.indent,
        )
        for row in rows
    )
    return Timeline(lanes=lanes, ticks=axis.ticks(), cuts=axis.cuts, note="; ".join(notes))


def _rows(attempt: Mapping[str, Any], now: datetime, notes: list[str]) -> Iterator[_Row]:
    place = Path(attempt["output"]).parent
    record = provenance.read(place) or {}
    submitted, started = _time(attempt["submitted"]), _time(attempt["started"])
    if attempt["node_type"] is None:
        # it ran in a job that was there already
        submitted, started = None, _time(record.get("began")) or started or submitted
    alive = attempt["ended"] is None and not attempt["why"]
    stop = _time(attempt["ended"]) or (now if alive else _time(record.get("updated")) or started)
    spans = []
    if submitted:
        until = started or stop or now
        spans.append(_Span("waiting", f"waited {_took(submitted, until)}", submitted, until))
    if started and stop:
        kind = _kind(attempt, alive)
        spans.append(_Span(kind, f"{attempt['state']}, {_took(started, stop)}", started, stop))
    marks = []
    for name, words in (("began", "the script begins"), ("first_unit", "first unit written")):
        when = _time(record.get(name))
        if when and started and started <= when:
            marks.append((when, words))
    number = attempt.get("attempt") or "?"
    job = f" · job {attempt['job']}" if attempt["job"] else ""
    yield _Row(f"Attempt {number}{job}", tuple(spans), tuple(marks))
    for folder in provenance.starts(place):
        cluster = provenance.read(folder, provenance.CLUSTER)
        if cluster:
            yield from _workers(cluster, attempt, stop or now, notes)


def _workers(
    cluster: Mapping[str, Any], attempt: Mapping[str, Any], stop: datetime, notes: list[str]
) -> Iterator[_Row]:
    units = {unit["name"]: unit for unit in cluster.get("units") or []}
    found = cluster.get("workers") or [{**unit, "unit": unit["name"]} for unit in units.values()]
    if len(found) > MOST_WORKERS:
        left = len(found) - MOST_WORKERS
        notes.append(f"attempt {attempt.get('attempt')}: {left} more workers are not drawn")
    for worker in found[:MOST_WORKERS]:
        spans, job = [], (units.get(worker.get("unit")) or {}).get("job") or {}
        began, ended = _time(worker.get("began")), _time(worker.get("ended")) or stop
        asked, started = _time(job.get("submitted")), _time(job.get("started"))
        if asked and (started or began):
            until = started or began or asked
            spans.append(_Span("waiting", f"waited {_took(asked, until)}", asked, until))
        if began and ended >= began:
            spans.append(_Span("worker", f"at work {_took(began, ended)}", began, ended))
        name = f"worker {worker['name']}"
        if job.get("id"):
            name += f" · job {job['id']}"
        elif worker.get("host"):
            name = f"worker on {worker['host']}"
        yield _Row(name, tuple(spans), (), True)


def _kind(attempt: Mapping[str, Any], alive: bool) -> str:
    if alive:
        return "running"
    if attempt["state"] == "completed":
        return "completed"
    return "stopped" if attempt["exit_code"] == 75 else "failed"


class _Axis:
    """Turns moments into places, with long gaps between stretches cut out."""

    def __init__(self, spans: Sequence[_Span]) -> None:
        self._parts: list[tuple[datetime, datetime]] = []
        for start, stop in sorted((span.start, span.stop) for span in spans):
            if self._parts and start <= self._parts[-1][1]:
                first, last = self._parts[-1]
                self._parts[-1] = first, max(last, stop)
            else:
                self._parts.append((start, stop))
        busy = sum((stop - start for start, stop in self._parts), timedelta())
        self._join(max(busy * 0.5, timedelta(seconds=30)))
        gaps = len(self._parts) - 1
        total = sum((stop - start for start, stop in self._parts), timedelta())
        self._total = max(total.total_seconds(), 1.0)
        self._scale = 100 * (1 - _GAP * gaps) / self._total
        self.cuts = tuple(self._cuts())

    def _join(self, most: timedelta) -> None:
        """Keep gaps that are short beside the rest."""
        joined = [self._parts[0]]
        for start, stop in self._parts[1:]:
            if start - joined[-1][1] <= most or len(self._parts) > 6:
                joined[-1] = joined[-1][0], stop
            else:
                joined.append((start, stop))
        self._parts = joined

    def place(self, when: datetime) -> float:
        """Return where a moment is, in percent."""
        left = 0.0
        for start, stop in self._parts:
            if when <= stop:
                inside = max(0.0, (when - start).total_seconds())
                return round(left + inside * self._scale, 3)
            left += (stop - start).total_seconds() * self._scale + 100 * _GAP
        return round(left - 100 * _GAP, 3)

    def bar(self, span: _Span) -> Bar:
        """Return a stretch as it is drawn; what is too short to be seen gets a hair's width."""
        left, right = self.place(span.start), self.place(span.stop)
        return Bar(kind=span.kind, words=span.words, left=left, width=max(right - left, 0.25))

    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Return places and labels of the axis: the time since the beginning of each stretch."""
        wanted = self._total / 6
        step = next(
            (each for each in _STEPS if each >= wanted), _STEPS[-1] * (int(wanted) // 86400 + 1)
        )
        found = []
        for start, stop in self._parts:
            length = (stop - start).total_seconds()
            for passed in range(0, int(length) + 1, step):
                when = start + timedelta(seconds=passed)
                label = f"{start:%d %b %H:%M}" if passed == 0 else f"+{_short(passed)}"
                found.append((self.place(when), label))
        return tuple(found)

    def _cuts(self) -> Iterator[tuple[float, str]]:
        for (_, before), (after, _) in zip(self._parts, self._parts[1:], strict=False):
            yield self.place(before) + 50 * _GAP, f"{_took(before, after)} in between"


def _short(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    return " ".join(f"{value} {unit}" for value, unit in parts if value)


def _took(start: datetime, stop: datetime) -> str:
    return format_duration(max(stop - start, timedelta(0)))


def _time(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None
