"""A second try of a test that failed half-way begins where the first one did.

Runs are known by their names, and the first try may have left them with jobs at work, outputs, and
marks of its script.
"""

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.daemons import end_all, until
from tests.cluster.errors import ClusterError
from tests.cluster.face import Cluster
from tests.cluster.find import left_by_users
from tests.cluster.machine import USERS

# runs and chains are folders `state/runs/SITE/NAME` below a user's own
DEPTH = 4


@dataclass(frozen=True)
class Desk:
    """What users have on a cluster: their jobs, and their files that the nodes see."""

    cluster: Cluster
    jobs: frozenset[str]
    files: frozenset[Path]

    @classmethod
    def of(cls, cluster: Cluster) -> "Desk":
        """Return what is there now."""
        tops = [top(user) for user in USERS for top in (cluster.shared_dir, cluster.scratch_dir)]
        patterns = ["/".join("*" * depth) for depth in range(1, DEPTH + 1)]
        found = (path for top in tops for pattern in patterns for path in top.glob(pattern))
        return cls(cluster, frozenset(_jobs(cluster)), frozenset(found))

    def clear(self) -> None:
        """End commands, cancel the jobs and remove the files that have come since."""
        end_all(lambda: left_by_users(self.cluster.mark))
        new = _jobs(self.cluster) - self.jobs
        if new:
            # one of them may just end by itself
            with suppress(ClusterError):
                self.cluster.admin(["scancel", *new])
            until(lambda: not _jobs(self.cluster) & new)
        for path in Desk.of(self.cluster).files - self.files:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _jobs(cluster: Cluster) -> set[str]:
    argv = ["squeue", "--noheader", "--array", f"--user={','.join(USERS)}", "--format=%A"]
    return set(cluster.admin(argv).split())
