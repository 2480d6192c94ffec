"""One question for the worker jobs of all clusters of this process, as seldom as will do.

At most one to each batch system in an interval, as on the hub: the interval is never less than
five times what the last answer took. It is short only while something starts or ends.
"""

import threading
import time
from collections.abc import Callable

from pangeo_hpc import jobs
from pangeo_hpc.dask.desk import Desk
from pangeo_hpc.errors import PangeoHpcError

# Seconds from one question to the next while something starts or ends, and otherwise.
FAST, SLOW = 3.0, 15.0
# No question takes more than this part of the time.
_SHARE = 5


class Follower:
    """A thread that asks on behalf of every desk that is here."""

    def __init__(
        self, *, fast: float = FAST, slow: float = SLOW, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.fast, self.slow, self.clock = fast, slow, clock
        self._desks: list[Desk] = []
        self._next: dict[str, tuple[float, float]] = {}  # when it was asked, and how long that took
        self._news = threading.Condition()
        self._asking = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, desk: Desk) -> None:
        """Begin to follow the jobs of a desk."""
        with self._news:
            self._desks.append(desk)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="pangeo-hpc-follower", daemon=True
                )
                self._thread.start()
            self._news.notify()

    def remove(self, desk: Desk) -> None:
        """Follow the jobs of a desk no more."""
        with self._news:
            self._desks = [other for other in self._desks if other is not desk]
            self._news.notify()

    def wake(self) -> None:
        """Look again at when to ask: something has begun or ended."""
        with self._news:
            self._news.notify()

    def refresh(self, desk: Desk) -> None:
        """Ask now, unless that was done in the last moments and nothing has happened since.

        A job was submitted since, or workers came of one that was said to wait: its node is not
        known yet. A batch system that is slow to answer, or does not, is not asked more often.
        """
        with self._asking:
            asked, took = self._next.get(key_of(desk), (float("-inf"), 0.0))
            usual = 0.0 if desk.ledger.surprised > asked else self.fast
            old = self.clock() - asked > max(usual, _SHARE * took)
            if old or desk.ledger.newest > asked:
                self._ask(key_of(desk), [desk])

    def _run(self) -> None:
        while True:
            with self._news:
                if not self._desks:
                    self._thread = None
                    return
                groups: dict[str, list[Desk]] = {}
                for desk in self._desks:
                    groups.setdefault(key_of(desk), []).append(desk)
                left = {key: self._pause(key, desks) for key, desks in groups.items()}
                if min(left.values()) > 0:
                    self._news.wait(min(left.values()))
                    continue
            for key, desks in groups.items():
                if left[key] <= 0:
                    with self._asking:
                        if self._pause(key, desks) <= 0:
                            self._ask(key, desks)

    def _pause(self, key: str, desks: list[Desk]) -> float:
        """Return the seconds until a batch system is to be asked."""
        if not any(desk.ledger.open() for desk in desks):
            return self.slow
        asked, took = self._next.get(key, (float("-inf"), 0.0))
        usual = self.fast if any(desk.ledger.restless() for desk in desks) else self.slow
        return asked + max(usual, _SHARE * took) - self.clock()

    def _ask(self, key: str, desks: list[Desk]) -> None:
        """Ask about all open jobs; no answer is no news."""
        with self._news:
            others = [desk for desk in self._desks if key_of(desk) == key]
        desks = [*desks, *(desk for desk in others if all(desk is not one for one in desks))]
        files = {i: path for desk in desks for i, path in desk.ledger.exit_files().items()}
        started = self.clock()
        try:
            first = desks[0]
            answers = jobs.status(
                first.scheduler, list(files), exit_files=files, runner=first.runner
            )
        except (PangeoHpcError, OSError):
            answers = {}
        self._next[key] = (started, self.clock() - started)
        for desk in desks:
            desk.ledger.told(answers)


def key_of(desk: Desk) -> str:
    """Return what tells one batch system from another."""
    return f"{desk.scheduler.kind} {desk.scheduler.options!r}"


follower = Follower()
