"""Do a run again, as it was: the kept script, its arguments, site, environment and request."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from pangeo_hpc import envs, files, jobs, scratch
from pangeo_hpc.errors import Problem, UnknownName, UsageError
from pangeo_hpc.run import Command, Runner, run
from pangeo_hpc.site import Person, Site, load_site
from pangeo_hpc.workflow import launch, runs
from pangeo_hpc.workflow.inputs import identify
from pangeo_hpc.workflow.origin import digest_of_code
from pangeo_hpc.workflow.provenance import environment as provenance_environment
from pangeo_hpc.workflow.provenance import record as provenance
from pangeo_hpc.workflow.provenance.inputs import describe
from pangeo_hpc.workflow.provenance.repository import in_words, state
from pangeo_hpc.workflow.replays.redirect import FILE, Redirect

REPLAYS = "replays"


@dataclass(frozen=True, kw_only=True)
class Replay:
    """One attempt, decided to be done again under a new name; nothing is written yet.

    `differs` is what is no longer as it was recorded; `root` is where all outputs go.
    """

    of: runs.RunFolder
    attempt: int
    name: str
    site: Site
    script: launch.Script
    ask: jobs.Ask
    record: Mapping[str, Any]
    root: Path
    scratch: Path
    differs: tuple[Problem, ...] = ()

    @property
    def redirect(self) -> Redirect:
        """Return where the outputs of the original go in the replay."""
        return Redirect(self.scratch, self.root)

    def preview(self, person: Person) -> str:
        """Return the job script that would be submitted."""
        return launch.preview(self.site, person, self.script, self.ask)

    def submit(self, person: Person, *, runner: Runner = run) -> tuple[runs.RunFolder, jobs.Job]:
        """Submit it. Raise RunBusy if the replay of this name runs, and what `launch` raises."""
        place = runs.home(self.site, person) / self.name
        launch.request_for(self.site, person, self.script, self.ask)
        files.make_directory(place, mode=0o700)
        script = place / "script" / self.script.path.name
        if not (place / FILE).exists():
            if (place / "run.json").exists():
                raise _taken(self.name)
            files.make_directory(script.parent, mode=0o700)
            files.write_atomic(script, self.script.path.read_bytes(), mode=0o600)
            told = {"run": self.of.name, "attempt": self.attempt}
            paths = {"scratch": str(self.scratch), "root": str(self.root)}
            files.write_json(place / FILE, {"format": 1, **told, **paths})
        script_of = replace(self.script, path=script)
        return launch.launch(self.site, person, script_of, self.ask, runner=runner)


def prepare(
    site: Site,
    person: Person,
    folder: runs.RunFolder,
    *,
    attempt: int | None = None,
    name: str | None = None,
    runner: Runner = run,
) -> Replay:
    """Return what doing an attempt again, by default the last recorded one, would be.

    Raise UnknownName for an attempt that is not there, UsageError for one that kept no script.
    """
    number, place = _attempt(folder, attempt)
    submitted = _submitted(folder, number)
    record = provenance.read(place) or {}
    script = _script(place, record, submitted)
    then = _site(site, place)
    told = submitted.get("ask") or {}
    name = name or free_name(site, person, folder)
    base = scratch.root(then, person)
    directory = Path(record.get("directory") or submitted.get("directory") or Path.cwd())
    kept = record.get("script") or submitted["script"]
    original = Path(kept["path"])
    again = launch.Script(
        path=script,
        arguments=tuple(record.get("arguments") or folder.record["arguments"]),
        environment=submitted.get("environment_name"),
        name=name,
        directory=directory,
        # what the script imports lies beside the original
        exports={"PYTHONPATH": str(original.parent)},
    )
    ask, notes = _ask(then, place, told)
    found = Replay(
        of=folder,
        attempt=number,
        name=name,
        site=then,
        script=again,
        ask=ask,
        record={**submitted, **record, "script": kept},
        root=base / REPLAYS / name,
        scratch=base,
    )
    problems = [*notes, *differences(site, person, found, runner=runner)]
    return replace(found, differs=tuple(problems))


def free_name(site: Site, person: Person, folder: runs.RunFolder) -> str:
    """Return the first name ``RUN-replay-N`` that no run has."""
    taken = {each.name for each in runs.all_runs(site, person)}
    # a name has at most 60 letters
    stem = folder.name[:48]
    names = (f"{stem}-replay-{number}" for number in itertools.count(1))
    return next(name for name in names if name not in taken)


def differences(
    site: Site, person: Person, again: Replay, *, runner: Runner = run
) -> list[Problem]:
    """Return everything that is no longer as the attempt recorded it."""
    record, problems = again.record, []
    if json.dumps(site.dump(), default=str) != json.dumps(again.site.dump(), default=str):
        text = "is another than today's; the replay uses the recorded one"
        problems.append(Problem("site", text))
    if "digest" not in (record.get("environment") or {}):
        text = "nothing was recorded of environment, inputs and git: the attempt opened no run"
        problems.append(Problem("record", text))
        return problems
    if not _same_script(record["script"]):
        text = "has changed since; the replay runs it as it was"
        problems.append(Problem(f"script {record['script']['path']}", text))
    problems += _environment(person, again, runner)
    for each in record.get("inputs") or []:
        changed = _input(each)
        if changed:
            problems.append(Problem(f"input {each['path']}", changed))
    problems += _git(record, runner)
    return problems


def _same_script(was: Mapping[str, Any]) -> bool:
    try:
        return digest_of_code(Path(was["path"])) == str(was["sha256"])
    except OSError:
        return False


def _environment(person: Person, again: Replay, runner: Runner) -> list[Problem]:
    was = again.record["environment"]
    found = envs.resolve(again.site, again.script.environment, person)
    code = f"from {provenance_environment.__name__} import described; print(described())"
    command = Command((str(found.python), "-c", code), timeout=60, environment=found.variables)
    told = runner(command)
    if told.returncode != 0:
        why = told.words.splitlines()[-1]
        return [Problem("environment", f"cannot be looked at from here: {why}")]
    prefix, _, digest = told.stdout.strip().rpartition(" ")
    if digest == was.get("digest"):
        return []
    text = f"{prefix} is no longer what it was ({digest[7:19]}, then {was['digest'][7:19]})"
    if prefix != was.get("prefix"):
        text = f"is {prefix}, and was {was.get('prefix')}"
    kept = provenance_environment.list_of(again.of.path, was["digest"])
    return [Problem("environment", text, f"what was installed then: {kept}")]


def _input(was: Mapping[str, Any]) -> str | None:
    path = str(was["path"])
    if "://" in path or not Path(path).is_absolute():
        return None
    try:
        now = identify(Path(path))
    except FileNotFoundError:
        return "is no longer there"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if now != was.get("identity"):
        return "has changed since"
    # the identity of a store is its metadata: its values may have been written again
    found = describe(path, now)
    if found.get("bytes") != was.get("bytes"):
        return f"has another size ({found.get('bytes')} bytes, then {was.get('bytes')})"
    if found.get("modified") != was.get("modified"):
        return f"was touched or written again at {found.get('modified')}, its identity is the same"
    return None


def _git(record: Mapping[str, Any], runner: Runner) -> list[Problem]:
    was = record.get("git")
    if not was:
        return []
    now = state(Path(record["script"]["path"]), runner=runner) or {}
    same = all(now.get(key) == was.get(key) for key in ("commit", "dirty"))
    if same and _sha256(now.get("diff")) == was.get("diff_sha256"):
        return []
    text = f"the script's repository is {in_words(now)}, and was {in_words(was)}"
    if in_words(now) == in_words(was):
        text = f"the script's repository is {in_words(now)}, but these are other changes"
    return [Problem("git", text, "what the script imports from it may have changed")]


def _sha256(diff: object) -> str | None:
    import hashlib

    return hashlib.sha256(str(diff).encode(errors="surrogateescape")).hexdigest() if diff else None


def _attempt(folder: runs.RunFolder, number: int | None) -> tuple[int, Path]:
    """Return the attempt that is meant: the given one, else the last that began, else the last."""
    if number is not None:
        place = folder.attempt(number)
        if not place.is_dir():
            hint = f"pangeo-hpc runs show {folder.name}"
            raise UnknownName(f"run {folder.name} has no attempt {number}", hint=hint)
        return number, place
    known = folder.attempts()
    if not known:
        raise UnknownName(f"run {folder.name} was never submitted", hint="pangeo-hpc submit does")
    began = [place for place in known if (place / provenance.FILE).exists()]
    place = (began or known)[-1]
    return int(place.name), place


def _submitted(folder: runs.RunFolder, number: int) -> dict[str, Any]:
    """Return how an attempt was submitted; one of a chain was as an earlier one."""
    for place in reversed([each for each in folder.attempts() if int(each.name) <= number]):
        found = provenance.read(place, provenance.SUBMITTED)
        if found:
            # `environment` is a name here, and a description in an attempt's own record
            return {**found, "environment_name": found.pop("environment", None)}
    return {}


def _script(place: Path, record: Mapping[str, Any], submitted: Mapping[str, Any]) -> Path:
    told = record.get("script") or submitted.get("script")
    if not told or not (place / told["kept"]).is_file():
        text = f"attempt {int(place.name)} of this run kept no script"
        raise UsageError(text, hint="it was made in a notebook, or by an earlier version")
    return place / str(told["kept"])


def _site(site: Site, place: Path) -> Site:
    kept = place / "site.json"
    return load_site(kept) if kept.exists() else site


def _ask(site: Site, place: Path, told: Mapping[str, Any]) -> tuple[jobs.Ask, list[Problem]]:
    """Return the request that was made, and what is to be said of it."""
    job = jobs.Job.read(place) if (place / "job.json").exists() else None
    request = job.request if job else {}
    if request.get("node_type") is None:
        chosen = site.node_type(None).name
        text = f"the attempt ran in no job of ours; the replay asks for node type {chosen}"
        return jobs.Ask(node_type=chosen), [Problem("request", text)]
    walltime = request.get("walltime")
    ask = jobs.Ask(
        node_type=request["node_type"],
        nodes=request.get("nodes"),
        cores=request.get("cores"),
        memory=request.get("memory"),
        gpus=request.get("gpus"),
        walltime=timedelta(seconds=walltime) if walltime else None,
        # as it was asked for: the site may make another one of it
        account=told.get("account"),
        options=told.get("options") or {},
    )
    return ask, []


def _taken(name: str) -> UsageError:
    return UsageError(f"run {name} is there already, and is no replay", hint="give another --name")
