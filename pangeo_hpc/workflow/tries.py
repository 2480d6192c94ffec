"""What earlier attempts of a run were computing when they ended, as their holders' files tell."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from pangeo_hpc.errors import UnitTooLong
from pangeo_hpc.units import format_duration
from pangeo_hpc.workflow.holder import Holder

TRIES = 2
# A last sign of life this near the end of the walltime: the job was ended by it.
_NEAR = timedelta(seconds=90)
_NUMBERED = re.compile(r"(\d+)\.json")


def holders(directory: Path) -> list[Holder]:
    """Return all holders that a folder of leases tells of, the first one first."""
    found = []
    for path in sorted(directory.glob("*.json")):
        try:
            if _NUMBERED.fullmatch(path.name):
                found.append(Holder.load(path.read_text()))
        except (OSError, ValueError):
            continue
    return sorted(found, key=lambda holder: holder.number)


def stuck(holder: Holder) -> dict[str, timedelta]:
    """Return what was at work at the last sign of life of a holder, and since how long."""
    last = last_sign(holder)
    return {
        piece: max(last - datetime.fromisoformat(since), timedelta(0))
        for piece, since in holder.at_work.items()
    }


def last_sign(holder: Holder) -> datetime:
    """Return when a holder was last known to be alive."""
    return datetime.fromisoformat(holder.released_at or holder.renewed_at)


def refuse_too_long(piece: str, earlier: Iterable[Holder]) -> None:
    """Raise UnitTooLong for a piece that no walltime is enough for.

    It is one that at least two attempts gave most of their time to, and that was not finished when
    their walltime was over.
    """
    tried = [took for holder in earlier if (took := _whole_try(holder, piece)) is not None]
    if len(tried) < TRIES:
        return
    text = (
        f"{piece} takes longer than a job has: {len(tried)} attempts computed it for up to "
        f"{format_duration(max(tried))} until their walltime was over, and did not finish it"
    )
    hint = "make the units smaller (unit=), or ask for more --walltime, --cores or --nodes"
    raise UnitTooLong(text, hint=hint)


def _whole_try(holder: Holder, piece: str) -> timedelta | None:
    """Return how long a holder tried a piece, None if it had not most of a walltime for it."""
    took = stuck(holder).get(piece)
    if took is None or holder.ends is None:
        return None
    ends, taken = datetime.fromisoformat(holder.ends), datetime.fromisoformat(holder.taken_at)
    whole = last_sign(holder) >= ends - max(_NEAR, (ends - taken) / 20)
    return took if whole and took >= (last_sign(holder) - taken) / 2 else None
