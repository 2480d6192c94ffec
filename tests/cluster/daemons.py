"""Start, watch and end processes by pid and start time, across runs of the harness."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.cluster.errors import ClusterError


@dataclass(frozen=True)
class Process:
    """A process that cannot be taken for a later one with the same pid."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "Process":
        """Return the process with this pid; started is 0 when there is none."""
        return cls(pid, start_time(pid))

    @property
    def alive(self) -> bool:
        """Tell whether this very process still runs; a zombie does not."""
        return self.started != 0 and start_time(self.pid) == self.started

    def send(self, number: int) -> None:
        """Send a signal, if the process is still the one meant."""
        if self.alive:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass

    def as_dict(self) -> dict[str, int]:
        """Return what the state file keeps."""
        return asdict(self)


class Daemon:
    """One program in the foreground, with its log."""

    def __init__(self, name: str, argv: Sequence[str], log: Path) -> None:
        self.name = name
        self.argv = list(argv)
        self.log = log
        self.process = Process(0, 0)
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, env: Mapping[str, str]) -> None:
        """Start the program in a session of its own; what it prints goes beside its log."""
        with self.log.with_suffix(".out").open("ab") as out:
            try:
                self._child = subprocess.Popen(
                    self.argv,
                    env=dict(env),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    cwd="/",
                    umask=0o022,
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                raise ClusterError(f"{self.argv[0]} is not installed; run install.sh") from error
        self.process = Process.of(self._child.pid)

    @property
    def alive(self) -> bool:
        """Tell whether the program runs."""
        if self._child is not None and self._child.poll() is not None:
            return False
        return self.process.alive

    def check(self) -> None:
        """Raise ClusterError with the end of the log if the program has ended."""
        if not self.alive:
            code = "unknown" if self._child is None else self._child.wait(5)
            raise ClusterError(f"{self.name} ended with code {code}\n{self.describe()}")

    def describe(self) -> str:
        """Return the command and the end of what it printed, else of its log."""
        log = self.log.with_suffix(".out")
        if not log.exists() or not log.stat().st_size:
            log = self.log
        return f"command: {' '.join(self.argv)}\nend of {log}:\n{tail(log)}"

    def stop(self, number: int = signal.SIGTERM, patience: float = 10) -> None:
        """End the program: ask, wait, then kill."""
        for sign, seconds in ((number, patience), (signal.SIGKILL, 5)):
            self.process.send(sign)
            if wait_until(lambda: not self.alive, seconds, every=0.02):
                break
        if self._child is not None:
            self._child.wait(5)


def start_time(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; 0 for none and for a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, UnicodeDecodeError):
        return 0
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] in {"Z", "X"} else int(fields[19])


def all_pids() -> list[int]:
    """Return the pids of this machine."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def end_all(find: Callable[[], Iterable[int]], patience: float = 60) -> None:
    """Kill what find returns, again and again until it returns nothing."""
    deadline = time.monotonic() + patience
    while pids := list(find()):
        if time.monotonic() > deadline:
            raise ClusterError(f"processes that do not end: {pids}")
        for pid in pids:
            Process.of(pid).send(signal.SIGKILL)
        time.sleep(0.02)


def wait_until(ready: Callable[[], object], seconds: float, every: float = 0.1) -> bool:
    """Poll until ready returns something true or the time is over; say whether it did."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def until(ready: Callable[[], object], seconds: float = 240, every: float = 0.1) -> None:
    """Wait until ready returns something true; fail if it does not in time."""
    assert wait_until(ready, seconds, every), f"waited for {seconds} s"


def wait_for_socket(daemon: Daemon, path: Path, seconds: float = 120) -> None:
    """Wait until a Unix socket takes connections."""

    def answers() -> bool:
        daemon.check()
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(path)) == 0

    if not wait_until(answers, seconds, every=0.05):
        raise ClusterError(f"{daemon.name} does not listen at {path}\n{daemon.describe()}")


def wait_for_port(daemon: Daemon, port: int, seconds: float = 120) -> None:
    """Wait until a TCP port of this machine takes connections."""

    def answers() -> bool:
        daemon.check()
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    if not wait_until(answers, seconds, every=0.05):
        raise ClusterError(f"{daemon.name} does not listen at port {port}\n{daemon.describe()}")


def tail(path: Path, lines: int = 25) -> str:
    """Return the last lines of a log."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no log)"
