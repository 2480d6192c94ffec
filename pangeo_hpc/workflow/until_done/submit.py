"""Submit the attempts of a run ahead, each to follow the one before unless that one completed.

The jobs wait in the queue from the start, so that no attempt needs the scheduler's commands on its
node, and none is lost with a login session. Once an attempt completes, the scheduler drops those
that wait for its failure.
"""

import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from pangeo_hpc import files, jobs
from pangeo_hpc.errors import PangeoHpcError, SchedulerError, UsageError
from pangeo_hpc.run import Runner, run
from pangeo_hpc.schedulers.base import JobRequest, JobState
from pangeo_hpc.schedulers.script import render
from pangeo_hpc.site import Person, Site
from pangeo_hpc.workflow import launch, runs
from pangeo_hpc.workflow.follow import follow
from pangeo_hpc.workflow.provenance import record as provenance
from pangeo_hpc.workflow.provenance.repository import Repositories
from pangeo_hpc.workflow.until_done.decide import Limits
from pangeo_hpc.workflow.until_done.followed import NOTHING, After
from pangeo_hpc.workflow.until_done.followers import note
from pangeo_hpc.workflow.until_done.job import OVER
from pangeo_hpc.workflow.until_done.record import Chain, changing

MOST = 100


def check(limits: Limits) -> Limits:
    """Return limits that make sense. Raise UsageError for others."""
    if not 1 <= limits.attempts <= MOST:
        text = f"--attempts {limits.attempts} is not between 1 and {MOST}"
        raise UsageError(text, hint="each attempt is a job that waits in the queue")
    if limits.core_hours is not None and limits.core_hours <= 0:
        raise UsageError(f"--core-hours {limits.core_hours:g} is not more than 0")
    return limits


def launch_chain(
    site: Site,
    person: Person,
    script: launch.Script,
    ask: jobs.Ask,
    limits: Limits,
    *,
    after: After = NOTHING,
    force: bool = False,
    runner: Runner = run,
) -> tuple[runs.RunFolder, list[jobs.Job]]:
    """Submit all attempts that a run may need and return its folder and their jobs.

    Where the queue takes fewer, those it took are returned, and `extend` adds to them later. Raise
    what `launch.launch` raises, if not even the first job was taken.
    """
    check(limits)
    launch.request_for(site, person, script, ask, after=after)
    place = files.make_directory(runs.home(site, person) / script.run_name, mode=0o700)
    with jobs.alone(place, f"run {script.run_name}", "pangeo-hpc runs list shows it"):
        launch.refuse_if_busy(site, person, runs.RunFolder(place), runner=runner)
        folder = runs.open_run(
            site,
            person,
            script.run_name,
            script=launch.check(script),
            arguments=script.arguments,
            force=force,
        )
        begin_chain(
            site, person, folder, script, ask, limits, after=after, force=force, runner=runner
        )
    chain = Chain.read(folder)
    return folder, chain.jobs(folder) if chain else []


def begin_chain(
    site: Site,
    person: Person,
    folder: runs.RunFolder,
    script: launch.Script,
    ask: jobs.Ask,
    limits: Limits,
    *,
    after: After = NOTHING,
    force: bool = False,
    claimed: tuple[int, Path] | None = None,
    git: Repositories | None = None,
    runner: Runner = run,
) -> None:
    """Submit the attempts of a run, of which one may be claimed already, as far as the queue goes.

    The caller holds the run's `jobs.alone`. Raise the scheduler's error if not even the first one
    was taken.
    """
    began, git = datetime.now(UTC).isoformat(timespec="seconds"), git or Repositories()
    told = {
        "ask": asdict(ask),
        "environment": script.environment,
        "directory": str(Path.cwd()),
        "after": after.as_dict(),
        "force": f"chain of {began}" if force else None,
        "keep": script.keep,
    }
    Chain(limits=limits, began=began, told=told).write(folder)
    _submit(site, person, folder, before=[], claimed=claimed, git=git, runner=runner)
    with suppress(SchedulerError):
        _submit_rest(site, person, folder, git=git, runner=runner)


def extend(site: Site, person: Person, folder: runs.RunFolder, *, runner: Runner = run) -> None:
    """Submit what the queue did not take before, as far as it does now."""
    chain = Chain.read(folder)
    if chain is None or chain.over or len(chain.numbers) >= chain.limits.attempts:
        return
    with jobs.alone(folder.path, f"run {folder.name}", "pangeo-hpc runs list shows it"):
        _submit_rest(site, person, folder, git=Repositories(), runner=runner)


