"""`--until-done`: submit all attempts a run may need, follow them, and tell how they ended."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pangeo_hpc.cli.context import Here
from pangeo_hpc.cli.ending import again, news, tail
from pangeo_hpc.errors import Exit, UsageError

if TYPE_CHECKING:
    from pangeo_hpc.jobs import Ask
    from pangeo_hpc.site import Person, Site
    from pangeo_hpc.workflow.launch import Script
    from pangeo_hpc.workflow.runs import RunFolder
    from pangeo_hpc.workflow.until_done.decide import Limits
    from pangeo_hpc.workflow.until_done.follow import View
    from pangeo_hpc.workflow.until_done.followed import After

F = TypeVar("F", bound=Callable[..., Any])


def until_done_options(command: F) -> F:
    """Add the options of a run that is submitted again until it is complete."""
    options = (
        click.option("--until-done", is_flag=True, help="Go on in further jobs until complete."),
        click.option("--attempts", type=int, metavar="N", help="At most N jobs (default: 10)."),
        click.option("--core-hours", type=float, metavar="H", help="At most H core-hours."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def limits_of(
    *, until_done: bool, attempts: int | None, core_hours: float | None
) -> "Limits | None":
    """Return the limits that were asked for, None without --until-done."""
    from pangeo_hpc.workflow.until_done.decide import ATTEMPTS, Limits
    from pangeo_hpc.workflow.until_done.submit import check

    if not until_done:
        if attempts is not None or core_hours is not None:
            raise UsageError("--attempts and --core-hours limit --until-done", hint="add it")
        return None
    most = ATTEMPTS if attempts is None else attempts
    return check(Limits(attempts=most, core_hours=core_hours))


def preview_chain(
    site: "Site", person: "Person", program: "Script", ask: "Ask", *, after: "After"
) -> str:
    """Return the script of the first job."""
    from pangeo_hpc.workflow.until_done.submit import preview

    return preview(site, person, program, ask, after=after)


def submit_chain(
    our: Here,
    program: "Script",
    ask: "Ask",
    limits: "Limits",
    *,
    after: "After",
    force: bool,
    wait: bool,
) -> int:
    """Submit the jobs of a run until it is done; with `wait`, follow them to the end."""
    from pangeo_hpc.workflow.until_done.submit import launch_chain

    folder, jobs = launch_chain(
        our.site, our.person, program, ask, limits, after=after, force=force
    )
    ids = [job.id for job in jobs]
    if len(ids) < limits.attempts:
        our.face.say(
            f"the queue took {len(ids)} of {limits.attempts} jobs; "
            f"`pangeo-hpc runs wait {folder.name}` adds more when they are needed"
        )
    if wait:
        our.face.say(f"run {folder.name}: submitted as job {ids[0]}, with {len(ids) - 1} to follow")
        return wait_for_chain(our, folder)
    if our.face.json:
        told = {"run": folder.name, "job": ids[0], "jobs": ids, "folder": str(folder.path)}
        our.face.data(told)
        return Exit.DONE
    our.face.out(f"run {folder.name} is job {ids[0]}; up to {len(ids) - 1} follow until it is done")
    our.face.say(f"follow it: pangeo-hpc runs wait {folder.name}, or runs show {folder.name}")
    return Exit.DONE


def is_chain(folder: "RunFolder", reference: str) -> bool:
    """Tell whether a person means a whole chain: by the run's name, and nothing came after it."""
    from pangeo_hpc.workflow.until_done.record import newest

    return reference == folder.name and newest(folder) is not None


def wait_for_chain(our: Here, folder: "RunFolder") -> int:
    """Follow a chain to its end and tell it; exit 0, 1, or 75 if it stopped with work left."""
    from pangeo_hpc.workflow.report.attempt import attempt_of
    from pangeo_hpc.workflow.until_done.follow import wait

    def tell(view: "View") -> None:
        our.face.say(news(f"run {folder.name}, attempt {int(view.job.folder.name)}", view.status))

    try:
        view = wait(our.site, our.person, folder, on_change=tell)
    except KeyboardInterrupt:
        our.face.say(f"the jobs go on; pangeo-hpc runs wait {folder.name} follows them again")
        raise
    code = view.decision.exit_code
    if our.face.json:
        job = attempt_of(again(view.job), view.status)
        our.face.data({"run": folder.name, **job, "until_done": _told(view)})
        return code
    if code == Exit.NO:
        for line in tail(view.job.output):
            our.face.say(f"  | {line}")
    our.face.out(f"run {folder.name}: {view.decision.standing.value}: {view.decision.why}")
    if code == Exit.RUN_AGAIN:
        our.face.say("hint: submit it again and it goes on")
    elif code:
        our.face.say(f"hint: pangeo-hpc runs logs {folder.name}")
    return code


def told_of_chain(our: Here, folder: "RunFolder") -> dict[str, Any] | None:
    """Return what is told of a run's chain of attempts, None without one."""
    from pangeo_hpc.workflow.until_done.follow import look

    view = look(our.site, our.person, folder)
    return _told(view) if view else None


def lines_of_chain(our: Here, folder: "RunFolder") -> list[str]:
    """Return what `runs show` tells a person of a chain of attempts."""
    told = told_of_chain(our, folder)
    if told is None:
        return []
    most = f" of {told['most_core_hours']:g}" if told["most_core_hours"] else ""
    why = f": {told['why']}" if told["why"] else ""
    return [
        f"until done {told['standing']}{why}",
        f"           {told['ended']} attempts have ended, at most {told['attempts']} are made",
        f"           {told['core_hours']:.2f}{most} core-hours were used",
    ]


def cancel_chain(our: Here, folder: "RunFolder") -> None:
    """End a chain, so that nothing follows, and drop the jobs that wait to follow."""
    from pangeo_hpc.workflow.until_done.cancel import cancel
    from pangeo_hpc.workflow.until_done.decide import Decision, Standing
    from pangeo_hpc.workflow.until_done.followers import drop
    from pangeo_hpc.workflow.until_done.record import end

    decision = Decision(Standing.FAILED, "cancelled by `pangeo-hpc runs cancel`")
    end(folder, decision)
    dropped = drop(our.site, our.person, folder, decision)
    problems = cancel(our.site, our.person, folder, all_=False)
    our.face.say(f"run {folder.name}: no further attempt follows")
    for name in dropped:
        our.face.say(f"run {name}, which was to follow it, is cancelled too")
    for job_id, words in problems.items():
        our.face.say(f"job {job_id} was not cancelled: {words}; it ends at once when it begins")


def _told(view: "View") -> dict[str, Any]:
    limits = view.chain.limits
    return {
        "standing": view.decision.standing.value,
        "why": view.decision.why,
        "attempts": limits.attempts,
        "ended": len(view.ended),
        "submitted": list(view.chain.numbers),
        "core_hours": round(view.core_hours, 4),
        "most_core_hours": limits.core_hours,
    }
