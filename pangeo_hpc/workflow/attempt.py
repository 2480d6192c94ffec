"""What an attempt of a run knows while it works, and what it leaves as a summary."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pangeo_hpc import files
from pangeo_hpc.workflow.deadline import Deadline
from pangeo_hpc.workflow.ending import Signals
from pangeo_hpc.workflow.lease import Lease
from pangeo_hpc.workflow.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What writing needs to know of the attempt it belongs to.

    `forced` marks a start over: an output is started over once per mark. With `keep`, units that an
    earlier script, environment or input made stay.
    """

    folder: Path
    record: Mapping[str, Any]
    lease: Lease
    deadline: Deadline
    signals: Signals
    progress: Progress
    code: str | None
    inputs: Mapping[str, str]
    forced: str | None
    keep: bool = False
    outputs: "list[Written]" = field(default_factory=list)
    # what each name of a map stands for, and where outputs were copied to
    maps: dict[str, Any] = field(default_factory=dict)
    staged: dict[str, Any] = field(default_factory=dict)

    @property
    def script(self) -> Path | None:
        """Return the script of the run, None in an interactive session."""
        script = self.record.get("script")
        return Path(script) if script and Path(script).is_absolute() else None


@dataclass
class Written:
    """What became of one output in this attempt.

    `seconds` is how long it took, `first_unit` when its first unit was there (`time.monotonic`);
    `facts` are what else is told of it.
    """

    path: Path
    units: int
    written: int = 0
    skipped: int = 0
    complete: bool = False
    bytes: int = 0
    seconds: float = 0.0
    first_unit: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def summarize(attempt: Attempt, began: float) -> None:
    """Write down what an attempt made; `began` is when it started (`time.monotonic`).

    Outputs of earlier attempts that this one did not come to stay in the list.
    """
    path = attempt.folder / "outputs.json"
    try:
        earlier = files.read_json(path)["outputs"]
    except (FileNotFoundError, ValueError):
        earlier = []
    told = [
        {
            "path": str(each.path),
            "complete": each.complete,
            "units": each.units,
            "written": each.written,
            "skipped": each.skipped,
            "bytes": each.bytes,
            "seconds": round(each.seconds, 3),
            "seconds_to_first_unit": (
                None if each.first_unit is None else round(each.first_unit - began, 3)
            ),
            **each.facts,
        }
        for each in attempt.outputs
    ]
    ours = {each["path"] for each in told}
    told = [each for each in earlier if each["path"] not in ours] + told
    _add_copies(told, earlier, attempt.staged)
    seconds = round(time.monotonic() - began, 3)
    files.write_json(path, {"format": 1, "seconds": seconds, "outputs": told})


def _add_copies(
    told: list[dict[str, Any]], earlier: list[dict[str, Any]], staged: Mapping[str, Any]
) -> None:
    """Say of each output where it was copied to, in an earlier attempt or in this one.

    What was written anew since is not what was copied.
    """
    before = {each["path"]: each.get("staged_to") or {} for each in earlier}
    known = {each["path"]: each for each in told}
    for path, places in staged.items():
        if path not in known:
            known[path] = {"path": path, "complete": True}
            told.append(known[path])
        known[path]["staged_to"] = {**before.get(path, {}), **places}
    for path, places in before.items():
        each = known[path]
        if places and path not in staged and not each.get("written"):
            each["staged_to"] = places
