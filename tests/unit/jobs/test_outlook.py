"""What is free for a node type."""

import pytest

from pangeo_hpc.jobs.outlook import count, fits
from pangeo_hpc.schedulers.base import Node, NodeState, Queue, destinations
from pangeo_hpc.site import Site

NODES = (
    Node(name="a", state=NodeState.IDLE, queues=("regular",), features=frozenset({"cpu"})),
    Node(name="b", state=NodeState.BUSY, queues=("regular",), features=frozenset({"cpu"})),
    Node(name="c", state=NodeState.IDLE, queues=("regular",), features=frozenset({"gpu"})),
    Node(name="d", state=NodeState.DOWN, queues=("other",), features=frozenset({"cpu"})),
    Node(name="e", state=NodeState.IDLE, features=frozenset({"cpu"})),
)


def test_nodes_of_the_queue_with_the_feature(site: Site) -> None:
    """Another queue's nodes and those without the feature do not count; unbound nodes do."""
    counts = count(NODES, site.node_type("compute"), {"regular"})
    assert counts == {
        NodeState.IDLE: 2, NodeState.BUSY: 1, NodeState.PARTLY: 0, NodeState.DOWN: 0,
    }  # fmt: skip


def test_routes_are_followed() -> None:
    """A routing queue leads to others, in steps, also where it leads back to itself."""
    queues = [
        Queue(name="main", routes=("short", "more")),
        Queue(name="more", routes=("long", "main")),
        Queue(name="short"),
        Queue(name="long"),
    ]
    assert destinations(queues, "main") >= {"short", "more", "long"}
    assert destinations(queues, "short") == set()
    assert destinations(queues, "unheard of") == set()


@pytest.mark.parametrize(
    ("constraint", "features", "meets"),
    [
        ("cpu", {"cpu", "x"}, True),
        ("cpu", {"gpu"}, False),
        ("gpu&hbm80g", {"gpu", "hbm80g"}, True),
        ("gpu&hbm80g", {"gpu"}, False),
        ("a|b", {"b"}, True),
        ("a|b", {"c"}, False),
        ("[rack1|rack2]", {"c"}, True),
        ("cpu*4", {"c"}, True),
    ],
)
def test_constraints(constraint: str, features: set[str], meets: bool) -> None:
    """Features joined by `and` or `or`; what is about several nodes does not filter one."""
    assert fits(constraint, features) is meets
