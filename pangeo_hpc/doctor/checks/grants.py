"""A job gets the cores and the memory that it asked for."""

from collections.abc import Iterator
from typing import Any

from pangeo_hpc.doctor.facts import Facts
from pangeo_hpc.doctor.finding import Finding, problem, skipped, warning
from pangeo_hpc.units import format_memory

NAME = "grants"
TITLE = "a job gets the cores and the memory it asked for"

# Schedulers round memory to units of their own.
_ROUNDED = 0.95


def judge(facts: Facts) -> Iterator[Finding]:
    """Compare what was asked with what the canary may use."""
    if facts.silence:
        yield skipped(NAME, facts.silence)
    for node, canary, report in facts.reports():
        where = f"a job of node type {node.name} on {canary.node}"
        cores = _least(report, "cores")
        if canary.cores and cores and "cores" not in node.omit and cores < canary.cores:
            text = f"{where} asked for {canary.cores} cores and may use {cores}"
            remedy = (
                "see whether the scheduler counts threads as cores and binds jobs to fewer "
                f"(threads_per_core), or lower node_types.{node.name}.cores"
            )
            yield warning(NAME, text, remedy, f"node_types.{node.name}.cores")
        asked, memory = canary.memory, _least(report, "memory")
        if asked and memory and "memory" not in node.omit and memory < asked * _ROUNDED:
            path = f"node_types.{node.name}.memory"
            amounts = f"{format_memory(asked)} of memory and may use {format_memory(memory)}"
            remedy = f"lower {path}, or correct the limit on its nodes"
            yield problem(NAME, f"{where} asked for {amounts}", remedy, path)


def _least(report: Any, what: str) -> int | None:
    """Return the least of what the system lets a job use and what the scheduler told it."""
    amounts = [report.get(source, {}).get(what) for source in ("usable", "granted")]
    return min((amount for amount in amounts if isinstance(amount, int)), default=None)
