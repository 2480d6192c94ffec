"""Bring the records in line with the machine: who is gone, who can never start, who is done."""

import signal
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from pangeo_hpc.localqueue import trees
from pangeo_hpc.localqueue.plan import Claim
from pangeo_hpc.localqueue.records import Element, Job, Standing
from pangeo_hpc.localqueue.settings import PREFIX
from pangeo_hpc.localqueue.store import Store
from pangeo_hpc.machine import Machine
from pangeo_hpc.processes import ProcessId, boot_id
from pangeo_hpc.schedulers.base import JobState

NEVER = "DependencyNeverSatisfied"
RESTARTED = "the machine was restarted"
WATCHER_KILLED = "its supervisor was killed"


@dataclass(frozen=True)
class Dependencies:
    """The jobs an element still waits for, and those that ended as it did not want."""

    waiting: tuple[str, ...]
    failed: tuple[str, ...]


def settle(store: Store, *, now: float) -> list[Element]:
    """Correct what no longer holds, and return the elements of the jobs that have not wholly ended.

    The caller holds the lock. A job whose supervisor is gone is marked so, and what it left running
    is ended; one whose dependency failed is cancelled; wholly ended jobs are moved away.
    """
    settled: list[Element] = []
    for element in store.active():
        settled.append(_corrected(store, element, settled, now))
    return _retire(store, settled)


def dependencies(store: Store, element: Element, known: Iterable[Element]) -> Dependencies:
    """Return what an element waits for; `known` elements need not be read again."""
    waiting, failed = [], []
    table: dict[str, list[Element]] = {}
    if element.job.before:
        for other in known:
            table.setdefault(other.id, []).append(other)
            if other.index is not None:
                table.setdefault(str(other.job.number), []).append(other)
    for wanted in element.job.before:
        states = {other.standing.state for other in table.get(wanted) or store.look(wanted)}
        if wanted in element.job.after_failure:
            # of an array, one element that ended otherwise is enough
            over = all(state.ended for state in states)
            good = not over or states != {JobState.COMPLETED}
        elif wanted in element.job.after_end:
            over, good = all(state.ended for state in states), True
        else:
            over = states == {JobState.COMPLETED}
            good = all(not state.ended or state is JobState.COMPLETED for state in states)
        if not good or not states:
            failed.append(wanted)
        elif not over:
            waiting.append(wanted)
    return Dependencies(tuple(waiting), tuple(failed))


def claim_of(element: Element, now: float) -> Claim:
    """Return what an element takes: for its walltime, or for what is left of it."""
    job, started = element.job, element.standing.started
    passed = now - started if started is not None and not element.standing.state.waiting else 0.0
    return Claim(element.id, job.cores, job.memory, max(0.0, job.walltime - max(0.0, passed)))


def holds(element: Element) -> bool:
    """Tell whether an element has cores and memory of the machine now."""
    return element.standing.active or element.standing.state is JobState.UNKNOWN


# Makes of a number of cores, and of those that jobs of this queue have, the ones for one more.
Picker = Callable[[int, Collection[tuple[int, ...]]], tuple[int, ...]]


def begin(store: Store, wanted: str, capacity: Machine, now: float, pick: Picker) -> Element | None:
    """Take a pending element for the calling process to run, or return None if it must not.

    This is where cores and memory are held to the machine's, whoever asks: under the lock, against
    what all others hold at this moment.
    """
    with store.locked():
        found = [element for element in store.look(wanted) if element.id == wanted]
        if not found or found[0].standing.state is not JobState.PENDING:
            return None
        element = found[0]
        others = [other for other in store.active() if holds(other)]
        held = [claim_of(other, now) for other in others]
        mine = claim_of(element, now)
        if mine.cores + sum(claim.cores for claim in held) > capacity.cores:
            return None
        if mine.memory + sum(claim.memory for claim in held) > capacity.memory:
            return None
        standing = Standing(
            state=JobState.STARTING,
            started=now,
            supervisor=trees.myself(),
            restarts=element.standing.restarts,
            cores=pick(mine.cores, [other.standing.cores for other in others]),
        )
        return store.write(element, standing)


def marks(store: Store, element: Element) -> tuple[str, str]:
    """Return the variables that every process of a job carries, unless it hides them."""
    return f"{PREFIX}JOB={element.id}", f"{PREFIX}STATE={store.root}"


def node_failed(element: Element, reason: str, now: float) -> Standing:
    """Return where an element stands after its machine failed: at the start again, if it may be."""
    if element.job.requeue:
        restarts = element.standing.restarts + 1
        return Standing(reason=f"waits again: {reason}", restarts=restarts)
    return element.standing.end(JobState.NODE_FAIL, reason, now=now)


def end_leftovers(variables: Iterable[str], script: ProcessId | None) -> bool:
    """Kill what a job left behind, and tell whether there was anything."""
    wanted, found = tuple(variables), False
    deadline = time.monotonic() + 2
    while left := trees.of_job(wanted, script):
        found = True
        for who in left:
            trees.send(who, signal.SIGKILL)
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return found


def _corrected(store: Store, element: Element, before: list[Element], now: float) -> Element:
    """Return an element as it truly stands; those `before` it in the queue are settled."""
    standing = element.standing
    if standing.active and not _watched(standing):
        return _abandoned(store, element, now)
    if standing.state is JobState.UNKNOWN:
        return _damaged(store, element, now)
    if standing.state is JobState.PENDING:
        failed = dependencies(store, element, before).failed
        if failed:
            words = f"{NEVER}: {_in_vain(element.job, failed)}"
            return store.write(element, standing.end(JobState.CANCELLED, words, now=now))
    return element


def _in_vain(job: Job, ids: Sequence[str]) -> str:
    """Say what a job waited for in vain."""
    how = {False: "did not complete", True: "completed"}
    told = {which: [i for i in ids if (i in job.after_failure) is which] for which in how}
    return ", ".join(f"{', '.join(found)} {how[which]}" for which, found in told.items() if found)


def _watched(standing: Standing) -> bool:
    return standing.supervisor is not None and trees.is_here(standing.supervisor)


def _abandoned(store: Store, element: Element, now: float) -> Element:
    """Mark an element whose supervisor is gone, unless that one had the last word after all."""
    element = element.now(store.standing(element))
    standing = element.standing
    if not standing.active:
        return element
    if standing.supervisor is None or standing.supervisor.boot != boot_id():
        return store.write(element, node_failed(element, RESTARTED, now))
    if end_leftovers(marks(store, element), standing.script):
        ended = replace(standing, signal=int(signal.SIGKILL))
        return store.write(element, ended.end(JobState.FAILED, WATCHER_KILLED, now=now))
    return store.write(element, standing.end(JobState.LOST, WATCHER_KILLED, now=now))


def _damaged(store: Store, element: Element, now: float) -> Element:
    """Report a damaged record as long as the job may run; its supervisor writes a whole one."""
    if trees.of_job(marks(store, element), None):
        return element
    element = element.now(store.standing(element))
    if element.standing.state is not JobState.UNKNOWN:
        return element
    words = element.standing.reason
    return store.write(element, Standing().end(JobState.LOST, words, now=now))


def _retire(store: Store, elements: list[Element]) -> list[Element]:
    open_jobs = {e.job.number for e in elements if not e.standing.state.ended}
    for number in {element.job.number for element in elements} - open_jobs:
        store.retire(number)
    return [element for element in elements if element.job.number in open_jobs]
