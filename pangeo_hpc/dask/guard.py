"""Runs the worker step of an allocation for as long as the script that started it lives.

A script that is killed, by kill -9 or for its memory, ends nothing: its `srun` goes on, and so does
the step on all nodes. This program stands between the two. It is run by its path, in an isolated
Python, and so uses nothing but the standard library.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

# Seconds between looks at the parent. Linux before 5.3 cannot be told of its end.
_LOOK = 0.5

# Seconds that a step gets to end by itself when its script is gone.
_GRACE = 6.0


def guarded(argv: Sequence[str]) -> tuple[str, ...]:
    """Return the command that runs another one no longer than this process lives."""
    return (sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv)


def main(words: Sequence[str]) -> int:
    """Run a command until it, or the process of that number, ends; return its exit code.

    Its process group must be its own: all of it is told to end when the parent is gone.
    """
    parent, argv = int(words[0]), words[1:]
    news, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(news, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: list[subprocess.Popen[bytes]] = []
    told: list[int] = []

    def tell(number: int, _: object) -> None:
        told.append(number)
        for each in running:
            each.terminate()

    # before the step begins: whoever hears from it may tell us to end at once
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, tell)
    step = subprocess.Popen(argv)
    running.append(step)
    if told:
        step.terminate()
    while step.poll() is None:
        if os.getppid() != parent:
            return _end(step)
        select.select([news], [], [], _LOOK)
        with suppress(BlockingIOError):
            os.read(news, 512)
    return _code(step)


def _end(step: "subprocess.Popen[bytes]") -> int:
    """End a step and whatever belongs to it, at last by force."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE
    while step.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(0, signal.SIGKILL)
    return _code(step)  # pragma: no cover - of its own group


def _code(step: "subprocess.Popen[bytes]") -> int:
    code = step.returncode
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
