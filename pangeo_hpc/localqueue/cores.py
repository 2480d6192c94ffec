"""Which cores of the machine a job runs on, and that it stays on them.

The kernel keeps a process, and all that it starts, on the cores it was given (`taskset` shows
them). Its user may widen that; the job's supervisor narrows it again when it next looks.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pangeo_hpc.processes import ProcessId

_PROC = Path("/proc")


def choose(
    wanted: int,
    usable: Collection[int],
    *,
    mine: Iterable[Collection[int]] = (),
    others: Mapping[int, int] | None = None,
    first: int = 0,
) -> tuple[int, ...]:
    """Return the numbers of as many cores as wanted, or all usable ones if these are fewer.

    `mine` are the cores of the user's other jobs, `others` how many users are held to each core.
    Those in least use come first, counted from the `first` one, which differs between users.
    """
    order = sorted(usable)
    turn = first % len(order)
    jobs = Counter(core for each in mine for core in each)
    users = others or {}
    best = sorted(order[turn:] + order[:turn], key=lambda core: (jobs[core], users.get(core, 0)))
    return tuple(sorted(best[:wanted]))


def pick(wanted: int, mine: Iterable[Collection[int]]) -> tuple[int, ...]:
    """Return the cores of this machine for a job of this user's that starts now."""
    usable, me = os.sched_getaffinity(0), os.geteuid()
    return choose(wanted, usable, mine=mine, others=_users_on(usable, me), first=me)


@contextmanager
def held_to(cores: Collection[int]) -> Iterator[None]:
    """Start programs on these cores only; on a machine that has lost them, on any."""
    before = os.sched_getaffinity(0)
    _narrow(0, cores)
    try:
        yield
    finally:
        _narrow(0, before)


def hold(tree: Iterable[ProcessId], cores: Collection[int]) -> None:
    """Bring every thread of a tree back that may run elsewhere by now."""
    here = set(cores)
    for who in tree:
        for thread in _threads(who.pid):
            # it may be gone by now, or be another user's, such as `passwd`
            with suppress(OSError):
                if here and not os.sched_getaffinity(thread) <= here:
                    os.sched_setaffinity(thread, here)


def _narrow(pid: int, cores: Collection[int]) -> None:
    if cores:
        with suppress(OSError):
            os.sched_setaffinity(pid, cores)


def _users_on(usable: Collection[int], me: int) -> Counter[int]:
    """Return how many other users are held to each core: have a process that is not free of all.

    Nothing is seen where the machine shows everybody their own processes only.
    """
    found: set[tuple[int, int]] = set()
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            user = entry.stat().st_uid
            # the kernel's own threads are root's
            cores = os.sched_getaffinity(int(entry.name)) if user not in (0, me) else set()
            if not cores >= set(usable):
                found |= {(user, core) for core in cores}
    return Counter(core for _, core in found)


def _threads(pid: int) -> list[int]:
    try:
        return [int(entry.name) for entry in (_PROC / str(pid) / "task").iterdir()]
    except OSError:
        return []
