"""Keep the workers busy with items, and note each one that is done, while the script does its own.

A thread starts items, never more at once than are computed at once and a few, tries those again
that failed, and stops taking new ones before the walltime ends.
"""

import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta

from pangeo_hpc.errors import StoppedInTime
from pangeo_hpc.workflow.attempt import Attempt
from pangeo_hpc.workflow.deadline import Pace
from pangeo_hpc.workflow.mapping.items import Item
from pangeo_hpc.workflow.mapping.ledger import Done, Failure, MapLedger
from pangeo_hpc.workflow.mapping.pool import Ended, Outcome, Pool

# Seconds between looks at the walltime and at signals while nothing ends.
_LOOK = 1.0
# With less walltime than this, items that are still computed are given up.
_GIVE_UP = timedelta(seconds=8)
# Items shorter than this (seconds) wait on the workers, so that none is idle between two of them.
_SHORT, _TINY = 1.0, 0.1
_PATIENCE = 60.0
# With so many at work, some are noted together that end within a moment (seconds).
_MANY, _LINGER = 16, 0.05


class Pump:
    """Computes the items of a map that are missing, in a thread of its own.

    `name` and `total` are for words to a person. `finished` and `failed` fill while it works.
    """

    def __init__(
        self,
        attempt: Attempt,
        ledger: MapLedger,
        pool: Callable[[], Pool],
        todo: Sequence[Item],
        *,
        name: str,
        total: int,
        made: str,
        tries: int,
        finished: dict[str, Done],
    ) -> None:
        self.finished = finished
        self.failed: dict[str, Failure] = {}
        self._attempt, self._ledger, self._open = attempt, ledger, pool
        self._name, self._total, self._made, self._most = name, total, made, tries
        self._waiting = deque(todo)
        # items whose worker died; each is tried again with nothing beside it
        self._suspects: deque[Item] = deque()
        self._alone: set[str] = set()
        self._tries: Counter[str] = Counter()
        self._flying = 0
        self._pace = Pace(done.seconds for done in finished.values())
        self._told: queue.SimpleQueue[Ended | None] = queue.SimpleQueue()
        self._news = threading.Condition()
        self._closed = self._over = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"map-{name}", daemon=True)

    def start(self) -> None:
        """Begin to compute."""
        self._thread.start()

    def wait_for(self, digest: str) -> None:
        """Wait until an item has ended. Raise what ended the map, if that comes first."""
        with self._news:
            while digest not in self.finished and digest not in self.failed and self._goes_on():
                self._news.wait()

    def wait_for_news(self, known: Collection[str]) -> list[str]:
        """Wait until more is finished than is known, and return it; nothing if it is over.

        Raise what ended the map, if that comes first.
        """
        with self._news:
            while len(self.finished) == len(known) and self._goes_on():
                self._news.wait()
            return [digest for digest in self.finished if digest not in known]

    def _goes_on(self) -> bool:
        if self._error is not None:
            raise self._error
        return self._thread.is_alive() and not self._over

    def close(self) -> None:
        """Give up what is not done, and wait until nothing more is written."""
        self._closed = True
        self._told.put(None)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_PATIENCE)

    def _run(self) -> None:
        try:
            pool = self._open()
            try:
                self._work(pool)
            finally:
                pool.close()
        except BaseException as error:  # noqa: BLE001, it is raised where the results are waited for
            self._error = error
        finally:
            with self._news:
                self._over = True
                self._news.notify_all()

    def _work(self, pool: Pool) -> None:
        while (self._waiting or self._suspects or self._flying) and not self._closed:
            why = self._fill(pool)
            if why and (not self._flying or self._must_end()):
                self._stop(why)
            if self._flying:
                self._note(pool.outcomes(self._collect(_LOOK)))
        if self._closed:
            self._note(pool.outcomes(self._collect(0.0)))

    def _fill(self, pool: Pool) -> str | None:
        """Start what there is room for; return why no more is started, if that is for the time."""
        if self._suspects and not self._waiting and not self._flying:
            suspect = self._suspects.popleft()
            self._alone.add(suspect.digest)
            self._waiting.append(suspect)
        why = self._attempt.signals.asked or self._attempt.deadline.too_late(self._pace)
        room = min(self._room(pool.width) - self._flying, len(self._waiting))
        if why or room <= 0:
            return why
        items = [self._waiting.popleft() for _ in range(room)]
        self._tries.update(item.digest for item in items)
        self._flying += len(items)
        pool.start(items, self._told.put)
        return None

    def _room(self, width: int) -> int:
        slowest = self._pace.slowest.total_seconds()
        if not slowest or slowest > _SHORT:
            return width
        return 2 * width if slowest > _TINY else max(16 * width, 64)

    def _collect(self, patience: float) -> list[Ended]:
        """Return the tries that have ended, at least one unless none does for a while."""
        found: list[Ended] = []
        linger = 0.0
        try:
            while True:
                ended = self._told.get(timeout=patience if not found else linger)
                if ended is not None:
                    found.append(ended)
                # many that are noted together cost little more than one, while others wait on the
                # workers; with half of them gone it is time for more
                many = self._flying > _MANY and len(found) < self._flying // 2
                linger = _LINGER if many else 0.0
        except queue.Empty:
            return found

    def _note(self, ended: Sequence[Ended]) -> None:
        self._flying -= len(ended)
        done: dict[Item, Done] = {}
        fatal: BaseException | None = None
        for each in ended:
            if each.outcome is None:
                fatal = each.fatal
            elif each.outcome.kept is None:
                self._failed(each.item, each.outcome)
            else:
                outcome, forced = each.outcome, self._attempt.forced
                done[each.item] = Done(each.outcome.kept, self._made, forced, outcome.seconds)
                self._pace.add(outcome.seconds)
        if done:
            self._ledger.commit(done)
            with self._news:
                self.finished |= {item.digest: entry for item, entry in done.items()}
        if done or self.failed:
            self._tell()
        if fatal is not None:
            raise fatal

    def _failed(self, item: Item, outcome: Outcome) -> None:
        tries = self._tries[item.digest]
        suspect = outcome.died and item.digest not in self._alone
        again = suspect or (tries < self._most and not outcome.died)
        what = f"try {tries} of {self._most} failed" if self._most > 1 else "failed"
        self._attempt.progress.say(f"{self._name}: {item.label}: {what}: {outcome.error}")
        if again:
            (self._suspects if suspect else self._waiting).append(item)
            return
        failure = Failure(item.label, outcome.error, outcome.trace, tries)
        self._ledger.fail(item, failure)
        self.failed[item.digest] = failure

    def _tell(self) -> None:
        failed = f", {len(self.failed)} failed" if self.failed else ""
        done = self._done()
        self._attempt.progress.count(self._name, done, f"items done{failed}")
        with self._news:
            self._news.notify_all()

    def _done(self) -> int:
        left = len(self._waiting) + len(self._suspects) + self._flying
        return self._total - left - len(self.failed)

    def _must_end(self) -> bool:
        left = self._attempt.deadline.left()
        return left is not None and left < _GIVE_UP

    def _stop(self, why: str) -> None:
        done = self._done()
        text = (
            f"run {self._attempt.folder.name} stopped in time: {done} of {self._total} items of "
            f"{self._name} are done, {why}"
        )
        raise StoppedInTime(text, hint="run it again to go on")
