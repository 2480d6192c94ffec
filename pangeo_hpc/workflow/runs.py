"""Run folders: where everything about a run is kept, from its script to its attempts.

A run is known by user, site and name. Its folder is
``<user_state>/runs/<site>/<name>`` and holds `run.json`, the effective `site.json`, and one folder
per attempt below `attempts/`.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pangeo_hpc import files
from pangeo_hpc.errors import Problem, RequestRefused, UnknownName, UsageError
from pangeo_hpc.jobs import Job
from pangeo_hpc.jobs.plan import NAME
from pangeo_hpc.site import Person, Site

RUN, ATTEMPT = "PANGEO_HPC_RUN", "PANGEO_HPC_ATTEMPT"
# Marks in the folder of an attempt: its job waits to follow another attempt; it began.
AHEAD, BEGUN = "ahead", "begun"


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @property
    def name(self) -> str:
        """Return the run's name."""
        return self.path.name

    @property
    def site_file(self) -> Path:
        """Return the effective site, as the run's jobs read it."""
        return self.path / "site.json"

    @property
    def record(self) -> dict[str, Any]:
        """Return what identifies the run: its script, arguments and when it was made."""
        kept: dict[str, Any] = files.read_json(self.path / "run.json")
        return kept

    @property
    def progress(self) -> dict[str, Any] | None:
        """Return how far the last attempt came, None before its first unit."""
        try:
            kept: dict[str, Any] = files.read_json(self.path / "progress.json")
        except (FileNotFoundError, ValueError):
            return None
        return kept

    def attempt(self, number: int) -> Path:
        """Return the folder of one attempt."""
        return self.path / "attempts" / f"{number:04}"

    def attempts(self) -> list[Path]:
        """Return the folders of all attempts, the first one first."""
        return sorted(p for p in (self.path / "attempts").glob("[0-9]*") if p.is_dir())

    def new_attempt(self) -> tuple[int, Path]:
        """Claim the next attempt: its number, which nobody else gets, and its new folder."""
        number = len(self.attempts()) + 1
        files.make_directory(self.path / "attempts")
        while True:
            folder = self.attempt(number)
            try:
                folder.mkdir()
            except FileExistsError:
                number += 1
            else:
                return number, folder

    def jobs(self) -> list[Job]:
        """Return the jobs of all attempts that were recorded, the first one first.

        Without those that were submitted ahead, to follow another attempt, and did not begin.
        """
        recorded = [folder for folder in self.attempts() if (folder / "job.json").exists()]
        return [
            Job.read(folder)
            for folder in recorded
            if (folder / BEGUN).exists() or not (folder / AHEAD).exists()
        ]


def open_run(
    site: Site,
    person: Person,
    name: str,
    *,
    script: Path | None,
    arguments: Sequence[str],
    force: bool = False,
) -> RunFolder:
    """Return the folder of a run, made now if the name is new.

    Raise UsageError if the name belongs to another script or other arguments, unless `force`, which
    gives the name to this script and keeps the old attempts.
    """
    if not NAME.fullmatch(name):
        hint = "use letters, digits, dot, dash and underscore, at most 60; --name sets it"
        raise RequestRefused([Problem("name", f"{name!r} cannot be the name of a run", hint)])
    folder = RunFolder(home(site, person) / name)
    identity = {"script": str(script) if script else None, "arguments": list(arguments)}
    files.make_directory(folder.path, mode=0o700)
    with files.lock(folder.path / ".lock"):
        if (folder.path / "run.json").exists():
            kept = folder.record
            same = all(kept[key] == value for key, value in identity.items())
            if not same and not force:
                raise UsageError(_other(name, kept, identity), hint=_OTHER_HINT)
        else:
            kept, same = {"created": datetime.now(UTC).isoformat(timespec="seconds")}, False
        if not same:
            record = {"format": 1, "name": name, "site": site.name} | kept | identity
            files.write_json(folder.path / "run.json", record)
        files.write_json(folder.site_file, site.dump())
    return folder


_OTHER_HINT = "give this one another --name, or --force to take the name over"


def _other(name: str, kept: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    what, key = ("script", "script")
    if kept["script"] == asked["script"]:
        what, key = "arguments", "arguments"
    return (
        f"run {name} already has another {what}: {json.dumps(kept[key])}, "
        f"not {json.dumps(asked[key])}"
    )


def home(site: Site, person: Person) -> Path:
    """Return the folder that holds all runs of a user on a site."""
    return site.user_state_path(person) / "runs" / site.name


def current(environ: Mapping[str, str] | None = None) -> RunFolder | None:
    """Return the run this process belongs to, None outside any."""
    path = (os.environ if environ is None else environ).get(RUN)
    return RunFolder(Path(path)) if path else None


def all_runs(site: Site, person: Person) -> list[RunFolder]:
    """Return every run of a user on a site, by name."""
    root = home(site, person)
    if not root.is_dir():
        return []
    return sorted(
        (RunFolder(path) for path in root.iterdir() if (path / "run.json").exists()),
        key=lambda run: run.name,
    )


def find(site: Site, person: Person, reference: str) -> RunFolder:
    """Return a run by its name or by the id of one of its jobs.

    Raise UnknownName, with a guess, if there is none.
    """
    known = all_runs(site, person)
    for run in known:
        if run.name == reference:
            return run
    for run in known:
        if any(job.id and same_id(job.id, reference) for job in run.jobs()):
            return run
    from difflib import get_close_matches

    near = get_close_matches(reference, [run.name for run in known], 1)
    hint = f"did you mean {near[0]}?" if near else "`pangeo-hpc runs list` shows what there is"
    raise UnknownName(f"no run named {reference!r}, and none with that job id", hint=hint)


def same_id(job_id: str, reference: str) -> bool:
    """Tell whether a person's number means a job: PBS ids go on after the dot."""
    return reference in (job_id, job_id.partition(".")[0])
