"""Follow a chain of attempts to its end, from wherever its scheduler can be asked."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pangeo_hpc.errors import PangeoHpcError, SchedulerUnreachable, SubmitRefused
from pangeo_hpc.jobs import HISTORY_DELAY, Job
from pangeo_hpc.run import Runner, run
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.site import Person, Site
from pangeo_hpc.workflow.follow import follow
from pangeo_hpc.workflow.runs import RunFolder
from pangeo_hpc.workflow.until_done.cancel import cancel
from pangeo_hpc.workflow.until_done.decide import Decision, Standing, Tried, core_hours, decide
from pangeo_hpc.workflow.until_done.followers import drop
from pangeo_hpc.workflow.until_done.record import Chain, began, end, tried
from pangeo_hpc.workflow.until_done.submit import extend


@dataclass(frozen=True)
class View:
    """A chain as it stands: `job` is the attempt that runs, is next, or was the last.

    `left` are its jobs that have not ended, and `at_work` tells whether an attempt is among them.
    """

    chain: Chain
    job: Job
    status: JobStatus
    ended: tuple[Tried, ...]
    decision: Decision
    left: tuple[Job, ...] = ()
    at_work: bool = False

    @property
    def core_hours(self) -> float:
        """Return what the attempts that have ended used."""
        return core_hours(self.ended)


def look(
    site: Site, person: Person, folder: RunFolder, *, runner: Runner = run, patience: float = 3.0
) -> View | None:
    """Return how a chain stands, None for a run without one. Nothing is changed."""
    chain = Chain.read(folder)
    found = chain.jobs(folder) if chain else []
    if chain is None or not found:
        return None
    states = follow(site, person, found, runner=runner, patience=patience)
    found = [Job.read(job.folder) for job in found]
    return view_of(folder, chain, list(zip(found, states, strict=True)))


def view_of(folder: RunFolder, chain: Chain, pairs: list[tuple[Job, JobStatus]]) -> View:
    """Return how a chain stands whose jobs, at least one, are in these states."""
    # one that runs only to find that the chain is over is no attempt
    begun = [p for p in pairs if began(p[0]) or (p[1].state in _AT_WORK and not chain.over)]
    alive = [pair for pair in begun if not pair[1].state.ended]
    ended = tried(folder, [pair for pair in begun if pair[1].state.ended], datetime.now(UTC))
    waiting = [pair for pair in pairs if pair not in begun and not pair[1].state.ended]
    decision = chain.over or Decision(Standing.GOES_ON)
    if not chain.over and not alive:
        decision = decide(chain.limits, ended)
        if not decision.over and not waiting:
            decision = _broken(chain, pairs, begun)
    current = (alive or ([] if decision.over else waiting[:1]) or begun[-1:] or pairs[:1])[-1]
    left = tuple(job for job, status in pairs if not status.state.ended)
    return View(chain, *current, tuple(ended), decision, left, bool(alive))


def as_one(view: View) -> JobStatus:
    """Return the state of a run that is computed until done, as if all its jobs were one."""
    decision, status = view.decision, view.status
    if decision.standing is Standing.COMPLETE:
        return replace(status, state=JobState.COMPLETED, exit_code=0, signal=None, reason="")
    if not decision.over:
        if status.state.ended and status.state is not JobState.LOST:
            reason = "the next attempt has not begun"
            return replace(status, state=JobState.PENDING, exit_code=None, reason=reason)
        return status
    if view.at_work:
        return status
    good = status.state.ended and status.state not in (JobState.COMPLETED, JobState.LOST)
    state = status.state if good else JobState.FAILED
    reason = f"{decision.standing.value}: {decision.why}"
    return replace(status, state=state, exit_code=None, signal=None, reason=reason)


_AT_WORK = (JobState.STARTING, JobState.RUNNING, JobState.SUSPENDED, JobState.ENDING)


def settle(
    site: Site, person: Person, folder: RunFolder, view: View, *, runner: Runner = run
) -> Decision:
    """Do what a view calls for: note the end and drop the jobs no longer needed, or add some."""
    decision = view.decision
    if not decision.over:
        try:
            extend(site, person, folder, runner=runner)
        except SubmitRefused as error:
            if not view.status.state.ended:
                return decision
            decision = Decision(Standing.LEFT, f"the next job was refused: {error.text}")
        except PangeoHpcError:
            return decision
        else:
            return decision
    decision = end(folder, decision)
    with suppress(PangeoHpcError):
        # those that follow first: they wait for the end of the jobs that are dropped then
        drop(site, person, folder, decision, runner=runner)
        cancel(site, person, folder, all_=False, runner=runner)
    return decision


def wait(
    site: Site,
    person: Person,
    folder: RunFolder,
    *,
    on_change: Callable[[View], object],
    runner: Runner = run,
    longest: float = 15.0,
) -> View:
    """Follow a chain to its end; `on_change` is told of each new state of an attempt.

    A chain that is cancelled has come to its end once its last attempt has, too. An unreachable
    scheduler is no news, and a job that nobody knows is lost only once the history
    had time to hear of it.
    """
    pause, seen, lost_since = 0.25, None, None
    while True:
        view = None
        with suppress(SchedulerUnreachable):
            view = look(site, person, folder, runner=runner)
        if view is not None:
            face = (view.job.folder, view.status.state, view.status.reason, view.status.nodes)
            if face != seen:
                pause, seen = 0.25, face
                on_change(view)
            moment = time.monotonic()
            unsure = view.status.state is JobState.LOST and not view.chain.over
            lost_since = (lost_since or moment) if unsure else None
            believed = lost_since is None or moment - lost_since > HISTORY_DELAY.total_seconds()
            if believed and not (view.at_work and view.decision.over):
                decision = settle(site, person, folder, view, runner=runner)
                if decision.over:
                    return replace(view, decision=decision)
        time.sleep(pause)
        pause = min(pause * 1.5, longest)


def _broken(
    chain: Chain, pairs: list[tuple[Job, JobStatus]], begun: list[tuple[Job, JobStatus]]
) -> Decision:
    """Return how a chain ends whose next job is gone, or that goes on with jobs still to come."""
    last = pairs[-1]
    if last in begun and len(chain.numbers) < chain.limits.attempts:
        return Decision(Standing.GOES_ON)
    gone = next((pair for pair in pairs if pair not in begun), last)
    why = f"the next job ({gone[0].id or gone[0].name}) is {gone[1].state} before it began"
    if gone[1].reason:
        why += f": {gone[1].reason}"
    return Decision(Standing.LEFT, why)
