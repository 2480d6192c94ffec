"""The small charts of a report: durations of units, and the memory of the workers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from pangeo_hpc.units import format_memory
from pangeo_hpc.workflow.provenance import record as provenance

# Bars that a page is wide enough for; beyond it each shows the longest of several units.
MOST_BARS = 120


@dataclass(frozen=True, kw_only=True)
class Durations:
    """Seconds of the units of one output; `bars` are (left, width, height) in percent."""

    output: str
    units: int
    longest: float
    middle: float
    bars: tuple[tuple[float, float, float, str], ...]
    attempts: int

    @property
    def words(self) -> str:
        """Return what the chart shows."""
        many = f"{self.units} unit{'s' if self.units != 1 else ''}"
        return f"{many}: median {self.middle:.2g} s, longest {self.longest:.2g} s"


def durations(units: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Durations]:
    """Return a chart for each output whose ledger tells seconds."""
    charts = []
    for output, entries in units.items():
        told = [
            (float(entry["seconds"]), str(entry.get("unit", "")), entry.get("job"))
            for entry in entries
            if isinstance(entry.get("seconds"), int | float) and entry.get("unit") != "coordinates"
        ]
        if not told:
            continue
        jobs = list(dict.fromkeys(job for _, _, job in told))
        size = -(-len(told) // MOST_BARS)
        groups = [told[i : i + size] for i in range(0, len(told), size)]
        longest = max(seconds for seconds, _, _ in told)
        width = 100 / len(groups)
        charts.append(
            Durations(
                output=Path(output).name,
                units=len(told),
                longest=longest,
                middle=median(seconds for seconds, _, _ in told),
                bars=tuple(
                    _bar(
                        group,
                        i,
                        width,
                        longest,
                        jobs.index(max(group, key=lambda each: each[0])[2]),
                    )
                    for i, group in enumerate(groups)
                ),
                attempts=len(jobs),
            )
        )
    return charts


def _bar(
    group: Sequence[tuple[float, str, Any]], index: int, width: float, longest: float, job: int
) -> tuple[float, float, float, str]:
    seconds = max(seconds for seconds, _, _ in group)
    height = 100 * seconds / longest if longest else 0.0
    shade = "odd" if job % 2 else "even"
    return round(index * width, 3), round(width, 3), round(max(height, 0.5), 2), shade


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Memory of all workers over the time of one attempt; `points` are percent for a polyline."""

    attempt: int | None
    points: str
    peak: int
    top: float
    limit: int | None
    seconds: float

    @property
    def words(self) -> str:
        """Return what the chart shows."""
        limit = f" of {format_memory(self.limit)}" if self.limit else ""
        return f"all workers together: at most {format_memory(self.peak)}{limit}"


def memory(attempts: Sequence[Mapping[str, Any]]) -> list[Memory]:
    """Return a chart for each attempt of whose workers the memory was noted more than twice."""
    charts = []
    for attempt in attempts:
        cluster = provenance.read(Path(attempt["output"]).parent, provenance.CLUSTER) or {}
        told = cluster.get("memory") or {}
        samples = told.get("samples") or []
        peak = max((used for _, used, _ in samples), default=0)
        if len(samples) < 3 or not peak:
            continue
        limit = sum((told.get("limits") or {}).values()) or None
        first, last = samples[0][0], samples[-1][0]
        # beside a limit that is far away the curve would be a flat line
        top = limit if limit and peak > 0.4 * limit else 1.1 * peak
        points = " ".join(
            f"{100 * (t - first) / max(last - first, 1e-9):.2f},{100 - 100 * used / top:.2f}"
            for t, used, _ in samples
        )
        charts.append(
            Memory(
                attempt=attempt.get("attempt"),
                points=points,
                peak=peak,
                top=top,
                limit=limit,
                seconds=last - first,
            )
        )
    return charts


def meters(attempts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the memory peak of each attempt and of its largest worker against their limits."""
    found = []
    for attempt in attempts:
        place = Path(attempt["output"]).parent
        limit = attempt["memory"] or (provenance.read(place) or {}).get("memory_limit")
        label = f"attempt {attempt.get('attempt')}"
        if attempt["memory_peak"]:
            found.append(_meter(label, attempt["memory_peak"], limit))
        told = (provenance.read(place, provenance.CLUSTER) or {}).get("memory") or {}
        peaks, limits = told.get("peaks") or {}, told.get("limits") or {}
        if peaks:
            worker = max(peaks, key=lambda name: peaks[name])
            found.append(_meter(f"{label}, its largest worker", peaks[worker], limits.get(worker)))
    return found


def _meter(label: str, peak: int, limit: int | None) -> dict[str, Any]:
    share = min(100.0, 100 * peak / limit) if limit else None
    words = format_memory(peak) + (f" of {format_memory(limit)}" if limit else "")
    return {"label": label, "words": words, "share": share}
