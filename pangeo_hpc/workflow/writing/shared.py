"""Intermediate results that most units need, such as a climatology that anomalies are taken from.

Each unit is a graph of its own, and would compute them again. They are computed once and kept, if
that takes little memory.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from pangeo_hpc.workflow.writing.work import Work

# Of the memory, what may be kept for all units.
_SHARE = 0.2


def needed_by_most(work: Work) -> list[Any]:
    """Return the tasks whose results most units need for tasks of their own."""
    from dask.core import get_dependencies

    if len(work.jobs) < 3:
        return []
    uses: Counter[Any] = Counter()
    for job in work.jobs:
        uses.update(work.tasks([*job.remote, *job.local]).keys())
    half = len(work.jobs) / 2
    common = {key for key, count in uses.items() if count > half}
    # data that go into a climatology are needed by all units too, but each by one in itself
    direct: Counter[Any] = Counter()
    for job in work.jobs:
        own = work.tasks([*job.remote, *job.local]).keys() - common
        direct.update({need for key in own for need in get_dependencies(work.graph, key)} & common)
    return [key for key, n in direct.items() if n > half and _computes(work.graph[key])]


def keep_here(work: Work, memory: int, get: Callable[[Any, list[Any]], Any]) -> int:
    """Compute common results in this process and put them into the graph; return their number.

    Nothing is kept where the first one tells that all would take too much.
    """
    from dask.sizeof import sizeof

    keys = needed_by_most(work)
    for number, key in enumerate(keys):
        (value,) = get(work.tasks([key]), [key])
        if sizeof(value) * len(keys) > _SHARE * memory:
            return number
        work.graph[key] = value
    return len(keys)


def keep_there(work: Work, memory: int, client: Any) -> list[Any]:
    """Compute common results on a cluster; return the futures that keep them there."""
    from distributed import wait

    keys = needed_by_most(work)
    if not keys:
        return []
    first: list[Any] = client.get(work.tasks(keys[:1]), keys[:1], sync=False)
    wait(first)
    size = sum(client.nbytes(keys[:1], summary=False).values())
    if size * len(keys) > _SHARE * memory:
        return []
    rest: list[Any] = client.get(work.tasks(keys), keys, sync=False)
    wait(rest)
    return first + rest


def _computes(task: Any) -> bool:
    """Tell whether a task of a graph computes something; others are data."""
    kind = type(task).__name__
    return kind in ("Alias", "Task", "List", "Dict") or (
        isinstance(task, tuple) and bool(task) and callable(task[0])
    )
