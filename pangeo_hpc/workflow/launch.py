"""Submit a script as a batch job of a run."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from pangeo_hpc import envs, files, jobs, scratch
from pangeo_hpc.errors import RunBusy, UsageError
from pangeo_hpc.run import Runner, run
from pangeo_hpc.schedulers.base import JobRequest, JobState
from pangeo_hpc.schedulers.script import render
from pangeo_hpc.site import Person, Site
from pangeo_hpc.workflow import runs
from pangeo_hpc.workflow.follow import follow
from pangeo_hpc.workflow.notebooks import notebook as notebooks
from pangeo_hpc.workflow.provenance import record as provenance
from pangeo_hpc.workflow.until_done.followed import NOTHING, After
from pangeo_hpc.workflow.until_done.followers import note


@dataclass(frozen=True, kw_only=True)
class Script:
    """A program to run: a Python file or a notebook, its arguments, and the run's name.

    The arguments of a notebook are its parameters, as ``name=value``. It runs in `directory`, by
    default the present one, with some more variables (`exports`).
    """

    path: Path
    arguments: tuple[str, ...] = ()
    environment: str | None = None
    name: str | None = None
    directory: Path | None = None
    exports: Mapping[str, str] = field(default_factory=dict)
    keep: bool = False

    @property
    def variables(self) -> dict[str, str]:
        """Return what the script is told of how to treat what is there."""
        return {"PANGEO_HPC_KEEP": "1"} if self.keep else {}

    @property
    def run_name(self) -> str:
        """Return the run's name: the given one, else the file's."""
        return self.name or self.path.stem


def check(script: Script) -> Path:
    """Return the script's absolute path.

    Raise UsageError if it cannot be run at all, RequestRefused for parameters of a notebook that
    are none.
    """
    path = script.path.absolute()
    if path.suffix != ".py" and not notebooks.is_notebook(path):
        text = f"{script.path} is neither a Python script nor a notebook"
        raise UsageError(text, hint="give a file ending in .py or .ipynb")
    if not path.is_file():
        raise UsageError(f"{script.path} is not there", hint=f"looked in {path.parent}")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{script.path} cannot be read", hint="check its permissions")
    if notebooks.is_notebook(path):
        notebooks.check(path, script.arguments)
    return path


def command(script: Script, environment: envs.Environment) -> tuple[str, ...]:
    """Return the command that computes a script or a notebook in an environment."""
    path = check(script)
    program = ("-m", notebooks.PROGRAM) if notebooks.is_notebook(path) else ()
    return (str(environment.python), *program, str(path), *script.arguments)


def warnings(script: Script) -> list[str]:
    """Return what is odd in a script, and yet no error: parameters that a notebook lacks."""
    path = check(script)
    return notebooks.check(path, script.arguments) if notebooks.is_notebook(path) else []


def request_for(
    site: Site,
    person: Person,
    script: Script,
    ask: jobs.Ask,
    *,
    after: After = NOTHING,
    folder: runs.RunFolder | None = None,
    attempt: int = 1,
    force: bool = False,
) -> JobRequest:
    """Return the job of one attempt; nothing is written and nothing submitted.

    Without a run folder, the one the run would get is named, for a preview.
    """
    environment = envs.resolve(site, script.environment, person)
    refuse_without_notebooks(script, environment)
    place = folder or runs.RunFolder(runs.home(site, person) / script.run_name)
    request = jobs.plan(
        site,
        ask,
        name=script.run_name,
        command=command(script, environment),
        person=person,
        setup=environment.setup,
        environment={
            **environment.variables,
            **variables(site, person, place, attempt, force=force),
            **script.variables,
            "PYTHONUNBUFFERED": "1",
            **script.exports,
        },
        working_directory=script.directory or Path.cwd(),
        folder=place.attempt(attempt),
        after=after.succeeded,
    )
    look = after.look(environment.python, place.attempt(attempt))
    return replace(request, after_end=after.ended, setup=(*request.setup, *look))


def refuse_without_notebooks(script: Script, environment: envs.Environment) -> None:
    """Raise UsageError if a notebook is to be computed by this very Python, which lacks papermill.

    Of another environment its job tells.
    """
    if not notebooks.is_notebook(script.path) or environment.name != envs.CURRENT:
        return
    lacking = [name for name in notebooks.NEEDED if find_spec(name) is None]
    if lacking:
        text = f"{environment.python} cannot compute notebooks: it has no {', no '.join(lacking)}"
        raise UsageError(text, hint=notebooks.INSTALL)


def variables(
    site: Site, person: Person, folder: runs.RunFolder, attempt: int, *, force: bool = False
) -> dict[str, str]:
    """Return what a run's process is told through its environment; none of it is secret."""
    told = {
        runs.RUN: str(folder.path),
        runs.ATTEMPT: str(attempt),
        "PANGEO_HPC_SITE": str(folder.site_file),
        **scratch.variable(site, person),
    }
    return told | ({"PANGEO_HPC_FORCE": "1"} if force else {})


