"""Copy a finished output to where it stays: what is behind `Run.stage_out`."""

import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from pangeo_hpc import files
from pangeo_hpc.errors import NotAllowed, StoppedInTime, UsageError
from pangeo_hpc.scratch import inside
from pangeo_hpc.site import Site
from pangeo_hpc.units import format_memory
from pangeo_hpc.workflow.attempt import Attempt
from pangeo_hpc.workflow.deadline import Pace
from pangeo_hpc.workflow.holder import moment
from pangeo_hpc.workflow.staging.ledger import Copied, StagingLedger
from pangeo_hpc.workflow.staging.places import Folder, Store, sums_of
from pangeo_hpc.workflow.staging.source import Source, Stamp, survey

THREADS = 8
_SHOWN = 5
_TRIES = 2
# Seconds between two looks at whether the run is still ours.
_SELDOM = 1.0


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How an output is copied; see `Run.stage_out`."""

    overwrite: bool = False
    verify: bool = False
    threads: int = THREADS


def stage_out(
    attempt: Attempt,
    path: Path,
    to: str | Path,
    name: str,
    choices: Choices,
    site: Callable[[], Site],
) -> str:
    """Copy an output and return where the copy is. See `Run.stage_out`."""
    began = time.monotonic()
    _refuse_unfinished(attempt, path)
    source = survey(path)
    open_place = place_for(to, inside(Path(name)), site)
    shown = open_place("").shown
    ledger = StagingLedger(attempt.folder, path, shown, attempt.lease)
    attempt.lease.check()
    place, done = _begin(attempt, ledger, source, open_place, choices)
    copy = _Copy(attempt, ledger, source, place, done, choices)
    copied = copy.run()
    facts = {"files": len(source.stamps), "bytes": source.bytes}
    if copied or not ledger.complete:
        ledger.finish({**facts, "sha256": copy.digest()})
    told = {"place": shown, "at": moment(), "copied": copied, **facts}
    told["seconds"] = round(time.monotonic() - began, 3)
    attempt.staged.setdefault(str(path), {})[shown] = {**told, "sha256": copy.digest()}
    return shown


def place_for(
    to: str | Path, name: Path, site: Callable[[], Site]
) -> Callable[[str], Folder | Store]:
    """Return what opens the place of a copy: below a folder, at a URL, or in a store of the site.

    A word without a slash is the name of one of the site's object stores.
    """
    text = str(to)
    if text.startswith("file://"):
        to = Path(text.removeprefix("file://"))
    elif "://" in text:
        from fsspec.core import url_to_fs

        filesystem, root = url_to_fs(text)
        below = f"{root.rstrip('/')}/{name.as_posix()}"
        return lambda _: Store(filesystem, below, f"{text.rstrip('/')}/{name.as_posix()}")
    if isinstance(to, Path) or "/" in text or text.startswith(("~", ".")):
        target = Path(to).expanduser().absolute() / name
        return lambda token: Folder(target, token)
    from pangeo_hpc.data import object_store

    filesystem = object_store(text, site())
    return lambda _: Store(filesystem, name.as_posix(), f"{text}:{name.as_posix()}")


def _refuse_unfinished(attempt: Attempt, path: Path) -> None:
    for each in attempt.outputs:
        if each.path == path and not each.complete:
            text = f"{path} is unfinished: {each.skipped + each.written} of {each.units} are there"
            raise UsageError(text, hint="copy it out when it is complete")


def _begin(
    attempt: Attempt,
    ledger: StagingLedger,
    source: Source,
    open_place: Callable[[str], Folder | Store],
    choices: Choices,
) -> tuple[Folder | Store, dict[str, Copied]]:
    """Return the place and the files that are there and right already."""
    place = open_place(ledger.token or "")
    there = place.sizes()
    if ledger.complete and there:
        place.repairs = True
        done = _still_right(attempt, ledger, source, place, choices)
        if len(done) < len(source.stamps) or there.keys() - source.stamps.keys():
            return _again(attempt, ledger, source, place, open_place, done, choices)
        return place, done
    begun = ledger.token is not None and not ledger.complete
    if there and not (begun and isinstance(place, Store)):
        # something else is there, or what a copy renamed there whose end was not noted
        if not choices.overwrite:
            same = _the_same(source, place)
            place = open_place(ledger.begin(source.path, place.shown))
            place.repairs = True
            for key, copied in same.items():
                ledger.commit(key, copied)
            return place, same
        if not begun:
            return _fresh(ledger, source, place, open_place), {}
    elif not begun:
        return _fresh(ledger, source, place, open_place), {}
    return place, _still_right(attempt, ledger, source, place, choices)


def _fresh(
    ledger: StagingLedger,
    source: Source,
    place: Folder | Store,
    open_place: Callable[[str], Folder | Store],
) -> Folder | Store:
    """Begin a copy from its first file; forget what an earlier one left beside the place."""
    place.repairs = False
    new = open_place(ledger.begin(source.path, place.shown))
    place.clear()
    return new


def _again(
    attempt: Attempt,
    ledger: StagingLedger,
    source: Source,
    place: Folder | Store,
    open_place: Callable[[str], Folder | Store],
    done: dict[str, Copied],
    choices: Choices,
) -> tuple[Folder | Store, dict[str, Copied]]:
    """Go on with a copy that was complete, and is not what the output is now."""
    before = ledger.done()
    changed = [key for key in source.stamps if not _as_it_was(source, key, before.get(key))]
    extra = place.sizes().keys() - source.stamps.keys()
    if changed or extra:
        if not choices.overwrite:
            odd = ", ".join(sorted({*changed, *extra})[:_SHOWN]) or source.path.name
            text = f"{place.shown} is a copy of an earlier {source.path.name}, which differs: {odd}"
            raise UsageError(text, hint="stage_out(…, overwrite=True) replaces it, name= adds one")
        return _fresh(ledger, source, place, open_place), {}
    bad = [key or source.path.name for key in source.stamps if key not in done]
    attempt.progress.say(
        f"{place.shown}: {len(bad)} files are damaged or missing, and are copied again: "
        f"{', '.join(bad[:_SHOWN])}"
    )
    ledger.reopen()
    return place, done


def _as_it_was(source: Source, key: str, before: Copied | None) -> bool:
    """Tell whether a file is what was copied; a purge makes people touch their files."""
    stamp = source.stamps[key]
    if before is None or before.stamp.bytes != stamp.bytes:
        return False
    return before.stamp.mtime == stamp.mtime or before.sums == sums_of(source.file(key))


def _still_right(
    attempt: Attempt,
    ledger: StagingLedger,
    source: Source,
    place: Folder | Store,
    choices: Choices,
) -> dict[str, Copied]:
    """Return the files whose source is as it was and whose copy has the right size, or content."""
    there = place.begun()
    found = {
        key: copied
        for key, copied in ledger.done().items()
        if key in source.stamps
        and there.get(key) == copied.sums.bytes
        and _as_it_was(source, key, copied)
    }
    if not choices.verify:
        return found

    def right(key: str) -> bool:
        attempt.lease.fence.check()
        return place.check(key, found[key].sums, lambda: None, whole=True)

    with ThreadPoolExecutor(choices.threads) as threads:
        fine = list(threads.map(right, found))
    return {key: found[key] for key, good in zip(found, fine, strict=True) if good}


def _the_same(source: Source, place: Folder | Store) -> dict[str, Copied]:
    """Return what is at the place as copies, if it is the same down to every byte.

    Raise UsageError if it is not.
    """
    there = place.sizes()
    odd = [key for key, stamp in source.stamps.items() if there.get(key) != stamp.bytes]
    odd += sorted(there.keys() - source.stamps.keys())
    found: dict[str, Copied] = {}
    place.repairs = True
    for key in source.stamps if not odd else ():
        sums = sums_of(source.file(key))
        if not place.check(key, sums, lambda: None, whole=False):
            odd.append(key)
            break
        found[key] = Copied(source.stamps[key], sums)
    if odd:
        names = ", ".join(key or source.path.name for key in odd[:_SHOWN])
        text = f"{place.shown} is there already and differs: {names}"
        hint = "give the copy another name=, or overwrite=True replaces what is there"
        raise UsageError(text, hint=hint)
    return found


class _Copy:
    """One copy while its files are sent."""

    def __init__(
        self,
        attempt: Attempt,
        ledger: StagingLedger,
        source: Source,
        place: Folder | Store,
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
                    for key in _some(waiting, 2 * self.threads - len(flying)):
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


def _some(keys: Iterator[str], number: int) -> Iterator[str]:
    for _ in range(number):
        try:
            yield next(keys)
        except StopIteration:
            return
