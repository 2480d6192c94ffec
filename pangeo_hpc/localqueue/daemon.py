"""The daemon of a queue: it starts what can start, and leaves when there is nothing to do.

It knows nothing that is not on the disk, so that its death costs nothing: jobs run on under their
supervisors, and the next command, or a supervisor, starts another daemon.
"""

import logging
import signal
import subprocess
import time
from collections.abc import Mapping
from types import FrameType

from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.localqueue import trees
from pangeo_hpc.localqueue.launch import daemon_of, register, show_alive, start_supervisor
from pangeo_hpc.localqueue.plan import Claim, starts
from pangeo_hpc.localqueue.pulse import Pulse, wake
from pangeo_hpc.localqueue.records import Element
from pangeo_hpc.localqueue.settings import Settings
from pangeo_hpc.localqueue.settle import claim_of, dependencies, holds, settle
from pangeo_hpc.localqueue.store import Store
from pangeo_hpc.schedulers.base import JobState

_LOG = logging.getLogger(__name__)
_SWEEP_EVERY = 3600.0
_ATTEMPTS = 3
# Whoever started us may ignore these (nohup, a shell's background); jobs shall not inherit that.
_PLAIN = (signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD, signal.SIGTSTP, signal.SIGUSR1)


class Daemon:
    """One turn after the other, until idle for long enough or told to end."""

    def __init__(self, store: Store, settings: Settings, environ: Mapping[str, str]) -> None:
        self.store = store
        self.settings = settings
        self.environ = environ
        self.capacity = settings.capacity()
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.failures: dict[str, int] = {}
        self.not_before: dict[str, float] = {}
        self.busy_at = time.monotonic()
        self.swept_at: float | None = None
        self.told_to_end = False
        self.complaint = ""

    def serve(self) -> None:
        """Run until there is nothing to do, or at once if the queue has another daemon."""
        for number in _PLAIN:
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        with Pulse(self.store) as pulse:
            while (pause := self._careful_turn()) is not None:
                pulse.wait(pause)

    def _end(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.told_to_end = True
        wake(self.store)

    def _careful_turn(self) -> float | None:
        """Do one turn; a full disk or a held lock is waited out, a removed queue is not."""
        try:
            pause = self.turn()
        except (PangeoHpcError, OSError) as error:
            if str(error) != self.complaint:
                self.complaint = str(error)
                _LOG.warning("%s", error)
            gone = not self.store.root.exists()
            return None if self.told_to_end or gone else 5.0
        self.complaint = ""
        return pause

    def _is_ours(self) -> bool:
        """Tell whether we are the daemon still, or again; the caller holds the lock."""
        other = daemon_of(self.store)
        if other is None:
            register(self.store, trees.myself(), self.settings)
        return other is None or other == trees.myself()

    def turn(self) -> float | None:
        """Settle, start what can start, and return the seconds to the next turn, None to end."""
        now = time.time()
        self._collect()
        with self.store.locked():
            if not self._is_ours():
                return None
            show_alive(self.store)
            elements = settle(self.store, now=now)
            self._give_up(elements, now)
            self._sweep(now)
            chosen = self._choose(elements, now)
            if elements or self.children:
                self.busy_at = time.monotonic()
            left = self.busy_at + self.settings.idle - time.monotonic()
            if self.told_to_end or left <= 0:
                # Under the lock: whoever submits after this finds no daemon, and starts one.
                (self.store.root / "daemon.json").unlink(missing_ok=True)
                return None
        for element in chosen:
            self.children[element.id] = start_supervisor(
                self.store, element, self.settings, self.environ
            )
        if elements or self.children:
            return 1.0
        return min(5.0, left)

    def _choose(self, elements: list[Element], now: float) -> list[Element]:
        """Return the elements to start now."""
        running: list[Claim] = []
        waiting: dict[str, Element] = {}
        for element in elements:
            pending = element.standing.state is JobState.PENDING
            if holds(element) or (pending and element.id in self.children):
                running.append(claim_of(element, now))
            elif (
                pending
                and self.not_before.get(element.id, 0.0) <= now
                and not dependencies(self.store, element, elements).waiting
            ):
                waiting[element.id] = element
        claims = [claim_of(element, now) for element in waiting.values()]
        places = starts(claims, running, self.capacity)
        return [waiting[name] for name, seconds in places.items() if seconds <= 0]

    def _collect(self) -> None:
        """Take leave of supervisors that have ended, and remember those that failed to start."""
        for name, child in list(self.children.items()):
            code = child.poll()
            if code is None:
                continue
            del self.children[name]
            self.not_before[name] = time.time() + 1.0
            if code != 0:
                self.failures[name] = self.failures.get(name, 0) + 1

    def _give_up(self, elements: list[Element], now: float) -> None:
        """End elements whose supervisor never came up."""
        for element in elements:
            if element.standing.state is not JobState.PENDING:
                self.failures.pop(element.id, None)
            elif self.failures.get(element.id, 0) >= _ATTEMPTS:
                words = f"its supervisor does not start; see {self.store.root / 'daemon.log'}"
                self.store.write(element, element.standing.end(JobState.FAILED, words, now=now))

    def _sweep(self, now: float) -> None:
        """Forget old jobs, now and then."""
        if self.swept_at is not None and time.monotonic() - self.swept_at < _SWEEP_EVERY:
            return
        self.swept_at = time.monotonic()
        gone = self.store.sweep(keep=self.settings.keep, now=now)
        if gone:
            _LOG.info("forgot %d jobs that ended long ago", len(gone))
