"""What is known of a run, in words for people."""

from collections.abc import Mapping
from typing import Any

from pangeo_hpc.units import format_memory
from pangeo_hpc.workflow.provenance import repository

UNKNOWN = "\N{EN DASH}"


def cost_line(hours: Mapping[str, float | None]) -> str:
    """Return core-hours in one line."""
    requested = hours["requested"]
    parts = {name: hours[name] for name in ("busy", "idle", "lost")}
    if requested is None:
        return f"not counted outside a job; {number(hours['busy'])} busy"
    shares = [
        f"{100 * value / requested:.0f} % {name}"
        for name, value in parts.items()
        if value is not None and requested > 0
    ]
    return f"{number(requested)} requested" + (f": {', '.join(shares)}" if shares else "")


def number(hours: float | None) -> str:
    """Return core-hours with the digits that matter."""
    if hours is None:
        return UNKNOWN
    return f"{hours:.1f}" if hours >= 10 else f"{hours:.2f}" if hours >= 0.1 else f"{hours:.4f}"


def provenance_rows(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return name and value of what made the outputs; empty where nothing was recorded."""
    record = told.get("provenance")
    if not record:
        return []
    script, environment = record.get("script") or {}, record.get("environment") or {}
    rows = [
        ("script", script.get("path")),
        ("sha256", script.get("sha256")),
        ("arguments", " ".join(record.get("arguments") or []) or None),
        ("directory", record.get("directory")),
        ("git", repository.in_words(record["git"]) if "git" in record else None),
        ("environment", environment.get("prefix")),
        ("digest", environment.get("digest")),
        ("packages", environment.get("packages")),
        ("python", environment.get("python_version")),
        ("site", told.get("site")),
        ("user", record.get("user")),
        ("host", record.get("host")),
        ("began", record.get("began")),
        ("first unit", record.get("first_unit")),
        ("ended", record.get("ended")),
    ]
    rows += [("input", input_line(each)) for each in record.get("inputs") or []]
    return [(name, str(value)) for name, value in rows if value is not None]


def input_line(found: Mapping[str, Any]) -> str:
    """Return what is told of one input in one line."""
    facts = []
    if found.get("bytes") is not None:
        least = "" if found.get("whole", True) else "at least "
        facts.append(least + format_memory(found["bytes"]))
    if found.get("modified"):
        facts.append(f"changed {found['modified']}")
    if found.get("error"):
        facts.append(found["error"])
    return f"{found['path']}" + (f" ({', '.join(facts)})" if facts else "")
