"""What was copied of an output, so that a copy goes on where it was interrupted.

``staged/<output and place>/plan.json`` says what is copied where; ``done.jsonl`` has a line for
each file whose copy was checked. A line that is lost means one more copy of one file.
"""

import json
import os
import secrets
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pangeo_hpc import files
from pangeo_hpc.workflow.holder import moment
from pangeo_hpc.workflow.lease import Lease
from pangeo_hpc.workflow.staging.places import Sums
from pangeo_hpc.workflow.staging.source import Stamp
from pangeo_hpc.workflow.writing.ledger import output_key

# Seconds between two syncs of the lines.
_SELDOM = 1.0


@dataclass(frozen=True)
class Copied:
    """A file whose copy was checked: its source as it was then, and its checksums."""

    stamp: Stamp
    sums: Sums


class StagingLedger:
    """The ledger of one output and one place."""

    def __init__(self, run: Path, source: Path, place: str, lease: Lease) -> None:
        self.directory = run / "staged" / output_key(Path(f"{source} {place}".replace("/", "-")))
        self._lease = lease
        self._lock = threading.Lock()
        self._synced = 0.0
        files.make_directory(self.directory)
        try:
            self.plan: dict[str, Any] = files.read_json(self.directory / "plan.json")
        except (FileNotFoundError, ValueError):
            self.plan = {}

    @property
    def token(self) -> str | None:
        """Return the mark of the copy that was begun, None before the first."""
        return self.plan.get("token")

    @property
    def complete(self) -> bool:
        """Tell whether the copy was finished."""
        return bool(self.plan.get("complete"))

    def begin(self, source: Path, place: str) -> str:
        """Note that a copy is begun, and return its mark. Raise RunBusy if the run is not ours."""
        self._lease.check()
        (self.directory / "done.jsonl").unlink(missing_ok=True)
        self.plan = {
            "format": 1,
            "source": str(source),
            "place": place,
            "token": secrets.token_hex(4),
            "begun": moment(),
        }
        files.write_json(self.directory / "plan.json", self.plan)
        return str(self.plan["token"])

    def finish(self, facts: dict[str, Any]) -> None:
        """Note that the copy is complete. Raise RunBusy if the run is not ours."""
        self._lease.check()
        self.plan = {**self.plan, "complete": moment(), **facts}
        files.write_json(self.directory / "plan.json", self.plan)

    def reopen(self) -> None:
        """Note that a copy which was complete is not."""
        self._lease.check()
        self.plan = {key: value for key, value in self.plan.items() if key != "complete"}
        files.write_json(self.directory / "plan.json", self.plan)

    def done(self) -> dict[str, Copied]:
        """Return the files that were copied; a line that is not whole is left out."""
        found = {}
        try:
            lines = (self.directory / "done.jsonl").read_text().splitlines()
        except FileNotFoundError:
            return {}
        for line in lines:
            try:
                told = json.loads(line)
                found[told["key"]] = Copied(Stamp(**told["stamp"]), Sums(**told["sums"]))
            except (ValueError, TypeError, KeyError):
                continue
        return found

    def commit(self, key: str, copied: Copied) -> None:
        """Note a file whose copy was checked, from any thread."""
        told = {"key": key, "stamp": asdict(copied.stamp), "sums": asdict(copied.sums)}
        path = self.directory / "done.jsonl"
        with self._lock, files.refusals(path), path.open("a") as file:
            # after the half line of a write that was killed
            file.write(f"{json.dumps(told)}\n" if file.tell() == 0 else f"\n{json.dumps(told)}\n")
            file.flush()
            if time.monotonic() - self._synced > _SELDOM:
                os.fsync(file.fileno())
                self._synced = time.monotonic()
