"""What a job is to wait for: runs by name, and jobs by id.

A job that waits starts once those before it succeeded. One of which it is known that it never will
is refused with the reason, instead of waiting in the queue for ever.
"""

from collections.abc import Iterable

from pangeo_hpc import jobs
from pangeo_hpc.errors import Exit, PangeoHpcError, Problem, RequestRefused, UnknownName
from pangeo_hpc.run import Runner, run
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.site import Person, Site
from pangeo_hpc.workflow import runs
from pangeo_hpc.workflow.follow import follow, standing
from pangeo_hpc.workflow.until_done.record import Chain


def resolve(
    site: Site,
    person: Person,
    references: Iterable[str],
    *,
    node_type: str | None,
    runner: Runner = run,
) -> tuple[str, ...]:
    """Return the ids of the jobs to wait for; runs that are complete need no waiting.

    A reference is the name of a run, of a chain or a chain's step, the id of a job, or several of
    these with commas between.
    `node_type` is that of the job that is to wait. Raise RequestRefused with every reference that
    cannot be waited for.
    """
    scheduler = site.scheduler_of(site.node_type(node_type))[0]
    problems: list[Problem] = []
    ids: dict[str, None] = {}
    for reference in (word for words in references for word in words.split(",") if word):
        try:
            found = _of_step(site, person, reference, scheduler, runner)
            if found is None:
                job_id = _job(site, person, reference, scheduler, runner)
                found = [job_id] if job_id else []
        except RequestRefused as error:
            problems += error.problems
        except PangeoHpcError as error:
            problems.append(Problem("after", error.text, error.hint))
        else:
            ids |= dict.fromkeys(found)
    if problems:
        raise RequestRefused(problems)
    return tuple(ids)


def _job(site: Site, person: Person, reference: str, scheduler: str, runner: Runner) -> str | None:
    """Return the id of the job a reference means, None if there is nothing to wait for."""
    try:
        folder = runs.find(site, person, reference)
    except UnknownName:
        if not reference[:1].isdigit():
            raise
        return _foreign(site, person, reference, scheduler, runner)
    attempts = folder.jobs()
    named = [job for job in attempts if job.id and runs.same_id(job.id, reference)] or attempts
    if not named:
        raise UnknownName(f"run {folder.name} was never submitted", hint="submit it first")
    told = follow(site, person, named, runner=runner)
    job, status = standing(zip(named, told, strict=True))
    # an id may have been found just now
    job = jobs.Job.read(job.folder)
    problem = fault(folder.name, job, status, scheduler) or _of_chain(folder, status)
    if problem:
        raise RequestRefused([problem])
    return None if status.state is JobState.COMPLETED else job.id


def _of_step(
    site: Site, person: Person, reference: str, scheduler: str, runner: Runner
) -> list[str] | None:
    """Return the ids of the jobs of a chain, or of a step of several items; None if it is neither.

    Raise RequestRefused with each of its runs that nothing can wait for.
    """
    from pangeo_hpc.workflow.chains.look import Look
    from pangeo_hpc.workflow.chains.store import ChainFolder

    parts = reference.split(".")
    for end in range(len(parts), 0, -1):
        folder = ChainFolder.of(site, person, ".".join(parts[:end]))
        names = [name for name in folder.newest() if f"{name}.".startswith(f"{reference}.")]
        if not names or names == [reference]:
            continue
        look = Look(site, person, folder, runner)
        told = {name: fault(name, *pair, scheduler) for name, pair in look.standing(names).items()}
        problems = [problem for problem in told.values() if problem]
        if problems:
            raise RequestRefused(problems)
        return look.before(names)[1]
    return None


def _of_chain(folder: runs.RunFolder, status: JobStatus) -> Problem | None:
    """Return why nothing can wait for a run that goes on in further jobs until it is complete.

    Which of its jobs completes it is not known before.
    """
    chain = Chain.read(folder)
    if status.state is JobState.COMPLETED or chain is None or chain.over:
        return None
    text = f"run {folder.name} goes on in further jobs until it is done: which is last is not known"
    hint = f"pangeo-hpc runs wait {folder.name}, and then submit this one"
    return Problem("after", text, hint)


def _foreign(site: Site, person: Person, job_id: str, scheduler: str, runner: Runner) -> str | None:
    """Return the id of a job that is none of our runs, None if it has succeeded.

    An array counts as a whole. Raise RequestRefused if nothing can wait for it.
    """
    known = jobs.status(
        jobs.scheduler_named(site, scheduler, person), [job_id], runner=runner
    ).values()
    bad = [status for status in known if status.state.ended and not _good(status)]
    if not bad:
        return None if all(_good(status) for status in known) else job_id
    text = f"job {job_id} did not succeed ({bad[0].state})"
    hint = "nothing that waits for it would ever start"
    if bad[0].state is JobState.LOST:
        text = f"there is no run {job_id!r}, and {scheduler} knows no such job"
        hint = "if it succeeded a while ago, leave it out; `pangeo-hpc runs list` shows the runs"
    raise RequestRefused([Problem("after", text, hint)])


def _good(status: JobStatus) -> bool:
    return status.state is JobState.COMPLETED


def fault(name: str, job: jobs.Job, status: JobStatus, scheduler: str) -> Problem | None:
    """Return why nothing can wait for a run's attempt, None if something can."""
    if status.state is JobState.COMPLETED:
        return None
    if status.exit_code == Exit.RUN_AGAIN and status.state.ended:
        text = f"run {name} stopped in time and has work left"
        return Problem("after", text, f"submit {name} again first, then this one after it")
    if status.state.ended:
        told = f": {status.reason}" if status.reason else ""
        text = f"run {name} did not succeed ({status.state}{told}), so this would never start"
        return Problem("after", text, f"see pangeo-hpc runs show {name}; submit it again first")
    if job.id is None:
        known = "it is not clear whether its job was taken"
        text = f"run {name} has no job to wait for: "
        text += "it runs in none" if job.state == "here" else known
        return Problem("after", text, f"pangeo-hpc runs wait {name} waits for it here")
    if job.request.get("scheduler") != scheduler:
        text = f"run {name} is a job of {job.request.get('scheduler')}, this one of {scheduler}"
        return Problem("after", text, "a scheduler knows only its own jobs: wait for it yourself")
    return None
