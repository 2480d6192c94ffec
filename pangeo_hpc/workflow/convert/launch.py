"""Start a conversion: as a job of a node type, or on this machine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pangeo_hpc import files, jobs, scratch
from pangeo_hpc.errors import UsageError
from pangeo_hpc.run import Runner, run
from pangeo_hpc.site import Person, Site
from pangeo_hpc.workflow import here, launch, runs
from pangeo_hpc.workflow.convert import sources
from pangeo_hpc.workflow.convert.adding import Addition, add
from pangeo_hpc.workflow.convert.job import SCRIPT
from pangeo_hpc.workflow.convert.order import Order
from pangeo_hpc.workflow.convert.prepare import Each, Plan
from pangeo_hpc.workflow.convert.record import Record
from pangeo_hpc.workflow.origin import PREFIX, attributes


@dataclass(frozen=True, kw_only=True)
class Start:
    """How a conversion is started: under which name, in which environment, afresh or not."""

    name: str | None = None
    environment: str | None = None
    force: bool = False


def name_of(order: Order, start: Start) -> str:
    """Return the run's name: the given one, else one of the target."""
    return start.name or f"convert-{Path(order.target).name.removesuffix('.zarr')}"


def target_of(site: Site, person: Person, order: Order) -> Path:
    """Return where the store will be."""
    target = Path(order.target)
    if target.is_absolute():
        return target
    return scratch.root(site, person) / scratch.inside(target)


def addition(site: Site, person: Person, order: Order, start: Start, each: Each) -> Addition | None:
    """Return what can be added to the store; None if there is none yet, which is then begun.

    Raise UsageError for a store that this run did not finish, RequestRefused for files that cannot
    be added.
    """
    where, name = target_of(site, person, order), name_of(order, start)
    record = Record.read(runs.home(site, person) / name, where)
    told = attributes(where)
    if not told and not where.exists():
        return None
    if record is None:
        by = told.get(f"{PREFIX}run")
        told_of = f"run {by} did" if by and by != name else "nobody knows from which files"
        text = f"{where} is there already, and run {name} did not convert it: {told_of}"
        hint = f"--name {by}" if by and by != name else "start over with --force"
        raise UsageError(text, hint=hint)
    if not record.whole:
        files_ = "1 file" if len(record.sources) == 1 else f"{len(record.sources)} files"
        paths = {str(path) for path in sources.find(order.sources)[0]}
        if paths == {each.path for each in record.sources}:
            return None
        text = f"the first conversion into {where}, of {files_}, is not finished"
        raise UsageError(text, hint="run that command again first, or start over with --force")
    return add(order, record, where, each)


def program(site: Site, person: Person, plan: Plan, start: Start) -> launch.Script:
    """Write down the order and the script that carries it out, and return the script.

    The sources are named in the order that was found, as the job will join them. Raise UsageError
    if the run converted other files, unless it starts over.
    """
    ordered = tuple(str(part.piece.path) for part in plan.arrangement.parts)
    order = replace(plan.order, sources=ordered, along=plan.arrangement.along)
    script = _program(site, person, order, start)
    folder = runs.home(site, person) / script.run_name
    if not start.force and (folder / "run.json").exists():
        kept = runs.RunFolder(folder).record
        theirs = kept.get("script") == str(script.path)
        if theirs and list(script.arguments) != kept["arguments"]:
            text = f"run {script.run_name} has converted other files, or in another way"
            hint = "--append adds files that follow; --force starts over; --name keeps both"
            raise UsageError(text, hint=hint)
    return script


def program_to_add(
    site: Site,
    person: Person,
    adding: Addition,
    start: Start,
    ask: jobs.Ask | None = None,
    *,
    runner: Runner = run,
) -> launch.Script:
    """Return the script that adds files to a store; from now on it is what the run does.

    Raise RunBusy if the run is at work, RequestRefused if the job that is asked for cannot be.
    """
    script = _program(site, person, adding.order, start)
    if ask is not None:
        launch.request_for(site, person, script, ask)
    folder = runs.home(site, person) / script.run_name
    with jobs.alone(folder, f"run {script.run_name}", "wait for that one"):
        launch.refuse_if_busy(site, person, runs.RunFolder(folder), runner=runner)
        runs.open_run(
            site,
            person,
            script.run_name,
            script=script.path,
            arguments=script.arguments,
            force=True,
        )
    return script


def _program(site: Site, person: Person, order: Order, start: Start) -> launch.Script:
    name = name_of(order, start)
    folder = files.make_directory(runs.home(site, person) / name, mode=0o700)
    script, kept = folder / "convert.py", folder / f"convert-{order.digest}.json"
    if not script.exists() or script.read_text() != SCRIPT:
        files.write_atomic(script, SCRIPT)
    order.write(kept)
    return launch.Script(
        path=script, arguments=(str(kept),), environment=start.environment, name=name
    )


def check_target(target: str, words: Sequence[str]) -> None:
    """Raise UsageError for a target that cannot be meant."""
    if "://" in target:
        hint = "write it below scratch first; run.stage_out copies a finished store elsewhere"
        raise UsageError(f"{target} is a URL", hint=hint)
    if not target.rstrip("/").endswith(".zarr"):
        hint = f"the last word is the store to write: {' '.join(words[:1])} … DEST.zarr"
        raise UsageError(f"{target} does not end in .zarr", hint=hint)


def submit(
    site: Site, person: Person, script: launch.Script, ask: jobs.Ask, start: Start
) -> tuple[runs.RunFolder, jobs.Job]:
    """Submit the conversion and return its run and its job."""
    return launch.launch(site, person, script, ask, force=start.force)


def run_here(site: Site, person: Person, script: launch.Script, start: Start) -> here.Ended:
    """Convert on this machine, or in the job we are in."""
    return here.run_here(site, person, script, force=start.force)
