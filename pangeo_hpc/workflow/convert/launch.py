"""Start a conversion: as a job of a node type, or on this machine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pangeo_hpc import files, jobs, scratch
from pangeo_hpc.errors import UsageError
from pangeo_hpc.site import Person, Site
from pangeo_hpc.workflow import here, launch, runs
from pangeo_hpc.workflow.convert.job import SCRIPT
from pangeo_hpc.workflow.convert.order import Order
from pangeo_hpc.workflow.convert.prepare import Plan


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


def program(site: Site, person: Person, plan: Plan, start: Start) -> launch.Script:
    """Write down the order and the script that carries it out, and return the script.

    The sources are named in the order that was found, as the job will join them.
    """
    sources = tuple(str(part.piece.path) for part in plan.arrangement.parts)
    order = replace(plan.order, sources=sources, along=plan.arrangement.along)
    name = name_of(order, start)
    folder = files.make_directory(runs.home(site, person) / name, mode=0o700)
    script, kept = folder / "convert.py", folder / f"convert-{order.digest}.json"
    if not script.exists() or script.read_text() != SCRIPT:
        files.write_atomic(script, SCRIPT)
    order.write(kept)
    return launch.Script(
        path=script, arguments=(str(kept),), environment=start.environment, name=name
    )


def check_target(target: str, sources: Sequence[str]) -> None:
    """Raise UsageError for a target that cannot be meant."""
    if "://" in target:
        hint = "write it below scratch first; run.stage_out copies a finished store elsewhere"
        raise UsageError(f"{target} is a URL", hint=hint)
    if not target.rstrip("/").endswith(".zarr"):
        hint = f"the last word is the store to write: {' '.join(sources[:1])} … DEST.zarr"
        raise UsageError(f"{target} does not end in .zarr", hint=hint)


def submit(
    site: Site, person: Person, script: launch.Script, ask: jobs.Ask, start: Start
) -> tuple[runs.RunFolder, jobs.Job]:
    """Submit the conversion and return its run and its job."""
    return launch.launch(site, person, script, ask, force=start.force)


def run_here(site: Site, person: Person, script: launch.Script, start: Start) -> here.Ended:
    """Convert on this machine, or in the job we are in."""
    return here.run_here(site, person, script, force=start.force)