def preview(
    site: Site, person: Person, script: Script, ask: jobs.Ask, *, after: After = NOTHING
) -> str:
    """Return the job script that `launch` would submit."""
    request = request_for(site, person, script, ask, after=after)
    scheduler = jobs.scheduler_named(site, request.scheduler, person)
    return render(scheduler.directives(request), request)


def launch(
    site: Site,
    person: Person,
    script: Script,
    ask: jobs.Ask,
    *,
    after: After = NOTHING,
    force: bool = False,
    runner: Runner = run,
) -> tuple[runs.RunFolder, jobs.Job]:
    """Submit the next attempt of a run and return its folder and its job.

    Raise RequestRefused before anything is written, RunBusy if an attempt is queued or running, and
    the errors of `jobs.submit`.
    """
    request_for(site, person, script, ask, after=after)
    place = files.make_directory(runs.home(site, person) / script.run_name, mode=0o700)
    busy = "wait for that one; pangeo-hpc runs list shows it"
    with jobs.alone(place, f"run {script.run_name}", busy):
        # a run that is alive keeps its script and its site as they are
        refuse_if_busy(site, person, runs.RunFolder(place), runner=runner)
        folder = runs.open_run(
            site,
            person,
            script.run_name,
            script=check(script),
            arguments=script.arguments,
            force=force,
        )
        number, place = folder.new_attempt()
        request = request_for(
            site, person, script, ask, after=after, folder=folder, attempt=number, force=force
        )
        provenance.note_submission(
            folder.path,
            place,
            check(script),
            ask,
            environment=script.environment,
            directory=script.directory or Path.cwd(),
        )
        note(after, place)
        scheduler = jobs.scheduler_named(site, request.scheduler, person)
        return folder, jobs.submit(scheduler, request, place, user=person.user, runner=runner)


def refuse_if_busy(
    site: Site, person: Person, folder: runs.RunFolder, *, runner: Runner = run
) -> None:
    """Raise RunBusy if an attempt of this run is queued or running, or may be."""
    from pangeo_hpc.workflow.until_done.record import waiting

    for job in (*folder.jobs(), *waiting(folder)):
        if job.final is not None:
            continue
        status = follow(site, person, [job], runner=runner)[0]
        # what a job that is ending still holds, its lease guards
        if status.state.ended or status.state is JobState.ENDING:
            continue
        text = f"run {folder.name} is {status.state} as job {job.id or job.name}"
        hint = (
            f"wait for it (pangeo-hpc runs wait {folder.name}), cancel it, or give another --name"
        )
        raise RunBusy(text, hint=hint)


def command_line(record: Mapping[str, object]) -> str:
    """Return what a person would type to run the script by hand."""
    arguments = record.get("arguments")
    words = [str(record.get("script") or "-"), *(arguments if isinstance(arguments, list) else [])]
    return shlex.join(words)
