"""The demo from end to end: data, months on scratch, job, picture, report."""

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pangeo_hpc import files, jobs, scratch
from pangeo_hpc._version import __version__
from pangeo_hpc.demo import follow, job, monthly, report, source
from pangeo_hpc.demo.timeline import Timeline, now
from pangeo_hpc.errors import UsageError
from pangeo_hpc.site import Person, Site
from pangeo_hpc.units import format_memory
from pangeo_hpc.workflow.follow import follow as states_of

if TYPE_CHECKING:
    import xarray as xr

    from pangeo_hpc.schedulers.base import JobStatus

FOLDER, RUN = "pangeo-hpc-demo", "demo"
MONTHLY, ENSEMBLE = "monthly.zarr", "ensemble.zarr"
_NEEDED = ("numpy", "xarray", "zarr", "dask", "distributed", "cftime", "matplotlib")


class Teller(Protocol):
    """How the demo speaks: a line for each stage, and how far a long one is."""

    def say(self, text: str) -> object:
        """Tell that something has been reached."""
        ...

    def bar(self, text: str, done: int, total: int) -> object:
        """Show how far a stage is."""
        ...


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a user chose. `folder` gets the picture and the report, None: where the output is."""

    ask: jobs.Ask = field(default_factory=jobs.Ask)
    environment: str | None = None
    generated: bool = False
    fresh: bool = False
    folder: Path | None = None


@dataclass(frozen=True)
class Places:
    """Where the demo writes: the folder on scratch, and the one of picture and report."""

    scratch: Path
    pictures: Path

    def all(self) -> dict[str, str]:
        """Return the path of everything that stays."""
        return {
            "picture": str(self.pictures / report.PICTURE),
            "output": str(self.scratch / ENSEMBLE),
            "input": str(self.scratch / MONTHLY),
            "report": str(self.pictures / report.MARKDOWN),
        }


def run(site: Site, person: Person, choices: Choices, tell: Teller) -> dict[str, Any]:
    """Run the demo and return its report.

    Raise UsageError for missing libraries, what `launch` raises, JobFailed with the job's last
    words, and StoppedInTime if it has to be run again.
    """
    timeline = Timeline(now())
    check(_NEEDED)
    found = source.choose(choices.generated)
    if not found.generated:
        check(("netCDF4",))
    tell.say(found.describe())
    timeline.reach("found")
    suffix = "-generated" if found.generated else ""
    places = _places(site, person, choices, FOLDER + suffix)
    order = job.Order(
        name=RUN + suffix,
        place=places.scratch,
        digest=found.digest,
        ask=choices.ask,
        environment=choices.environment,
        fresh=choices.fresh,
    )
    submitted, moved = job.join(site, person, order), (0, 0)
    if submitted is None:
        job.refuse(site, person, order)
        moved = ensure_months(found, places.scratch / MONTHLY, tell)
        timeline.reach("merged")
        submitted = job.submit(site, person, order)
    timeline.reach("submitted", submitted.moment)
    _tell_submitted(submitted, tell)
    status = _to_the_end(site, person, submitted, tell)
    follow.refuse_failure(status, submitted.folder, submitted.job.output)
    follow.moments(submitted.folder, submitted.job, status, timeline)
    tell.say(f"job {status.id} is done; drawing the picture")
    ensemble = _draw(places)
    timeline.reach("drawn")
    told = _report(site, person, timeline, submitted, status, ensemble) | {
        "bytes": _bytes(moved, places),
        "paths": places.all(),
    }
    report.write(told, places.pictures)
    return told


def check(needed: tuple[str, ...]) -> None:
    """Raise UsageError for libraries that are not installed."""
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        text = f"the demo needs libraries that are not installed: {', '.join(missing)}"
        raise UsageError(text, hint="pip install 'pangeo-hpc[demo]'")


def ensure_months(found: source.Source, store: Path, tell: Teller) -> tuple[int, int]:
    """Make the months on scratch unless they are there whole; return bytes read and written."""
    monthly.sweep(store)
    if monthly.is_there(store, found.digest):
        tell.say(f"its months are on scratch already: {store}")
        return 0, 0
    series, left_out = found.series(tell.bar)
    for each in left_out:
        tell.say(f"not merged: {each.model}: {each.reason}")
    about = monthly.About(found.origin, found.digest, found.generated, tuple(left_out))
    monthly.write(monthly.merge(series, about), store)
    size = monthly.size(store)
    tell.say(f"{len(series)} models on scratch: {store} ({format_memory(size)})")
    return found.bytes, size


def _places(site: Site, person: Person, choices: Choices, name: str) -> Places:
    place = files.make_directory(scratch.root(site, person) / name, mode=0o700)
    return Places(place, files.make_directory((choices.folder or place).absolute()))


def _tell_submitted(submitted: job.Submitted, tell: Teller) -> None:
    name, job_id, request = submitted.folder.name, submitted.job.id, submitted.job.request
    if submitted.joined:
        tell.say(f"run {name} is there already as job {job_id}; following it")
        return
    nodes, cores = request["nodes"], request["cores"]
    what = f"{nodes} node{'s' if nodes != 1 else ''} with {cores} cores each"
    how = "goes on" if submitted.goes_on else "submitted"
    tell.say(f"run {name} {how} as job {job_id}: node type {request['node_type']}, {what}")


def _to_the_end(site: Site, person: Person, submitted: job.Submitted, tell: Teller) -> "JobStatus":
    """Follow the job; the job goes on if somebody stops to watch."""
    follower = follow.Follower(
        submitted.folder,
        submitted.job,
        lambda: states_of(site, person, [submitted.job], patience=3.0)[0],
        say=tell.say,
        bar=tell.bar,
    )
    try:
        return follower.to_the_end()
    except KeyboardInterrupt:
        name = submitted.folder.name
        tell.say(f"job {submitted.job.id} goes on; see: pangeo-hpc runs show {name}")
        tell.say("hint: run the same command again to follow it to the picture and the report")
        raise


def _draw(places: Places) -> "xr.Dataset":
    """Draw the picture of the output and return the output, in memory."""
    import xarray as xr

    from pangeo_hpc.demo.picture import draw

    with xr.open_zarr(places.scratch / ENSEMBLE, chunks=None) as ds:
        ensemble: xr.Dataset = ds.load()
    draw(ensemble, places.pictures / report.PICTURE)
    return ensemble


def _report(
    site: Site,
    person: Person,
    timeline: Timeline,
    submitted: job.Submitted,
    status: "JobStatus",
    ensemble: "xr.Dataset",
) -> dict[str, Any]:
    return {
        "format": 1,
        "made_by": f"pangeo-hpc {__version__}",
        "site": site.name,
        "user": person.user,
        "run": submitted.folder.name,
        "begun": timeline.began.isoformat(timespec="seconds"),
        "wall_seconds": round((now() - timeline.began).total_seconds(), 2),
        "submit_to_first_unit_seconds": timeline.since("submitted", "first_unit"),
        "stages": timeline.seconds(),
        "job": report.of_job(submitted.job.request, status),
        "data": report.of_models(ensemble),
        "results": report.of_results(ensemble),
        "purge": report.of_purge(site, now()),
    }


def _bytes(moved: tuple[int, int], places: Places) -> dict[str, int]:
    """Return what was read and written by front end (`moved`) and job, in bytes on the disk."""
    read, written = moved
    months = monthly.size(places.scratch / MONTHLY)
    result = monthly.size(places.scratch / ENSEMBLE)
    return {
        "files": read,
        "input": months,
        "output": result,
        "read": read + months,
        "written": written + result,
    }
