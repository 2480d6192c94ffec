"""What tests and users see of a cluster, wherever its daemons run."""

import re
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster.config import Shape
from tests.cluster.users import ClusterUser


class Cluster(ABC):
    """A cluster that takes jobs; a context manager."""

    shape: Shape
    interface: str
    """Network interface at which nodes and login side reach one another."""

    @abstractmethod
    def start(self) -> None:
        """Make the cluster ready for users; whole or not at all."""

    @abstractmethod
    def stop(self) -> None:
        """End what start() began and remove what it made."""

    @property
    @abstractmethod
    def directory(self) -> Path:
        """Return the root's directory that users and nodes can read."""

    @property
    @abstractmethod
    def mark(self) -> str:
        """Return the name that marks the processes of this cluster's users."""

    @property
    @abstractmethod
    def memory_limits(self) -> str:
        """Return 'cgroup' or 'polling': how memory limits are enforced."""

    @property
    @abstractmethod
    def local_disk(self) -> Path:
        """Return the directory that is another one on each node, empty at its start."""

    @property
    @abstractmethod
    def secrets(self) -> list[Path]:
        """Return the files on the login side that only root may read."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return what users' commands need to find this cluster."""

    @abstractmethod
    def admin(self, argv: Sequence[str], timeout: float = 60) -> str:
        """Run a Slurm command as root and return its output."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def scratch_root(self) -> Path:
        """Return the directory of users' scratch; login side and nodes see it."""
        return self.directory / "scratch"

    def scratch_dir(self, user: str) -> Path:
        """Return a user's private directory below scratch_root."""
        return self.scratch_root / user

    def shared_dir(self, user: str) -> Path:
        """Return a user's private directory outside /home that the nodes see."""
        return self.directory / "shared" / user

    def user(self, name: str) -> ClusterUser:
        """Return one of the cluster's Unix users."""
        return ClusterUser(self, name)

    def run_as(
        self, user: str, argv: Sequence[str | Path], **options: Any
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command as a Unix user; the options are those of ClusterUser.run."""
        return self.user(user).run(argv, **options)

    def node_states(self) -> dict[str, str]:
        """Return the state of each node in sinfo's words, such as idle, mixed, down*."""
        text = self.admin(["sinfo", "--noheader", "--Node", "--format=%N %T"])
        return dict(line.split(maxsplit=1) for line in text.splitlines())

    def sdiag_counts(self) -> dict[str, int]:
        """Return how often each message type was asked of the controller."""
        text = self.admin(["sdiag"])
        part = text.partition("by message type")[2].partition("by user")[0]
        return {name: int(n) for name, n in re.findall(r"(\w+)\s+\(\s*\d+\) count:(\d+)", part)}

    def mark_down(self, name: str, reason: str = "test") -> None:
        """Tell the controller that a node failed; its jobs end or are requeued."""
        self.admin(["scontrol", "update", f"nodename={name}", "state=down", f"reason={reason}"])
