"""A Slurm cluster of five nodes on this machine, for tests and for use by hand."""

import atexit
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Self

from tests.cluster import accounting, cgroups, layout, machine, record
from tests.cluster.config import NODES, ONE_MACHINE, UP_NODES, ClusterConfig
from tests.cluster.daemons import (
    Daemon,
    Process,
    end_all,
    wait_for_port,
    wait_for_socket,
    wait_until,
)
from tests.cluster.errors import ClusterError
from tests.cluster.face import Cluster
from tests.cluster.find import left_by_users, on_nodes


class SlurmCluster(Cluster):
    """Daemons, nodes and users of one cluster on this machine."""

    shape = ONE_MACHINE
    interface = "lo"

    def __init__(self, config: ClusterConfig | None = None, *, owned: bool = True) -> None:
        """Describe a cluster; owned means that it ends with this process."""
        self.config = config or ClusterConfig()
        self.owned = owned
        self.daemons: dict[str, Daemon] = {}
        self._record: record.Record | None = None

    @classmethod
    def attach(cls, directory: Path) -> Self | None:
        """Return the cluster that another process started there; None if there is none."""
        found = record.load(directory)
        if found is None:
            return None
        cluster = cls(found.config, owned=False)
        cluster._record = found
        for name, process in found.processes.items():
            cluster.daemons[name] = layout.daemon(found, name)
            cluster.daemons[name].process = process
        return cluster

    # What others need to know

    @property
    def record(self) -> record.Record:
        """Return what start() decided."""
        if self._record is None:
            raise ClusterError("the cluster is not started")
        return self._record

    @property
    def directory(self) -> Path:
        """Return the state directory."""
        return self.record.directory

    @property
    def mark(self) -> str:
        """Return the name that marks this cluster's cgroups, mounts and processes."""
        return self.record.mark

    @property
    def memory_limits(self) -> str:
        """Return 'cgroup' or 'polling': how memory limits are enforced."""
        return self.record.memory_limits

    @property
    def local_disk(self) -> Path:
        """Return the directory that is another one on each node, empty at its start."""
        return self.directory / "local"

    @property
    def secrets(self) -> list[Path]:
        """Return the munge key and the password of the database."""
        found = [self.directory / "munge" / "key"]
        return [*found, self.directory / "slurmdbd.conf"] if self.config.accounting else found

    def environment(self) -> dict[str, str]:
        """Return what users' commands need to find this cluster."""
        return {"SLURM_CONF": str(self.directory / "slurm.conf")}

    def admin(self, argv: Sequence[str], timeout: float = 60) -> str:
        """Run a Slurm command as root and return its output."""
        return machine.call(argv, timeout=timeout, env=layout.environment(self.record))

    def pids(self, node: str | None = None) -> list[int]:
        """Return the processes of one node or of all: slurmd, steps and jobs."""
        return on_nodes(self.mark, node)

    # Life

    def start(self) -> None:
        """Start every daemon and wait until four nodes are idle; whole or not at all."""
        if os.geteuid() != 0:
            raise ClusterError("the test cluster needs root: it starts nodes and changes users")
        if self._record is not None:
            raise ClusterError("the cluster is started already")
        machine.ensure_packages()
        machine.ensure_users()
        machine.ensure_hosts(NODES)
        sweep()
        owner = Process.of(os.getpid()) if self.owned else None
        limits = self.config.memory_limits or cgroups.probe()
        self._record = record.create(self.config, owner, limits)
        if self.owned:
            atexit.register(self.stop)
        where = self.directory
        print(f"test cluster in {where}: memory limits by {limits}", file=sys.stderr)
        try:
            self._start_all()
        except BaseException as error:
            error.add_note(f"its files stay in {where} until the next start of a test cluster")
            self.stop(keep=True)
            raise

    def stop(self, *, keep: bool = False) -> None:
        """End all this cluster started and remove what it made; keep leaves files for a look."""
        if self._record is None:
            return
        end_all(lambda: left_by_users(self.mark))
        for daemon in reversed(self.daemons.values()):
            daemon.stop(signal.SIGKILL)
        end_all(self.pids)
        cgroups.remove(self.mark)
        self.record.end(keep=keep)
        self.daemons.clear()
        self._record = None
        atexit.unregister(self.stop)

    def stop_controller(self) -> None:
        """End slurmctld; jobs go on. Killed before it wrote its state, it would forget some."""
        self.daemons["slurmctld"].stop(patience=60)

    def start_controller(self) -> None:
        """Start slurmctld and wait until it answers."""
        self._start("slurmctld")
        self._wait("slurmctld", self._controller_answers)

    def restart_controller(self) -> None:
        """End slurmctld and start it again."""
        self.stop_controller()
        self.start_controller()

    @contextmanager
    def configured(self, *lines: str, instead: Mapping[str, str] | None = None) -> Iterator[None]:
        """Run the cluster with more lines in slurm.conf for a while, and words changed there."""
        conf = self.directory / "slurm.conf"
        before = text = conf.read_text()
        for old, new in (instead or {}).items():
            assert old in text, f"{old} is not in slurm.conf"
            text = text.replace(old, new)
        try:
            conf.write_text("\n".join([text, *lines, ""]))
            self.restart_controller()
            yield
        finally:
            conf.write_text(before)
            self.restart_controller()

    def stop_database(self) -> None:
        """End slurmdbd; jobs go on, and nobody is told of accounts and history."""
        self.daemons["slurmdbd"].stop()

    def start_database(self) -> None:
        """Start slurmdbd and wait until it answers."""
        self._start("slurmdbd")
        self._wait("slurmdbd", self._database_answers)

    def kill_node(self, name: str, *, only_daemon: bool = False) -> None:
        """Let a node die at once with all its processes, or only its slurmd.

        The controller notices after SlurmdTimeout (30 s); mark_down tells it at once.
        """
        self.daemons[name].stop(signal.SIGKILL)
        if not only_daemon:
            end_all(lambda: self.pids(name))

    def start_node(self, name: str) -> None:
        """Start a node's slurmd and wait until the controller can use the node."""
        self._start(name)
        # a controller that has not noticed the death calls the node idle all the time
        wait_for_port(self.daemons[name], self.record.ports[name])
        self._wait(name, partial(self._is, name, "idle", "mixed", "allocated"))

    def _start_all(self) -> None:
        layout.make_folders(self.record)
        self._start("munged")
        layout.write_configuration(self.record)
        wait_for_socket(self.daemons["munged"], self.directory / "munge" / "socket")
        if self.config.accounting:
            self._start("mariadbd")
            wait_for_socket(self.daemons["mariadbd"], self.directory / "db" / "socket")
            self._start("slurmdbd")
            wait_for_port(self.daemons["slurmdbd"], self.record.ports["slurmdbd"])
            accounting.set_up(layout.environment(self.record))
        if self.memory_limits == "cgroup":
            cgroups.create(self.mark)
        self._start("slurmctld")
        for name in UP_NODES:
            self._start(name)
        self._wait("slurmctld", self._controller_answers)
        for name in UP_NODES:
            self._wait(name, partial(self._is, name, "idle"))

    def _start(self, name: str) -> None:
        daemon = layout.daemon(self.record, name)
        if name in self.daemons and self.daemons[name].alive:
            raise ClusterError(f"{name} runs already")
        self.daemons[name] = daemon
        daemon.start(layout.environment(self.record))
        self.record.processes[name] = daemon.process
        self.record.save()

    def _wait(self, name: str, ready: Callable[[], object], seconds: float = 120) -> None:
        daemon = self.daemons[name]

        def check() -> object:
            daemon.check()
            return ready()

        if not wait_until(check, seconds):
            text = f"{name} is not ready after {seconds:g} s\n{daemon.describe()}"
            if name in NODES:
                text += "\n" + self.admin(["sinfo", "--list-reasons"])
            raise ClusterError(text)

    def _is(self, node: str, *states: str) -> bool:
        return self.node_states()[node] in states

    def _database_answers(self) -> bool:
        try:
            return bool(self.admin(["sacctmgr", "--noheader", "show", "cluster"]))
        except ClusterError:
            return False

    def _controller_answers(self) -> bool:
        try:
            return "is UP" in self.admin(["scontrol", "ping"])
        except ClusterError:
            return False


def sweep() -> None:
    """End the clusters that killed test runs left behind."""
    with record.abandoned() as found:
        for each in found:
            print(f"ending an abandoned test cluster in {each.directory}", file=sys.stderr)
            cluster = SlurmCluster.attach(each.directory)
            if cluster is not None:
                cluster.stop()
