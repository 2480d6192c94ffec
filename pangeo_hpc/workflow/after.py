"""What a job is to wait for: runs by name, and jobs by id.

A job that waits starts once those before it succeeded. One of which it is known that it never will
is refused with the reason, instead of waiting in the queue for ever.
"""

from collections.abc import Iterable
from dataclasses import replace

from pangeo_hpc import jobs
from pangeo_hpc.errors import Exit, PangeoHpcError, Problem, RequestRefused, UnknownName
from pangeo_hpc.run import Runner, run
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.site import Person, Site
from pangeo_hpc.workflow import runs
from pangeo_hpc.workflow.follow import follow, standing
from pangeo_hpc.workflow.until_done.decide import Standing
from pangeo_hpc.workflow.until_done.follow import View, look
from pangeo_hpc.workflow.until_done.followed import NOTHING, After, Followed
from pangeo_hpc.workflow.until_done.record import newest


def resolve(
    site: Site,
    person: Person,
    references: Iterable[str],
    *,
    node_type: str | None,
    runner: Runner = run,
) -> After:
    """Return the jobs to wait for; runs that are complete need no waiting.

    A reference is the name of a run, of a chain or a chain's step, the id of a job, or several of
    these with commas between.
    `node_type` is that of the job that is to wait. Raise RequestRefused with every reference that
    cannot be waited for.
    """
    scheduler = site.scheduler_of(site.node_type(node_type))[0]
    problems: list[Problem] = []
    after = NOTHING
    for reference in (word for words in references for word in words.split(",") if word):
        try:
            found = _of_step(site, person, reference, scheduler, runner)
            if found is None:
                found = _job(site, person, reference, scheduler, runner)
        except RequestRefused as error:
            problems += error.problems
        except PangeoHpcError as error:
            problems.append(Problem("after", error.text, error.hint))
        else:
            after += found
    if problems:
        raise RequestRefused(problems)
    return after


def _job(site: Site, person: Person, reference: str, scheduler: str, runner: Runner) -> After:
    """Return what a reference to a run or to a job means."""
    try:
        folder = runs.find(site, person, reference)
    except UnknownName:
        if not reference[:1].isdigit():
            raise
        return _succeeded(_foreign(site, person, reference, scheduler, runner))
    if _means_chain(folder, reference):
        view = look(site, person, folder, runner=runner)
        if view is not None:
            return after_chain(folder, view, scheduler)
    attempts = folder.jobs()
    named = [job for job in attempts if job.id and runs.same_id(job.id, reference)] or attempts
    if not named:
        raise UnknownName(f"run {folder.name} was never submitted", hint="submit it first")
    told = follow(site, person, named, runner=runner)
    job, status = standing(zip(named, told, strict=True))
    # an id may have been found just now
    job = jobs.Job.read(job.folder)
    problem = fault(folder.name, job, status, scheduler)
    if problem:
        raise RequestRefused([problem])
    return _succeeded(None if status.state is JobState.COMPLETED else job.id)


def _succeeded(job_id: str | None) -> After:
    return After(succeeded=(job_id,)) if job_id else NOTHING


def _of_step(
    site: Site, person: Person, reference: str, scheduler: str, runner: Runner
) -> After | None:
    """Return the jobs of a chain, or of a step of several items; None if it is neither.

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
        seen = Look(site, person, folder, runner)
        told = {name: fault(name, *pair, scheduler) for name, pair in seen.standing(names).items()}
        problems = [problem for problem in told.values() if problem]
        if problems:
            raise RequestRefused(problems)
        return seen.before(names)[1]
    return None


def _means_chain(folder: runs.RunFolder, reference: str) -> bool:
    """Tell whether a run, or a job of it, is one that is computed until done."""
    chain = newest(folder)
    if chain is None or reference == folder.name:
        return chain is not None
    return any(job.id and runs.same_id(job.id, reference) for job in chain.jobs(folder))


def after_chain(folder: runs.RunFolder, view: View, scheduler: str) -> After:
    """Return what waits for a run that is computed until done: the end of all its jobs.

    Raise RequestRefused if it ended without being complete, or may get further jobs.
    """
    decision, chain = view.decision, view.chain
    if decision.standing is Standing.COMPLETE:
        return NOTHING
    if decision.over:
        text = f"run {folder.name} {_ENDED[decision.standing]} ({decision.why})"
        hint = f"submit {folder.name} again first, then this one after it"
        raise RequestRefused([Problem("after", f"{text}, so this would never start", hint)])
    problem = fault(folder.name, view.job, replace(view.status, state=JobState.PENDING), scheduler)
    most = chain.limits.attempts
    if problem is None and len(chain.numbers) < most:
        text = (
            f"the queue took {len(chain.numbers)} of the {most} jobs of run {folder.name}: "
            "which is last is not known"
        )
        hint = (
            f"pangeo-hpc runs wait {folder.name}, and then submit this one; or let it have at "
            f"most {len(chain.numbers)} --attempts"
        )
        problem = Problem("after", text, hint)
    if problem:
        raise RequestRefused([problem])
    ids = tuple(job.id for job in view.left if job.id)
    if len(ids) < len(view.left):
        text = f"it is not clear whether all jobs of run {folder.name} were taken"
        hint = f"the same again once the scheduler answers; pangeo-hpc runs show {folder.name}"
        raise RequestRefused([Problem("after", text, hint)])
    return After(ended=ids, runs=(Followed(str(folder.path), chain.numbers[0]),))


_ENDED = {Standing.FAILED: "did not succeed", Standing.LEFT: "stopped with work left"}


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
