"""Submit the demo's batch job, or join the one that is there."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from pangeo_hpc import files, jobs
from pangeo_hpc.demo.source import SCRIPT
from pangeo_hpc.demo.timeline import now
from pangeo_hpc.errors import RunBusy
from pangeo_hpc.schedulers.base import JobState
from pangeo_hpc.site import Person, Site
from pangeo_hpc.units import format_walltime
from pangeo_hpc.workflow import launch, runs
from pangeo_hpc.workflow.follow import follow

# What is asked for if nothing else is: short jobs start sooner.
WALLTIME = timedelta(minutes=15)


@dataclass(frozen=True)
class Submitted:
    """The demo's job and its run; `joined` if it was there already."""

    folder: runs.RunFolder
    job: jobs.Job
    joined: bool = False
    goes_on: bool = False

    @property
    def moment(self) -> datetime:
        """Return when the job was submitted; in whole seconds if it was there already."""
        return datetime.fromisoformat(self.job.submitted) if self.joined else now()


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to submit: a run's name, its folder on scratch, and the digest of its input."""

    name: str
    place: Path
    digest: str
    ask: jobs.Ask
    environment: str | None = None
    fresh: bool = False

    @property
    def script(self) -> launch.Script:
        """Return the script: a copy on scratch, which compute nodes see and users may read."""
        return launch.Script(
            path=self.place / SCRIPT.name,
            arguments=(self.place.name, self.digest),
            environment=self.environment,
            name=self.name,
        )


def join(site: Site, person: Person, order: Order) -> Submitted | None:
    """Return the job of this run that waits or runs already, None if there is none.

    Raise RunBusy if it computes something else: its input must not change under it.
    """
    folder = runs.RunFolder(runs.home(site, person) / order.name)
    last = folder.jobs()[-1:]
    if not last or follow(site, person, last)[0].state.ended:
        return None
    # it may have got its id by being looked up just now
    job = folder.jobs()[-1]
    if not _same(folder, order.script):
        text = f"run {folder.name} is there already as job {job.id}, on other data"
        hint = f"wait for it (pangeo-hpc runs wait {folder.name}), or cancel it"
        raise RunBusy(text, hint=hint)
    return Submitted(folder, job, joined=True)


def refuse(site: Site, person: Person, order: Order) -> None:
    """Raise RequestRefused, or UnknownName, for a job that cannot be; put its script in place."""
    copy = order.place / SCRIPT.name
    if not copy.is_file() or copy.read_bytes() != SCRIPT.read_bytes():
        files.write_atomic(copy, SCRIPT.read_bytes())
    launch.request_for(site, person, order.script, with_defaults(site, order.ask))


def submit(site: Site, person: Person, order: Order) -> Submitted:
    """Submit the job; it goes on where an earlier one did not get to its end.

    A demo that was completed, or that computed something else, is started over. Raise what
    `launch` raises.
    """
    folder = runs.RunFolder(runs.home(site, person) / order.name)
    last = folder.jobs()[-1:]
    state = follow(site, person, last)[0].state if last else None
    goes_on = (
        state not in (None, JobState.COMPLETED) and not order.fresh and _same(folder, order.script)
    )
    folder, job = launch.launch(
        site, person, order.script, with_defaults(site, order.ask), force=not goes_on
    )
    return Submitted(folder, job, goes_on=goes_on)


def with_defaults(site: Site, ask: jobs.Ask) -> jobs.Ask:
    """Return a request with what the demo chooses where the user did not.

    The node type is one for batch jobs, and the walltime short.
    """
    name = ask.node_type
    if name is None and "batch" not in site.node_type().uses:
        name = next((key for key, node in site.node_types.items() if "batch" in node.uses), None)
    walltime = ask.walltime
    if walltime is None:
        walltime = format_walltime(min(WALLTIME, site.node_type(name).walltime))
    return replace(ask, node_type=name, walltime=walltime)


def _same(folder: runs.RunFolder, script: launch.Script) -> bool:
    """Tell whether a run is of this script on this input."""
    record = folder.record
    asked = {"script": str(script.path), "arguments": list(script.arguments)}
    return all(record[key] == value for key, value in asked.items())
