"""Prometheus metrics beside JupyterHub's own, at the same address.

None has a user's name in it: whoever may read them learns what the hub does, not who works.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from pangeo_hpc.schedulers.base import JobState

if TYPE_CHECKING:
    from pangeo_hpc.hub.office import Office

# From jobs that start at once to a weekend in the queue, in seconds.
_WAITS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 86400, 3 * 86400)
_LOOKS = (0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
# A job that is followed and of which nothing was heard yet.
UNHEARD = "submitted"

SERVERS = Gauge("pangeo_hpc_servers", "Servers by what their jobs do.", ["scheduler", "state"])
WAIT = Histogram(
    "pangeo_hpc_queue_wait_seconds",
    "Time from the request to the start of a server's job.",
    buckets=_WAITS,
)
LOOK = Histogram(
    "pangeo_hpc_query_seconds",
    "Time that one look at a scheduler's queue took, for all servers together.",
    ["scheduler"],
    buckets=_LOOKS,
)
LOOK_FAILURES = Counter(
    "pangeo_hpc_query_failures", "Looks at a scheduler's queue that brought no news.", ["scheduler"]
)
SPAWN_FAILURES = Counter(
    "pangeo_hpc_spawn_failures", "Servers that did not come up, by what was found.", ["diagnosis"]
)
DEATHS = Counter(
    "pangeo_hpc_server_deaths",
    "Servers that were up and ended by themselves, by what was found.",
    ["diagnosis"],
)


def watcher(key: str) -> Callable[[float, bool], None]:
    """Return what notes the looks at one scheduler's queue."""
    seconds, failures = LOOK.labels(key), LOOK_FAILURES.labels(key)

    def told(took: float, failed: bool) -> None:
        seconds.observe(took)
        if failed:
            failures.inc()

    return told


def waited(seconds: float) -> None:
    """Note how long a job was in the queue."""
    WAIT.observe(max(0.0, seconds))


def failed(diagnosis: str, *, up: bool = False) -> None:
    """Note a server that did not come up, or one that was up and ended by itself."""
    (DEATHS if up else SPAWN_FAILURES).labels(diagnosis or "unknown").inc()


def follow(office: "Office") -> None:
    """Show the servers of an office from now on, counted whenever somebody looks."""
    for key in office.pollers:
        for state in (UNHEARD, *JobState):
            SERVERS.labels(key, str(state)).set_function(partial(_count, office, key, state))


def _count(office: "Office", key: str, state: str) -> int:
    heard = office.pollers[key].watched().values()
    return sum(1 for news in heard if str(news.status.state if news else UNHEARD) == str(state))
