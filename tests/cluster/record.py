"""The record of a cluster in its state directory: enough for another process to end it."""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.cluster import machine
from tests.cluster.config import BASE, NODES, ClusterConfig, MemoryLimits
from tests.cluster.daemons import Process
from tests.cluster.errors import ClusterError

FILE = "cluster.json"
FAILED = "failed.json"
PORTS = range(20000, 30000)
"""Below the ports that the kernel gives to outgoing connections, so that a restart finds its own
port free, and below the port range of the notebooks."""


@dataclass
class Record:
    """What was decided for a cluster before it started, and the processes started since."""

    config: ClusterConfig
    directory: Path
    mark: str
    ports: dict[str, int]
    memory_limits: MemoryLimits
    owner: Process | None
    processes: dict[str, Process] = field(default_factory=dict)

    def save(self) -> None:
        """Write the record in one step."""
        path = self.directory / FILE
        spare = path.with_suffix(".new")
        spare.write_text(json.dumps(asdict(self), default=str, indent=1))
        spare.replace(path)

    def end(self, *, keep: bool) -> None:
        """Remove the state directory, or mark it as kept for a look until the next start."""
        if keep:
            (self.directory / FILE).replace(self.directory / FAILED)
        else:
            shutil.rmtree(self.directory)

    @property
    def abandoned(self) -> bool:
        """Tell whether the run that owned it is gone; a cluster started by hand has no owner."""
        return self.owner is not None and not self.owner.alive


def load(directory: Path) -> Record | None:
    """Read the record in a directory; None where there is no cluster."""
    try:
        data = json.loads((directory / FILE).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    config = data["config"]
    if config["state_directory"]:
        config["state_directory"] = Path(config["state_directory"])
    return Record(
        config=ClusterConfig(**config),
        directory=Path(data["directory"]),
        mark=data["mark"],
        ports=data["ports"],
        memory_limits=data["memory_limits"],
        owner=data["owner"] and Process(**data["owner"]),
        processes={name: Process(**each) for name, each in data["processes"].items()},
    )


def create(config: ClusterConfig, owner: Process | None, limits: MemoryLimits) -> Record:
    """Make a state directory that every user can pass through, with the record of a cluster."""
    with _lock():
        taken = {port for each in _all() for port in each.ports.values()}
        path = config.state_directory or BASE / secrets.token_hex(4)
        if (path / FAILED).exists():
            shutil.rmtree(path)
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.chmod(0o755)
        if any(path.iterdir()):
            raise ClusterError(f"{path} is not empty; end the cluster in it or take another place")
        new = Record(
            config=config,
            directory=path,
            mark=f"pangeo-test-{secrets.token_hex(4)}",
            ports=_choose_ports(config.first_port, taken),
            memory_limits=limits,
            owner=owner,
        )
        new.save()
        return new


@contextmanager
def abandoned() -> Iterator[list[Record]]:
    """Give the clusters that killed runs left behind, to one caller at a time.

    Files kept of a start that failed go away here.
    """
    with _lock():
        for path in BASE.glob(f"*/{FAILED}"):
            shutil.rmtree(path.parent)
        yield [each for each in _all() if each.abandoned]


def _all() -> list[Record]:
    found = [load(BASE / name) for name in sorted(os.listdir(BASE))]
    return [each for each in found if each is not None]


@contextmanager
def _lock() -> Iterator[None]:
    BASE.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (BASE / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _choose_ports(first: int | None, taken: Collection[int]) -> dict[str, int]:
    """Return a port for the controller, the database daemon and each node."""
    names = ("slurmctld", "slurmdbd", *NODES)
    if first is not None:
        return {name: first + number for number, name in enumerate(names)}
    return dict(zip(names, machine.free_ports(PORTS, len(names), taken), strict=True))
