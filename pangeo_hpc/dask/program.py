"""A worker program on this machine: started, watched and ended by the cluster object.

Programs and not children of multiprocessing, so that a script needs no `__main__` guard.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from distributed.core import Status
from distributed.deploy.spec import ProcessInterface

from pangeo_hpc.dask.watch import SPILL
from pangeo_hpc.errors import NotAllowed, WorkerJobFailed

# Seconds a program gets to end by itself once it is told to.
_GRACE = 15.0


@dataclass(frozen=True)
class Launch:
    """What to start: a command, variables over those of this process, and a file for its output."""

    argv: tuple[str, ...]
    log: Path
    variables: Mapping[str, str] = field(default_factory=dict)


class Program(ProcessInterface):
    """One program that runs Dask workers.

    `prepare` makes its command from the scheduler's address and the program's name. `patience` is
    how many seconds it gets to end by itself before it is told to.
    """

    patience = 0.0

    def __init__(
        self,
        scheduler: str,
        name: str,
        *,
        prepare: Callable[[str, str], Launch],
        grace: float = _GRACE,
    ) -> None:
        super().__init__(scheduler=scheduler, name=name)
        self.scheduler, self.name = scheduler, name
        self.grace = grace
        self.launch: Launch | None = None
        self._prepare = prepare
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start the program in a session of its own: Ctrl-C is for the user's script alone."""
        self.launch = launch = self._prepare(self.scheduler, self.name)
        try:
            self._process = _popen(launch)
        except OSError as error:
            self.status = Status.failed
            self._tidy()
            message = f"{launch.argv[0]} cannot be started: {error.strerror}"
            raise NotAllowed(message) from error
        await super().start()

    @property
    def returncode(self) -> int | None:
        """Return how the program ended, None while it runs or before its start."""
        return _ended(self._process) if self._process else None

    def problem(self) -> WorkerJobFailed | None:
        """Return what to raise if the program has ended by itself."""
        code = self.returncode
        if code is None or self.launch is None:
            return None
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        text = f"Dask worker program {self.name} ended with {how}"
        return WorkerJobFailed(text + said(self.launch.log), hint=f"its output: {self.launch.log}")

    async def close(self) -> None:
        """End the program: first by a word, then by force, with all that it started."""
        if self._process is not None:
            await self._end(self._process)
        self._tidy()
        await super().close()

    def _tidy(self) -> None:
        if self.launch and SPILL in self.launch.variables:
            shutil.rmtree(self.launch.variables[SPILL], ignore_errors=True)

    async def _end(self, process: subprocess.Popen[bytes]) -> None:
        await self._until_ended(process, self.patience)
        if _ended(process) is None:
            os.kill(process.pid, signal.SIGTERM)
        await self._until_ended(process, self.grace)
        # not reaped yet, so that its number cannot be that of somebody else's session by now
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await self._until_ended(process, self.grace)
        process.poll()

    async def _until_ended(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while _ended(process) is None and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def _popen(launch: Launch) -> subprocess.Popen[bytes]:
    log = os.open(launch.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            launch.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **launch.variables},
            start_new_session=True,
        )
    finally:
        os.close(log)


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    """Return how a program ended, and leave its remains: negative numbers are signals."""
    if process.returncode is not None:
        return process.returncode
    news = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if news is None:
        return None
    return news.si_status if news.si_code == os.CLD_EXITED else -news.si_status


def said(log: Path, lines: int = 5) -> str:
    """Return the last lines of a log for quoting in an error, or nothing."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4000))
            words = file.read().decode(errors="replace").strip().splitlines()[-lines:]
    except OSError:
        return ""
    return "".join(f"\n  | {line}" for line in words)
