"""Tell whether what a run writes would be purged before the run is likely to be complete."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pangeo_hpc import files, scratch
from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.site import ScratchFilesystem, Site
from pangeo_hpc.units import format_duration

# It comes with the other commands for scratch.
_PIN: Callable[..., Any] | None = getattr(scratch, "pin", None)


@dataclass(frozen=True)
class Written:
    """An output on scratch: when its first and its last file were written."""

    path: Path
    first: datetime
    last: datetime


@dataclass(frozen=True)
class Risk:
    """What may be purged too early: the output (None: one that is to come), and from when on."""

    path: Path | None
    day: datetime
    needed: datetime


def risks(
    filesystem: ScratchFilesystem,
    outputs: Sequence[Written],
    *,
    now: datetime,
    lasts: timedelta,
) -> list[Risk]:
    """Return what may be purged before a run that lasts so long from now is complete.

    What the site purges as one dataset is as old as its newest file, anything else as its oldest.
    """
    purge = filesystem.purge
    if purge is None:
        return []
    keeps, needed = purge.after + purge.grace, now + lasts
    whole = purge.enforced_by == "pangeo-hpc" and "zarr" in filesystem.datasets
    found = []
    for each in outputs:
        day = (each.last if whole else each.first) + keeps
        if day < needed:
            found.append(Risk(each.path, day, needed))
    # what is written first has to last until the end
    if not found and not whole and now + keeps < needed:
        found.append(Risk(None, now + keeps, needed))
    return found


def expected(walltime: timedelta, *, attempts: int = 1) -> timedelta:
    """Return how long a run computes at most; what its attempts wait in the queue comes on top."""
    return attempts * walltime


def attempts_left(progress: Mapping[str, Any] | None, attempts: int) -> int:
    """Return how many more attempts a run takes, if they get on as those did that it had."""
    done, total = (progress or {}).get("done") or 0, (progress or {}).get("total") or 0
    if not done or done >= total or attempts < 1:
        return 1
    return math.ceil((total - done) * attempts / done)


def warn(
    site: Site,
    run: Path,
    lasts: timedelta,
    *,
    now: datetime | None = None,
    pin: Callable[..., Any] | None = _PIN,
) -> str | None:
    """Return a warning to print at a submission, None if nothing is at risk.

    What is there already is pinned where the site lets us and `scratch.pin` exists.
    """
    if not site.scratch:
        return None
    filesystem = site.scratch_filesystem(None)
    found = risks(filesystem, written(run), now=now or datetime.now(UTC), lasts=lasts)
    if not found:
        return None
    lines = []
    for each in found:
        what = each.path or "what it writes first"
        text = f"warning: {what} may be purged from {each.day:%Y-%m-%d} on, before the run is done"
        lines.append(f"{text} (until {each.needed:%Y-%m-%d}){_pinned(filesystem, each, pin)}")
    keeps = format_duration(filesystem.purge.after) if filesystem.purge else ""
    lines.append(
        f"hint: scratch keeps files for {keeps}; copy what is finished with run.stage_out, "
        "or use more nodes"
    )
    return "\n".join(lines)


def written(run: Path) -> list[Written]:
    """Return the outputs that a run has begun, by what its ledger says of their units."""
    found = []
    for template in sorted(run.glob("ledger/*/template.json")):
        try:
            told: Mapping[str, Any] = files.read_json(template)
        except (FileNotFoundError, ValueError):
            continue
        units = template.parent / str(told.get("token"))
        times = [path.stat().st_mtime for path in (template, *units.glob("*.json"))]
        path = Path(str(told.get("output")))
        if path.exists():
            first, last = (datetime.fromtimestamp(t, UTC) for t in (min(times), max(times)))
            found.append(Written(path, first, last))
    return found


def _pinned(filesystem: ScratchFilesystem, risk: Risk, pin: Callable[..., Any] | None) -> str:
    """Pin what is at risk, and return words on it."""
    allowed = filesystem.purge is not None and filesystem.purge.enforced_by == "pangeo-hpc"
    if pin is None or risk.path is None or not allowed:
        return ""
    try:
        pin(risk.path, reason="a run that writes it is not complete")
    except PangeoHpcError as error:
        return f"; it was not pinned: {error.text}"
    return "; it is pinned now"
