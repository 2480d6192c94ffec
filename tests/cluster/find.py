"""Find the processes of one cluster by the marks that it leaves on them."""

from pathlib import Path

from tests.cluster.daemons import all_pids

MARK = "TEST_CLUSTER_CHILD"
"""Environment variable of users' commands on the login side; its value is the cluster's mark."""


def on_nodes(mark: str, node: str | None = None) -> list[int]:
    """Return the pids on one node or on all.

    A node's processes share its mount namespace, and its mounts carry the cluster's mark.
    """
    word = f" {mark}-{node or ''}"
    return [pid for pid in all_pids() if word in _read(pid, "mountinfo")]


def left_by_users(mark: str) -> list[int]:
    """Return the pids of users' commands on the login side, and of their children."""
    word = f"{MARK}={mark}\0"
    return [pid for pid in all_pids() if word in _read(pid, "environ")]


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""
