"""The cluster in containers as its login container sees it; nothing is started or ended here."""

import os
import secrets
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import machine
from tests.cluster.config import CONTAINERS
from tests.cluster.containers import places
from tests.cluster.daemons import end_all, wait_until
from tests.cluster.errors import ClusterError
from tests.cluster.face import Cluster
from tests.cluster.find import left_by_users

VARIABLE = "PANGEO_HPC_TEST_CLUSTER"
"""Set to `attached` in the image: tests use the cluster that is there and start none."""

PATIENCE = 60.0
READY = ("idle", "mixed", "allocated")


def wanted() -> bool:
    """Tell whether the tests are to use a cluster that is there."""
    return os.environ.get(VARIABLE) == "attached"


def venv(project: Path) -> Path:
    """Return the image's virtual environment, if it holds the project as it is in the checkout."""
    record = machine.VENV.parent / "venv.json"
    if machine.recorded(record) != machine.digests(project):
        raise ClusterError("the image is older than the checkout; make it anew: make docker-up")
    return machine.VENV


class AttachedCluster(Cluster):
    """A cluster whose daemons are elsewhere, with directories of this session's own."""

    shape = CONTAINERS
    interface = "eth0"

    def __init__(self) -> None:
        """Choose the name of the directories."""
        self._mark = f"pangeo-test-{secrets.token_hex(4)}"

    @property
    def directory(self) -> Path:
        """Return this session's directory, on the scratch that login side and nodes share."""
        return places.SCRATCH / self._mark

    @property
    def mark(self) -> str:
        """Return the name that marks the processes of this session's users."""
        return self._mark

    @property
    def memory_limits(self) -> str:
        """Return 'cgroup' or 'polling': how memory limits are enforced."""
        return places.memory_limits()

    @property
    def local_disk(self) -> Path:
        """Return the directory that is another one in each container."""
        return places.STATE / "local"

    @property
    def secrets(self) -> list[Path]:
        """Return the munge key and the password of the database."""
        names = ("munge-key", "database-password")
        return [places.STATE / "munge" / "key", *(places.SECRETS / name for name in names)]

    def environment(self) -> dict[str, str]:
        """Return what users' commands need to find this cluster."""
        return {"SLURM_CONF": str(places.SLURM / "slurm.conf")}

    def admin(self, argv: Sequence[str], timeout: float = 60) -> str:
        """Run a Slurm command as root and return its output."""
        return machine.call(argv, timeout=timeout)

    def wait(self) -> None:
        """Wait until the nodes take jobs."""
        said = ""

        def ready() -> bool:
            nonlocal said
            try:
                states = self.node_states()
            except ClusterError as error:
                said = str(error)
                return False
            said = str(states)
            return all(states.get(name) in READY for name in self.shape.up)

        if not wait_until(ready, PATIENCE, every=0.3):
            raise ClusterError(f"not all nodes take jobs after {PATIENCE:g} s: {said}")

    def start(self) -> None:
        """Wait until the nodes take jobs, and make the session's directories."""
        self.wait()
        for name in machine.USERS:
            for path in (self.scratch_dir(name), self.shared_dir(name)):
                path.mkdir(mode=0o700, parents=True)
                shutil.chown(path, name, name)

    def stop(self) -> None:
        """End what the users left here, and remove the session's directories."""
        end_all(lambda: left_by_users(self.mark))
        shutil.rmtree(self.directory)


def main() -> None:
    """Wait until the cluster takes jobs, or say why it does not."""
    try:
        AttachedCluster().wait()
    except ClusterError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
