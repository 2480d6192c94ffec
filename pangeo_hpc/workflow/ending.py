"""How a script of a run ends: deliberate errors become words and an exit code, signals a stop."""

import signal
import sys
import threading
from datetime import timedelta
from types import FrameType, TracebackType
from typing import Any

from pangeo_hpc.errors import Exit, PangeoHpcError, RunBusy, StoppedInTime
from pangeo_hpc.units import format_duration
from pangeo_hpc.workflow.deadline import Deadline

# A SIGTERM this near the end of the walltime is the scheduler's last warning.
LAST_WARNING = timedelta(minutes=5)


class Words:
    """While installed, an uncaught PangeoHpcError ends the script with its message and exit code.

    It stays installed while an error leaves the script, and is taken away after a good end.
    """

    def __init__(self) -> None:
        self._before = sys.excepthook

    def install(self) -> None:
        """Take the place of the excepthook that is there."""
        if not isinstance(sys.excepthook, Words):
            self._before = sys.excepthook
            sys.excepthook = self

    def remove(self) -> None:
        """Put the earlier excepthook back."""
        if sys.excepthook is self:
            sys.excepthook = self._before

    def __call__(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        """Tell the error. Raise SystemExit with its exit code if it is one of ours."""
        if not isinstance(error, PangeoHpcError):
            self._before(kind, error, trace)
            return
        start = "" if isinstance(error, StoppedInTime) else "error: "
        sys.stderr.write(f"{start}{error}\n")
        sys.stderr.flush()
        raise SystemExit(int(error.exit_code))


def exit_status(error: BaseException | None) -> int:
    """Return what a script ends with if this error leaves it; 0 without one."""
    if error is None:
        return 0
    if isinstance(error, PangeoHpcError):
        return int(error.exit_code)
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return int(Exit.INTERRUPTED if isinstance(error, KeyboardInterrupt) else Exit.NO)


class Signals:
    """While entered, SIGUSR1 asks for a stop after the unit at work, SIGTERM for a stop at once.

    ``--signal=B:USR1@120`` sends the first. The second means 75, run again, near the end of the
    walltime; at any other time somebody wants the run ended, and it ends as if by the signal. An
    attempt that lost its run to a later one is ended by `lost`, from any thread.
    """

    def __init__(self, name: str, deadline: Deadline) -> None:
        self.asked: str | None = None
        self._name = name
        self._deadline = deadline
        self._before: dict[int, Any] = {}
        self._loss: RunBusy | None = None

    def __enter__(self) -> "Signals":
        # Python lets only the main thread listen
        if threading.current_thread() is threading.main_thread():
            for number, handler in ((signal.SIGUSR1, self._warned), (signal.SIGTERM, self._ended)):
                self._before[number] = signal.signal(number, handler)
        return self

    def __exit__(self, *_: object) -> None:
        before, self._before = self._before, {}
        for number, handler in before.items():
            signal.signal(number, handler)

    def lost(self, error: RunBusy) -> None:
        """Let the main thread end with an error; without our handlers its next write does that."""
        self._loss = error
        if self._before:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def _warned(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = "asked to stop by SIGUSR1"

    def _ended(self, _number: int, _frame: FrameType | None) -> None:
        # it may come twice, to the job and to the step; the first one is being obeyed
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if self._loss is not None:
            raise self._loss
        left = self._deadline.left()
        if left is None or left > LAST_WARNING:
            raise SystemExit(128 + signal.SIGTERM)
        rest = format_duration(max(left, timedelta(0)))
        text = f"run {self._name} stopped in time: SIGTERM with {rest} of walltime left"
        raise StoppedInTime(text, hint="run it again to go on")
