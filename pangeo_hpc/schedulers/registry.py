"""Find the batch systems that are installed: ours, and third parties' through an entry point."""

from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points

from pangeo_hpc.errors import UnknownName
from pangeo_hpc.schedulers.base import Scheduler, SchedulerOptions

GROUP = "pangeo_hpc.schedulers"

# Ours do not depend on installed metadata, so that they are there in a plain checkout too.
_OURS = {
    "slurm": "pangeo_hpc.schedulers.slurm:Slurm",
    "pbs": "pangeo_hpc.schedulers.pbs:PBS",
    "local": "pangeo_hpc.schedulers.local:Local",
}


def names() -> tuple[str, ...]:
    """Return the names of all batch systems that can be spoken to, sorted."""
    return tuple(sorted({*_OURS, *entry_points(group=GROUP).names}))


def make(kind: str, options: SchedulerOptions) -> Scheduler:
    """Return a scheduler of a kind. Raise UnknownName if there is none of that name."""
    factory: Callable[[SchedulerOptions], Scheduler]
    if kind in _OURS:
        module, _, attribute = _OURS[kind].partition(":")
        factory = getattr(import_module(module), attribute)
        return factory(options)
    found = entry_points(group=GROUP, name=kind)
    if not found:
        near = get_close_matches(kind, names(), 1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names())}"
        raise UnknownName(f"no scheduler of type {kind!r}", hint=hint)
    factory = next(iter(found)).load()
    return factory(options)
