"""Checks of node types: defaults within limits, Dask workers that fit."""

from typing import Any

from pangeo_hpc.site.checks.finding import Finding
from pangeo_hpc.site.model import Site
from pangeo_hpc.units import exact_memory, format_walltime

_SHOW: dict[str, Any] = {
    "cores": str,
    "memory": exact_memory,
    "gpus": str,
    "walltime": format_walltime,
}


def within_maximum(site: Site) -> list[Finding]:
    """Refuse a default that is more than its own maximum."""
    found = []
    for name, node in site.node_types.items():
        for key, show in _SHOW.items():
            value, most = getattr(node, key), getattr(node, f"max_{key}")
            if value > most:
                text = f"{show(value)} is more than its max_{key} ({show(most)})"
                hint = f"lower {key}, or raise max_{key} if the queue allows it"
                path = f"node_types.{name}.{key}"
                found.append(Finding(path, text, hint, needs=(f"node_types.{name}.max_{key}",)))
    return found


def dask_fits(site: Site) -> list[Finding]:
    """Refuse Dask workers that use more than their job has, as the scheduler counts cores."""
    found = []
    for name, node in site.node_types.items():
        if node.dask is None:
            continue
        wanted = node.dask.processes * node.dask.threads
        if wanted > node.cores:
            path = f"node_types.{name}.dask"
            text = (
                f"{node.dask.processes} processes of {node.dask.threads} threads need {wanted} "
                f"cores, and a job has {node.cores}"
            )
            hint = "lower processes or threads, or raise cores"
            needs = (f"node_types.{name}.cores", f"{path}.processes", f"{path}.threads")
            found.append(Finding(path, text, hint, needs=needs))
    return found


def gpus(site: Site) -> list[Finding]:
    """Refuse a kind of GPU where there is none, and hardware threads that do not divide."""
    found = []
    for name, node in site.node_types.items():
        here = f"node_types.{name}"
        if node.gpu_type and not node.max_gpus:
            text = "it names a kind of GPU, but no GPUs"
            needs = (f"{here}.gpus", f"{here}.max_gpus")
            hint = "add gpus or max_gpus, or remove gpu_type"
            found.append(Finding(f"{here}.gpu_type", text, hint, needs=needs))
        if node.cores % node.threads_per_core:
            text = f"{node.cores} cores do not divide by {node.threads_per_core} threads_per_core"
            hint = "cores counts hardware threads then: make it a multiple"
            needed = (f"{here}.threads_per_core",)
            found.append(Finding(f"{here}.cores", text, hint, needs=needed))
    return found
