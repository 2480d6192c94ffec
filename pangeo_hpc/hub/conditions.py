"""What the form tells of the cluster: free nodes and a user's accounts, kept for a while.

The hub asks as its own account; one question per scheduler serves everybody's forms.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from pangeo_hpc import jobs
from pangeo_hpc.hub.fresh import Kept, Known
from pangeo_hpc.jobs.outlook import count, queues_of
from pangeo_hpc.run import AsyncRunner, aconverse, arun
from pangeo_hpc.schedulers.base import Account, Node, NodeState, Queue
from pangeo_hpc.site import NodeType, Site

# A queue of the user's own: the hub does not see it.
_PRIVATE = frozenset({"local"})
# Seconds for which accounts are kept, and of how many users.
_ACCOUNTS, _MOST = 600.0, 1000


@dataclass(frozen=True)
class Cluster:
    """All nodes and queues of one scheduler."""

    nodes: Sequence[Node]
    queues: Sequence[Queue]


@dataclass(frozen=True)
class Free:
    """Nodes of a node type by their state, and how old that is in seconds."""

    counts: Mapping[NodeState, int]
    age: float
    failure: str = ""


class Conditions:
    """One per hub. `seconds` is how long an answer about nodes is good."""

    def __init__(self, site: Site, *, runner: AsyncRunner = arun, seconds: float = 60.0) -> None:
        self._site, self._runner = site, runner
        self._clusters = {
            key: Kept(self._asker(key), seconds=seconds)
            for key, entry in site.schedulers.items()
            if entry.type not in _PRIVATE
        }
        self._accounts: OrderedDict[tuple[str, str], Kept[tuple[Account, ...]]] = OrderedDict()

    async def cluster(self, key: str) -> Known[Cluster]:
        """Return what is known of a scheduler's nodes; nothing of a queue that only users see."""
        return await self._clusters[key].get() if key in self._clusters else Known()

    async def free(self, node_type: NodeType) -> Free | None:
        """Return the nodes of a node type by state, None as long as nobody knows."""
        key, _ = self._site.scheduler_of(node_type)
        known = await self.cluster(key)
        if known.value is None or known.age is None:
            return None
        cluster = known.value
        queues = queues_of(node_type, cluster.nodes, lambda: cluster.queues)
        return Free(count(cluster.nodes, node_type, queues), known.age, known.failure)

    async def accounts(self, key: str, user: str) -> tuple[Account, ...]:
        """Return the accounts that a user may charge, as far as the scheduler tells."""
        kept = self._accounts.get((key, user))
        if kept is None:
            scheduler = jobs.scheduler_named(self._site, key)

            async def ask() -> tuple[Account, ...]:
                return await aconverse(scheduler.accounts(user), self._runner)

            kept = self._accounts[key, user] = Kept(ask, seconds=_ACCOUNTS)
            if len(self._accounts) > _MOST:
                self._accounts.popitem(last=False)
        return (await kept.get()).value or ()

    def _asker(self, key: str) -> Callable[[], Awaitable[Cluster]]:
        scheduler = jobs.scheduler_named(self._site, key)

        async def ask() -> Cluster:
            nodes = await aconverse(scheduler.nodes(), self._runner)
            return Cluster(nodes, await aconverse(scheduler.queues(), self._runner))

        return ask
