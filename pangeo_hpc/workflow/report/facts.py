"""Everything that is known of a run, gathered from its folder and the state of its jobs."""

import itertools
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pangeo_hpc import files
from pangeo_hpc.jobs import Job
from pangeo_hpc.schedulers.base import JobStatus
from pangeo_hpc.workflow import origin
from pangeo_hpc.workflow.provenance import record as provenance
from pangeo_hpc.workflow.provenance.inputs import measure
from pangeo_hpc.workflow.report.attempt import attempt_of
from pangeo_hpc.workflow.runs import RunFolder

# A map may have a file for each of a million items.
MOST_ENTRIES = 10_000
_COUNTED = ("requested", "busy", "idle", "lost")


def gather(
    folder: RunFolder,
    jobs: Sequence[Job],
    states: Sequence[JobStatus],
    *,
    now: datetime | None = None,
) -> dict[str, Any]:
    """Return a run's record, state, progress, attempts, costs, outputs and provenance.

    `states` are those of `jobs`, which are all of its attempts, the first one first.
    """
    attempts = [attempt_of(job, each, now=now) for job, each in zip(jobs, states, strict=True)]
    alive = [i for i, each in enumerate(states) if not each.state.ended]
    newest = (alive or list(range(len(attempts))))[-1:]
    records = [provenance.read(job.folder) for job in jobs]
    known = [each for each in records if each]
    return {
        **folder.record,
        "folder": str(folder.path),
        "state": attempts[newest[0]]["state"] if newest else None,
        "reason": attempts[newest[0]]["reason"] or None if newest else None,
        "why": attempts[newest[0]]["why"] or None if newest else None,
        "progress": folder.progress,
        "attempts": attempts,
        "core_hours": total_of(attempts),
        "outputs": outputs(folder, known[-1] if known else None),
        "provenance": known[-1] if known else None,
        "replay": json_of(folder.path / "replay.json"),
        "comparison": json_of(folder.path / "comparison.json"),
        "maps": maps(folder),
        "chain": json_of(folder.path / "chain.json"),
    }


def total_of(attempts: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Return the core-hours of all attempts; None for what no attempt knows."""
    found: dict[str, float | None] = {}
    for name in _COUNTED:
        known = [a["core_hours"][name] for a in attempts if a["core_hours"][name] is not None]
        found[name] = sum(known) if known else None
    return found


def outputs(folder: RunFolder, newest: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return all outputs of a run, with their units, their size in bytes and their state.

    Every attempt that ends writes `outputs.json`; of one that works or was killed its own record
    knows more.
    """
    kept = (json_of(folder.path / "outputs.json") or {}).get("outputs") or []
    found = {str(each.get("path")): dict(each) for each in kept}
    if newest and not newest.get("ended"):
        for each in newest.get("outputs") or []:
            found.setdefault(each["path"], {}).update({k: v for k, v in each.items() if v})
    ledgers = units(folder)
    return [_look(each, ledgers.get(path, [])) for path, each in found.items()]


def _look(output: dict[str, Any], ledger: list[dict[str, Any]]) -> dict[str, Any]:
    """Add what is to be seen of an output now; `done` counts the units that are there.

    What an attempt that was killed said last may be older than its ledger.
    """
    path = Path(str(output["path"]))
    said = int(output.get("written") or 0) + int(output.get("skipped") or 0)
    done = max(said, sum(1 for entry in ledger if entry.get("stop") is not None))
    told = {**output, "done": done}
    if "://" in str(output["path"]):
        return told | {"state": "elsewhere"}
    try:
        if not path.exists():
            return told | {"state": "gone", "size": None}
        facts = origin.attributes(path)
        size = measure(path)
    except OSError as error:
        return told | {"state": f"cannot be read: {error.strerror}", "size": None}
    state = facts.get(origin.STATE) or ("complete" if output.get("complete") else "there")
    return told | {
        "state": state,
        "size": size["bytes"],
        "files": size["files"],
        "whole": size["whole"],
    }


def units(folder: RunFolder) -> dict[str, list[dict[str, Any]]]:
    """Return the ledger's entries of each output and map, in the order of their keys."""
    found: dict[str, list[dict[str, Any]]] = {}
    for template in sorted((folder.path / "ledger").glob("*/template.json")):
        head = json_of(template) or {}
        place = template.parent / str(head.get("token"))
        found[str(head.get("output") or template.parent.name)] = _entries(place)
    for told in sorted((folder.path / "maps").glob("*/map.json")):
        found[f"map {told.parent.name}"] = _entries(told.parent / "items")
    return {name: entries for name, entries in found.items() if entries}


def maps(folder: RunFolder) -> list[dict[str, Any]]:
    """Return how many items of each map are done, and which failed at last and why."""
    return [
        {
            "map": told.parent.name,
            "done": sum(1 for _ in (told.parent / "items").glob("*.json")),
            "failed": [
                {"item": each.get("item"), "error": each.get("error"), "tries": each.get("tries")}
                for each in _entries(told.parent / "failed")
            ],
        }
        for told in sorted((folder.path / "maps").glob("*/map.json"))
    ]


def _entries(place: Path) -> list[dict[str, Any]]:
    paths = itertools.islice(sorted(place.glob("*.json")), MOST_ENTRIES)
    return [entry for path in paths if isinstance(entry := json_of(path), dict)]


def json_of(path: Path) -> Any:
    """Return what a JSON file holds, None if it is not there or broken."""
    try:
        return files.read_json(path)
    except (OSError, ValueError):
        return None
