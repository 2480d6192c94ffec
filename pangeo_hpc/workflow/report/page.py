"""One HTML page on a run, which needs nothing but itself."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pangeo_hpc._version import __version__
from pangeo_hpc.errors import UsageError
from pangeo_hpc.units import format_duration, format_memory
from pangeo_hpc.workflow.launch import command_line
from pangeo_hpc.workflow.provenance import environment as provenance_environment
from pangeo_hpc.workflow.provenance import record as provenance
from pangeo_hpc.workflow.report.charts import durations, memory, meters
from pangeo_hpc.workflow.report.facts import units
from pangeo_hpc.workflow.report.picture import pictures
from pangeo_hpc.workflow.report.timeline import timeline
from pangeo_hpc.workflow.report.words import UNKNOWN, number, provenance_rows
from pangeo_hpc.workflow.runs import RunFolder

# What of a log, a script and a diff a page holds.
LOG_LINES, LOG_BYTES, TEXT_BYTES = 25, 8192, 200_000


def page(folder: RunFolder, told: Mapping[str, Any], *, now: datetime | None = None) -> str:
    """Return the page on a run, from what `report_facts.gather` told of it.

    Raise UsageError where Jinja is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ModuleNotFoundError as error:
        hint = "pip install 'pangeo-hpc[workflow]'"
        raise UsageError("a report needs jinja2, which is not installed", hint=hint) from error
    moment = now or datetime.now(UTC)
    environment = Environment(
        loader=PackageLoader("pangeo_hpc.workflow.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"bytes": _bytes, "hours": number, "span": _span, "moment": _moment}
    drawn, not_drawn = pictures(told["outputs"])
    return environment.get_template("report.html").render(
        run=told,
        name=folder.name,
        command=command_line(told),
        headline=headline(told),
        tone=tone(told),
        timeline=timeline(told["attempts"], moment),
        shares=shares(told["core_hours"]),
        meters=meters(told["attempts"]),
        durations=durations(units(folder)),
        memory=memory(told["attempts"]),
        pictures=drawn,
        not_drawn=not_drawn,
        failures=_failures(told),
        provenance=[row for row in provenance_rows(told) if row[0] != "input"],
        inputs=(told["provenance"] or {}).get("inputs") or [],
        texts=_texts(folder, told),
        total=_total(told),
        version=__version__,
        made=moment.isoformat(timespec="seconds"),
    )


def headline(told: Mapping[str, Any]) -> str:
    """Return in one sentence how a run stands."""
    attempts = told["attempts"]
    if not attempts:
        return "Never submitted."
    state = told["why"] or told["state"]
    many = f"{len(attempts)} attempt{'s' if len(attempts) > 1 else ''}"
    words = f"{state[:1].upper()}{state[1:]}, after {many}" if told["why"] else f"Is {state}"
    if not told["why"]:
        words += f", {many}"
    done = told["progress"] or {}
    if done.get("total"):
        words += f"; {done.get('done')} of {done['total']} units are written"
    return f"{words}."


def tone(told: Mapping[str, Any]) -> str:
    """Return how a run's state is coloured: good, bad, stopped or live."""
    if told["state"] == "completed":
        return "good"
    last = told["attempts"][-1] if told["attempts"] else {}
    if told["why"]:
        return "stopped" if last.get("exit_code") == 75 else "bad"
    return "live"


def shares(hours: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """Return busy, idle and lost core-hours as parts of what was requested, in percent."""
    requested = hours["requested"]
    if not requested:
        return []
    left, found = 0.0, []
    for name in ("busy", "idle", "lost"):
        value = hours[name] or 0.0
        share = min(100 * value / requested, 100 - left)
        found.append({"name": name, "hours": value, "share": round(share, 2), "left": left})
        left = round(left + share, 2)
    return found


def _total(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sums over all attempts that people ask for first."""
    attempts = told["attempts"]

    def added(name: str) -> float | None:
        known = [each[name] for each in attempts if each[name] is not None]
        return sum(known) if known else None

    return {
        "elapsed": added("elapsed_seconds"),
        "wait": added("queue_wait_seconds"),
        "memory": max((each["memory_peak"] or 0 for each in attempts), default=0) or None,
        "jobs": [each["job"] for each in attempts if each["job"]],
    }


def _failures(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the attempts that did not end well, and the last lines that they printed."""
    found = []
    for attempt in told["attempts"]:
        if not attempt["why"] or attempt["state"] == "completed":
            continue
        lines = _text(Path(attempt["output"]), LOG_BYTES, from_end=True).splitlines()[-LOG_LINES:]
        found.append({**attempt, "log": "\n".join(lines)})
    return found


def _texts(folder: RunFolder, told: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return title, note and text of what was kept: script, changes, packages."""
    for attempt in reversed(told["attempts"]):
        place = Path(attempt["output"]).parent
        record = provenance.read(place) or provenance.read(place, provenance.SUBMITTED)
        if record and record.get("script"):
            break
    else:
        return []
    script, git = record["script"], record.get("git") or {}
    note = f"as attempt {attempt.get('attempt')} ran it, {script['bytes']} bytes"
    found = [("The script", note, _text(place / script["kept"], TEXT_BYTES))]
    if git.get("diff"):
        note = "what was not committed" + (", cut" if git.get("diff_cut") else "")
        found.append(("Changes since the commit", note, _text(place / git["diff"], TEXT_BYTES)))
    environment = record.get("environment") or {}
    if environment.get("digest"):
        kept = provenance_environment.list_of(folder.path, environment["digest"])
        note = f"{environment.get('packages')} of them, {environment['digest']}"
        found.append(("Packages of the environment", note, _text(kept, TEXT_BYTES)))
    return [(title, note, text) for title, note, text in found if text]


def _text(path: Path, most: int, *, from_end: bool = False) -> str:
    """Return the text of a file, at most so many bytes; nothing if it is not there."""
    try:
        with path.open("rb") as file:
            if from_end:
                file.seek(max(0, path.stat().st_size - most))
            text = file.read(most).decode(errors="replace")
    except OSError:
        return ""
    return "".join(c if c in "\n\t" or c.isprintable() else "·" for c in text.replace("\r\n", "\n"))


def _bytes(value: int | None) -> str:
    return UNKNOWN if value is None else format_memory(int(value))


def _span(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else format_duration(timedelta(seconds=round(seconds)))


def _moment(text: str | None) -> str:
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S") if text else UNKNOWN
