"""What an attempt keeps of how it came about: `provenance.json` in its folder, while it works.

Beside it lie the script as it was, the effective site, and `cluster.json`: what the Dask workers
cost. No environment variable is kept, and nothing that only the scheduler or the site knows.
"""

import getpass
import hashlib
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pangeo_hpc import files
from pangeo_hpc.allocation import Allocation
from pangeo_hpc.jobs import Ask
from pangeo_hpc.workflow.attempt import Attempt
from pangeo_hpc.workflow.holder import moment
from pangeo_hpc.workflow.provenance import environment as provenance_environment
from pangeo_hpc.workflow.provenance import repository as provenance_git
from pangeo_hpc.workflow.provenance.inputs import describe

FILE, SUBMITTED, CLUSTER, STARTS = "provenance.json", "submitted.json", "cluster.json", "starts"
# A message of an error may hold a whole dataset's repr.
_MOST_WORDS = 500


def keep_script(script: Path, place: Path) -> dict[str, Any]:
    """Copy a script's bytes into an attempt's folder and return what is told of it."""
    content = script.read_bytes()
    kept = place / "script" / script.name
    files.make_directory(kept.parent, mode=0o700)
    files.write_atomic(kept, content, mode=0o600)
    return {
        "path": str(script),
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "kept": str(kept.relative_to(place)),
    }


def keep_site(run: Path, place: Path) -> None:
    """Keep the effective site of an attempt, as the run's folder has it now."""
    with suppress(FileNotFoundError):
        files.write_atomic(place / "site.json", (run / "site.json").read_bytes(), mode=0o600)


def note_submission(
    run: Path,
    place: Path,
    script: Path,
    ask: Ask,
    *,
    environment: str | None,
    directory: Path,
    git: provenance_git.Repositories | None = None,
) -> None:
    """Keep what was submitted: the script as it is now, what was asked for, and where from.

    `git` has what was asked about repositories before, of runs that are submitted together.
    """
    asked = {key: _plain(value) for key, value in vars(ask).items()}
    keep_site(run, place)
    told = {
        "format": 1,
        "at": moment(),
        "host": socket.gethostname(),
        "script": keep_script(script, place),
        "ask": asked,
        "environment": environment,
        "directory": str(directory),
        "git": provenance_git.record(script, place, git=git),
    }
    files.write_json(place / SUBMITTED, told, mode=0o600)


def read(place: Path, name: str = FILE) -> dict[str, Any] | None:
    """Return one of an attempt's records, None if it is not there or broken."""
    try:
        found: dict[str, Any] = files.read_json(place / name)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def starts(place: Path) -> list[Path]:
    """Return the folders with the records of each start: a requeued job has more than one."""
    return [*sorted(p for p in (place / STARTS).glob("*") if p.is_dir()), place]


@dataclass
class Notes:
    """The record of one attempt, written again as it works.

    `begun` is when it began (`time.monotonic`).
    """

    attempt: Attempt
    place: Path
    script: Path | None
    arguments: Sequence[str]
    inside: Allocation | None
    begun: float
    facts: dict[str, Any] = field(default_factory=dict)
    _inputs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def begin(self) -> None:
        """Keep what must be as it was when the script began, and what is known of the place."""
        self._set_aside()
        began = datetime.now(UTC) - timedelta(seconds=time.monotonic() - self.begun)
        inside, holder = self.inside, self.attempt.lease.holder
        self.facts = {
            "format": 1,
            "run": self.attempt.folder.name,
            "user": getpass.getuser(),
            "script": keep_script(self.script, self.place) if self.script else None,
            "arguments": list(self.arguments),
            "directory": str(Path.cwd()),
            "host": holder.host,
            "holder": holder.number,
            "job": holder.job_id,
            "restarts": holder.restarts,
            "nodes": list(inside.nodes) if inside else [holder.host],
            "memory_limit": inside.memory if inside else None,
            "began": began.isoformat(timespec="seconds"),
        }
        keep_site(self.attempt.folder, self.place)
        self.write()

    def look_around(self) -> None:
        """Add what takes a moment to find out: the environment and the script's repository."""
        self.facts["environment"] = provenance_environment.record(self.attempt.folder)
        found = provenance_git.record(self.script, self.place)
        if found is None:
            # nodes often have no git; what was submitted tells, if that is the script that runs
            told = read(self.place, SUBMITTED) or {}
            ours = (self.facts["script"] or {}).get("sha256")
            if (told.get("script") or {}).get("sha256") == ours:
                found = told.get("git")
        self.facts["git"] = found
        if found and isinstance(self.attempt.record, dict):
            self.attempt.record["git"] = provenance_git.in_words(found)
        self.write()

    def look_at_inputs(self) -> None:
        """Measure the inputs that were asked for since."""
        new = {k: v for k, v in dict(self.attempt.inputs).items() if k not in self._inputs}
        for name, identity in new.items():
            self._inputs[name] = describe(name, str(identity))
        if new:
            self.write()

    def write(self, **more: Any) -> None:
        """Write the record, unless a later start of the same job has taken its place."""
        self.attempt.lease.fence.check()
        self.facts |= more
        told = {
            **self.facts,
            "updated": moment(),
            "first_unit": self._first_unit(),
            "inputs": list(self._inputs.values()),
            "outputs": [_output(each) for each in self.attempt.outputs],
            **_used(),
        }
        files.write_json(self.place / FILE, told, mode=0o600)

    def end(self, status: int, error: BaseException | None) -> None:
        """Write down how it ended."""
        words = " ".join(str(error).split())[:_MOST_WORDS] if error is not None else ""
        why = {"error": type(error).__name__, "words": words} if error is not None else None
        self.write(ended=moment(), exit_code=status, why=why)

    def _first_unit(self) -> str | None:
        known = [t for each in self.attempt.outputs if (t := getattr(each, "first_unit", None))]
        if not known:
            return None
        passed = timedelta(seconds=min(known) - self.begun)
        return (datetime.fromisoformat(self.facts["began"]) + passed).isoformat(timespec="seconds")

    def _set_aside(self) -> None:
        """Keep the records of an earlier start: the scheduler may requeue a job."""
        if not (self.place / FILE).exists():
            return
        earlier = files.make_directory(self.place / STARTS, mode=0o700)
        folder = earlier / f"{len(list(earlier.iterdir())) + 1:04}"
        folder.mkdir(mode=0o700)
        for name in (FILE, CLUSTER):
            with suppress(FileNotFoundError):
                shutil.move(self.place / name, folder / name)


def _output(written: Any) -> dict[str, Any]:
    names = ("units", "written", "skipped", "complete", "bytes")
    told = {name: getattr(written, name, None) for name in names}
    return {"path": str(getattr(written, "path", "")), **told}


def _used() -> dict[str, Any]:
    """Return the CPU seconds of this process, and the most memory it had, in bytes."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"cpu_seconds": round(time.process_time(), 3), "memory_peak": peak}


def _plain(value: object) -> object:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return dict(value) if isinstance(value, Mapping) else value
