"""What the program tells about jobs and the machine: plain values, to be printed as JSON."""

import socket
from collections.abc import Collection
from typing import Any

from pangeo_hpc.localqueue.plan import Claim, starts
from pangeo_hpc.localqueue.records import Element
from pangeo_hpc.localqueue.settle import claim_of, dependencies, holds
from pangeo_hpc.localqueue.store import Store
from pangeo_hpc.machine import Machine
from pangeo_hpc.schedulers.base import JobState
from pangeo_hpc.units import format_memory

FORMAT = 1


def jobs(
    store: Store,
    active: list[Element],
    capacity: Machine,
    *,
    ids: Collection[str],
    name: str | None,
    now: float,
) -> dict[str, Any]:
    """Tell about the jobs of these ids, or of this name, or about all; unknown ids are absent."""
    if ids:
        chosen = {element.id: element for wanted in ids for element in store.look(wanted)}
    else:
        chosen = {element.id: element for element in [*store.ended(), *active]}
    if name is not None:
        chosen = {key: value for key, value in chosen.items() if value.job.name == name}
    outlook = _outlook(store, active, capacity, now)
    told = sorted(chosen.values(), key=lambda element: element.order)
    return {"format": FORMAT, "jobs": [_job(element, outlook) for element in told]}


def nodes(active: list[Element], capacity: Machine) -> dict[str, Any]:
    """Tell how large this machine is, and how much of it jobs have."""
    held = [element.job for element in active if holds(element)]
    node = {
        "name": socket.gethostname(),
        "cores": capacity.cores,
        "cores_used": sum(job.cores for job in held),
        "memory": capacity.memory,
        "memory_used": sum(job.memory for job in held),
    }
    return {"format": FORMAT, "nodes": [node]}


def estimate(
    store: Store, active: list[Element], capacity: Machine, new: Element, *, now: float
) -> dict[str, Any]:
    """Tell when a job would start if it were submitted now; null if nobody can say."""
    outlook = _outlook(store, [*active, new], capacity, now)
    start, _ = outlook.get(new.id, (None, ""))
    return {"format": FORMAT, "start": start}


def _outlook(
    store: Store, active: list[Element], capacity: Machine, now: float
) -> dict[str, tuple[float | None, str]]:
    """Return, for each waiting element, when it may start and what it waits for."""
    running = [claim_of(element, now) for element in active if holds(element)]
    ready: list[Claim] = []
    told: dict[str, tuple[float | None, str]] = {}
    for element in active:
        if element.standing.state is not JobState.PENDING:
            continue
        before = dependencies(store, element, active).waiting
        claim = claim_of(element, now)
        if before:
            end = "complete" if element.job.after else "end"
            told[element.id] = (None, f"waits for job {', '.join(before)} to {end}")
        elif claim.fits(capacity):
            told[element.id] = (None, "waits for its turn")
            ready.append(claim)
        else:
            told[element.id] = (None, _too_large(claim, capacity))
    for job_id, seconds in starts(ready, running, capacity).items():
        told[job_id] = (now + seconds, "waits for cores and memory" if seconds > 0 else "starts")
    return told


def _too_large(claim: Claim, capacity: Machine) -> str:
    asked = f"{claim.cores} cores and {format_memory(claim.memory)}"
    there = f"{capacity.cores} cores and {format_memory(capacity.memory)}"
    return f"asks for {asked}, this machine has {there}"


def _job(element: Element, outlook: dict[str, tuple[float | None, str]]) -> dict[str, Any]:
    job, standing = element.job, element.standing
    start, words = outlook.get(element.id, (None, ""))
    return {
        "id": element.id,
        "name": job.name,
        "user": job.user,
        "state": standing.state.name,
        "reason": standing.reason or words,
        "node": socket.gethostname() if standing.started is not None else "",
        "exit_code": standing.exit_code,
        "signal": standing.signal,
        "submitted": job.submitted or None,
        "started": standing.started,
        "ended": standing.ended,
        "estimated_start": start,
        "walltime": job.walltime or None,
        "memory_used": standing.memory_used,
        "cores": job.cores,
        "memory": job.memory or None,
        "restarts": standing.restarts,
        "output": str(element.output) if job.output else None,
    }