def preview(
    site: Site, person: Person, script: launch.Script, ask: jobs.Ask, *, after: After = NOTHING
) -> str:
    """Return the job script of the first attempt."""
    request = _prepared(launch.request_for(site, person, script, ask, after=after))
    scheduler = jobs.scheduler_named(site, request.scheduler, person)
    return render(scheduler.directives(request), request)


def _submit_rest(
    site: Site, person: Person, folder: runs.RunFolder, *, git: Repositories, runner: Runner
) -> None:
    """Submit attempts until there are as many as the limit allows."""
    while (chain := Chain.read(folder)) and not chain.over:
        if len(chain.numbers) >= chain.limits.attempts:
            return
        _submit(
            site,
            person,
            folder,
            before=_to_follow(site, person, chain, folder, runner),
            git=git,
            runner=runner,
        )


def _to_follow(
    site: Site, person: Person, chain: Chain, folder: runs.RunFolder, runner: Runner
) -> list[str]:
    """Return the jobs that a further one waits for: those that have not ended.

    Not all schedulers take the id of a job that they have forgotten.
    """
    found = [job for job in chain.jobs(folder) if job.id]
    young = all(job.final is None and not job.exit_file.exists() for job in found)
    if young and len(found) == len(chain.numbers) and _just_begun(chain):
        return [str(job.id) for job in found]
    states = follow(site, person, found, runner=runner, patience=3.0)
    pairs = zip(found, states, strict=True)
    return [str(job.id) for job, s in pairs if not s.state.ended or s.state is JobState.LOST]


def _just_begun(chain: Chain) -> bool:
    return (datetime.now(UTC) - datetime.fromisoformat(chain.began)).total_seconds() < 20


def _submit(
    site: Site,
    person: Person,
    folder: runs.RunFolder,
    *,
    before: Sequence[str],
    claimed: tuple[int, Path] | None = None,
    git: Repositories,
    runner: Runner,
) -> jobs.Job:
    """Submit one more attempt of a chain, to start when the jobs before it ended in failure."""
    chain = Chain.read(folder)
    if chain is None:
        raise UsageError(f"run {folder.name} has no chain of attempts")
    told, record = chain.told, folder.record
    after = After.of(told["after"])
    script = launch.Script(
        path=Path(record["script"]),
        arguments=tuple(record["arguments"]),
        environment=told["environment"],
        name=folder.name,
        directory=Path(told["directory"]),
        keep=told["keep"],
    )
    ask = jobs.Ask(**told["ask"])
    number, place = claimed or folder.new_attempt()
    provenance.note_submission(
        folder.path,
        place,
        script.path,
        ask,
        environment=script.environment,
        directory=Path(told["directory"]),
        git=git,
    )
    request = launch.request_for(
        site,
        person,
        script,
        ask,
        after=After(runs=after.runs) if chain.numbers else after,
        folder=folder,
        attempt=number,
    )
    force = {"PANGEO_HPC_FORCE": told["force"]} if told["force"] else {}
    request = replace(
        _prepared(request),
        after_failure=tuple(before),
        environment={**request.environment, **force},
    )
    if chain.numbers:
        (place / runs.AHEAD).touch()
    else:
        note(after, place)
    with changing(folder):
        # noted before it is submitted: what has no answer yet is looked up by its name
        now = Chain.read(folder) or chain
        replace(now, numbers=(*now.numbers, number)).write(folder)
    scheduler = jobs.scheduler_named(site, request.scheduler, person)
    try:
        return jobs.submit(scheduler, request, place, user=person.user, runner=runner)
    except PangeoHpcError:
        job = jobs.Job.read(place) if (place / "job.json").exists() else None
        if job is None or job.state in ("refused", "not taken"):
            with changing(folder):
                now = Chain.read(folder) or chain
                kept = tuple(each for each in now.numbers if each != number)
                replace(now, numbers=kept).write(folder)
        raise


def _prepared(request: JobRequest) -> JobRequest:
    """Return a job that first looks whether it is needed, and how long it may compute."""
    python = request.command[0]
    look = shlex.join([python, "-P", "-m", "pangeo_hpc.workflow.until_done.job"])
    stop = f'{{ code=$?; [ "$code" -ne {OVER} ] || exit 0; exit "$code"; }}'
    return replace(request, setup=(*request.setup, f'PANGEO_HPC_ENDS="$({look})" || {stop}'))
