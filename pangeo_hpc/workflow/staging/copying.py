"""A copy while its files are sent: several at a time, each checked, what makes it readable last."""

import hashlib
import shutil
import threading
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice

from pangeo_hpc import files
from pangeo_hpc.errors import NotAllowed, StoppedInTime, UsageError
from pangeo_hpc.units import format_memory
from pangeo_hpc.workflow.attempt import Attempt
from pangeo_hpc.workflow.deadline import Pace
from pangeo_hpc.workflow.staging.begin import Choices, Place
from pangeo_hpc.workflow.staging.ledger import Copied, StagingLedger
from pangeo_hpc.workflow.staging.places import Folder
from pangeo_hpc.workflow.staging.source import Source, Stamp, survey

_TRIES = 2
# Seconds between two looks at whether the run is still ours.
_SELDOM = 1.0


class Copying:
    """One copy while its files are sent."""

    def __init__(
        self,
        attempt: Attempt,
        ledger: StagingLedger,
        source: Source,
        place: Place,
        done: Mapping[str, Copied],
        choices: Choices,
    ) -> None:
        self.attempt, self.ledger, self.source, self.place = attempt, ledger, source, place
        self.done, self.threads = dict(done), choices.threads
        self._stop = threading.Event()
        self._pace = Pace()
        self._looked = time.monotonic()

    def run(self) -> int:
        """Copy what is missing, what makes the copy readable last; return how many files."""
        progress, name = self.attempt.progress, f"{self.source.path.name} to {self.place.shown}"
        todo = [key for key in self.source.stamps if key not in self.done]
        last = [key for key in todo if key in self.source.roots]
        first = [key for key in todo if key not in self.source.roots]
        self._refuse_without_room(todo)
        progress.begin(name, len(self.done), len(self.source.stamps), what="files")
        try:
            self._send(first, name)
            self._unchanged()
            self._send(last, name)
            if todo or not self.ledger.complete:
                self.attempt.lease.check()
                self.place.finish(self.source.roots)
        finally:
            progress.end(name)
        return len(todo)

    def digest(self) -> str:
        """Return one digest of all files, by key and SHA-256."""
        lines = (f"{self.done[key].sums.sha256}  {key}\n" for key in sorted(self.done))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def _send(self, keys: list[str], name: str) -> None:
        waiting = iter(keys)
        with ThreadPoolExecutor(self.threads, thread_name_prefix="stage-out") as threads:
            flying: set[Future[float]] = set()
            try:
                while True:
                    for key in islice(waiting, 2 * self.threads - len(flying)):
                        flying.add(threads.submit(self._one, key))
                    if not flying:
                        return
                    ended, flying = wait(flying, timeout=1.0, return_when=FIRST_COMPLETED)
                    for each in ended:
                        self._pace.add(each.result())
                    self.attempt.progress.count(name, len(self.done), "files copied and checked")
                    self._stop_in_time(name)
            except BaseException:
                self._stop.set()
                threads.shutdown(cancel_futures=True)
                raise

    def _one(self, key: str) -> float:
        """Copy one file and check the copy; return its seconds."""
        began = time.monotonic()
        path, stamp = self.source.file(key), self.source.stamps[key]
        for _ in range(_TRIES):
            self.attempt.lease.fence.check()
            sums = self.place.put(key, path, self._watch)
            if Stamp.of(path.stat()) != stamp or sums.bytes != stamp.bytes:
                raise self._moved(key)
            if self.place.check(key, sums, self._watch, whole=False):
                copied = Copied(stamp, sums)
                self.ledger.commit(key, copied)
                self.done[key] = copied
                return time.monotonic() - began
        text = f"the copy of {path} at {self.place.shown} is not what was sent"
        raise NotAllowed(text, hint="the storage damages what it is given: tell its administrator")

    def _watch(self) -> None:
        if self._stop.is_set():
            raise InterruptedError

    def _unchanged(self) -> None:
        now = survey(self.source.path)
        for key in {*now.stamps, *self.source.stamps}:
            if now.stamps.get(key) != self.source.stamps.get(key):
                raise self._moved(key)

    def _moved(self, key: str) -> UsageError:
        text = f"{self.source.file(key)} was changed while it was copied"
        return UsageError(text, hint="copy it out when nobody writes it any more")

    def _stop_in_time(self, name: str) -> None:
        attempt = self.attempt
        if time.monotonic() - self._looked > _SELDOM:
            self._looked = time.monotonic()
            attempt.lease.check()
        why = attempt.signals.asked or attempt.deadline.too_late(self._pace)
        if why and len(self.done) < len(self.source.stamps):
            done = f"{len(self.done)} of {len(self.source.stamps)} files"
            text = f"run {attempt.folder.name} stopped in time: {done} of {name} are copied, {why}"
            raise StoppedInTime(text, hint="run it again to go on")

    def _refuse_without_room(self, todo: list[str]) -> None:
        if not isinstance(self.place, Folder):
            return
        here = next(parent for parent in self.place.target.parents if parent.exists())
        need = sum(self.source.stamps[key].bytes for key in todo)
        with files.refusals(here):
            free = shutil.disk_usage(here).free
        if need > free:
            text = f"{here} has {format_memory(free)} left, and {format_memory(need)} are to come"
            raise NotAllowed(text, hint="free some space, or stage out to somewhere else")
