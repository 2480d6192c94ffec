"""Who follows a run that is computed until done: noted with it, and told if it does so in vain.

A follower is taken out of the queue where it is known early that there is nothing to wait for.
"""

import hashlib
from contextlib import suppress
from pathlib import Path

from pangeo_hpc import files, jobs
from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.run import Runner, run
from pangeo_hpc.site import Person, Site
from pangeo_hpc.workflow.follow import REASON, follow
from pangeo_hpc.workflow.runs import RunFolder
from pangeo_hpc.workflow.until_done.cancel import cancel
from pangeo_hpc.workflow.until_done.decide import Decision, Standing
from pangeo_hpc.workflow.until_done.followed import After
from pangeo_hpc.workflow.until_done.record import Chain, end

# In a run's folder: a file for each attempt of another run that follows it.
FOLLOWERS = "followers"
IN_VAIN = "what it was to follow did not succeed"


def note(after: After, attempt: Path) -> None:
    """Let the runs that an attempt follows know of it."""
    mark = hashlib.sha256(str(attempt).encode()).hexdigest()[:16]
    for each in after.runs:
        place = files.make_directory(Path(each.folder) / FOLLOWERS, mode=0o700)
        kept = {"format": 1, "attempt": str(attempt), "first": each.first}
        files.write_json(place / f"{mark}.json", kept)


def drop(
    site: Site, person: Person, folder: RunFolder, decision: Decision, *, runner: Runner = run
) -> list[str]:
    """Take those out of the queue that wait for a run which ended without being complete.

    Return the names of their runs. What cannot be cancelled finds out itself when it begins.
    """
    if decision.standing is Standing.COMPLETE:
        return []
    chain = Chain.read(folder)
    first = chain.numbers[0] if chain and chain.numbers else None
    dropped = []
    for path in sorted((folder.path / FOLLOWERS).glob("*.json")):
        try:
            kept = files.read_json(path)
        except FileNotFoundError:
            # somebody else is just doing the same
            continue
        place = Path(kept["attempt"])
        if kept["first"] != first or not (place / "job.json").exists():
            continue
        job = jobs.Job.read(place)
        if _waits(site, person, job, runner):
            refuse(place, folder, decision)
            _cancel(site, person, job, runner)
            dropped.append(place.parent.parent.name)
        elif not job.exit_file.exists() and jobs.Job.read(place).final is None:
            # it may be asked about again
            continue
        path.unlink(missing_ok=True)
    return dropped


def refuse(attempt: Path, folder: RunFolder, decision: Decision) -> str:
    """Write down why an attempt does not begin; return it in words."""
    why = f": {decision.why}" if decision.why else ""
    words = f"{IN_VAIN}: run {folder.name} {_WORDS[decision.standing]}{why}"
    files.write_atomic(attempt / REASON, f"{words}\n")
    mine = RunFolder(attempt.parent.parent)
    chain = Chain.read(mine)
    if chain is not None and int(attempt.name) in chain.numbers:
        end(mine, Decision(Standing.FAILED, words))
    return words


_WORDS = {
    Standing.GOES_ON: "is not complete",
    Standing.COMPLETE: "is complete",
    Standing.FAILED: "failed",
    Standing.LEFT: "stopped with work left",
}


def _waits(site: Site, person: Person, job: jobs.Job, runner: Runner) -> bool:
    if job.id is None or job.final is not None or job.exit_file.exists():
        return False
    with suppress(PangeoHpcError):
        return follow(site, person, [job], runner=runner, patience=1.0)[0].state.waiting
    return False


def _cancel(site: Site, person: Person, job: jobs.Job, runner: Runner) -> None:
    mine = RunFolder(job.folder.parent.parent)
    chain = Chain.read(mine)
    with suppress(PangeoHpcError):
        if chain is not None and int(job.folder.name) in chain.numbers:
            cancel(site, person, mine, all_=True, runner=runner)
        else:
            scheduler = jobs.scheduler_named(site, str(job.request["scheduler"]), person)
            jobs.cancel(scheduler, [str(job.id)], runner=runner)
