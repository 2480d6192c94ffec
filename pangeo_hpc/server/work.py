"""What counts as work in a notebook server, and since when nothing has been done there. Pure.

An open browser window is no work: JupyterLab asks its server something every few seconds, whether
somebody sits there or not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# By the last path a page says that a person is there.
OURS = "pangeo-hpc/"
PRESENT = f"{OURS}present"
_CHANGES = frozenset(("POST", "PUT", "PATCH", "DELETE"))
# Files, kernels, sessions, terminals. What else a page sends, it also sends by itself: JupyterLab
# 4.6 writes where its windows are every ten seconds, to lab/api/workspaces.
_THINGS = ("api/contents", "api/kernels", "api/sessions", "api/terminals")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What runs in a server: each kernel's name and state, what runs in each terminal, Dask notes.

    `dask` counts the programs that said of late that their tasks run.
    """

    kernels: Sequence[tuple[str, str]] = ()
    terminals: Mapping[str, Sequence[str]] = field(default_factory=dict)
    dask: int = 0


def work(facts: Facts) -> tuple[str, ...]:
    """Return what is at work, one sentence each; none if the server is idle."""
    busy = [name for name, state in facts.kernels if state == "busy"]
    said = [f"a kernel is busy ({name})" for name in busy]
    if facts.dask:
        said.append("Dask tasks are running")
    for name, programs in facts.terminals.items():
        if programs:
            said.append(f"terminal {name} runs {', '.join(sorted(set(programs))[:3])}")
    return tuple(said)


def is_hand(method: str, path: str, status: int, *, navigates: bool) -> bool:
    """Tell whether a request was somebody's doing, rather than a page keeping itself fresh.

    `path` is below the server's base address; `navigates` is whether the browser opens a page.
    """
    if status >= 400:
        return False
    if method in _CHANGES:
        return path == PRESENT or path.startswith(_THINGS)
    return method == "GET" and navigates and not path.startswith(OURS)


@dataclass
class Idleness:
    """Since when a server is idle, in seconds since 1970."""

    since: float
    work: tuple[str, ...] = ()

    def look(self, now: float, working: tuple[str, ...], *signs: float) -> None:
        """Take in what works now, and the moments of the last signs of somebody's doing."""
        self.work = working
        self.since = now if working else min(now, max(self.since, *signs))

    def seconds(self, now: float) -> float:
        """Return for how long nothing has been done."""
        return max(0.0, now - self.since)


def pause(after: float | None) -> float:
    """Return the seconds between two looks, for servers that are stopped after so many idle ones.

    None = they never are.
    """
    return 60.0 if after is None else min(60.0, max(1.0, after / 10))
