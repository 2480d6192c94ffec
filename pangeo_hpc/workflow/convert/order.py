"""What a person wants converted, as the command hands it to the job that does it."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from pangeo_hpc import files


class Access(StrEnum):
    """How the store will be read: what its chunks are made for."""

    TIME_SERIES = "time-series"
    MAPS = "maps"
    BOTH = "both"


class Overlaps(StrEnum):
    """What happens with steps that stand in two files."""

    REFUSE = "refuse"
    FIRST = "first"
    LAST = "last"


@dataclass(frozen=True, kw_only=True)
class Order:
    """The files in the order in which they are joined, and how.

    `along` is the dimension on which they are joined, None to find it. Without `variables`, all of
    them are converted. `target` is relative to scratch, or absolute. With `append`, the files are
    added to the store that is there.
    """

    sources: tuple[str, ...]
    target: str
    along: str | None = None
    variables: tuple[str, ...] = ()
    access: Access = Access.BOTH
    overlaps: Overlaps = Overlaps.REFUSE
    append: bool = False

    @property
    def digest(self) -> str:
        """Return what is different for any other conversion; the files' contents aside."""
        return hashlib.sha256(json.dumps(self._told()).encode()).hexdigest()[:16]

    def write(self, path: Path) -> None:
        """Keep the order where the job finds it."""
        files.write_json(path, {"format": 1, **self._told()})

    @classmethod
    def read(cls, path: Path) -> "Order":
        """Return the order that a file holds."""
        kept = files.read_json(path)
        values = {each.name: kept[each.name] for each in fields(cls) if each.name in kept}
        for name in ("sources", "variables"):
            values[name] = tuple(values[name])
        values["access"], values["overlaps"] = Access(kept["access"]), Overlaps(kept["overlaps"])
        return cls(**values)

    def _told(self) -> dict[str, Any]:
        """Return the order in plain words; what is not added to anything says nothing of that."""
        told = asdict(self)
        if not self.append:
            del told["append"]
        return told
