"""Where a copy begins: what is at its place already, and what of that is right."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pangeo_hpc.errors import UsageError
from pangeo_hpc.workflow.attempt import Attempt
from pangeo_hpc.workflow.staging.ledger import Copied, StagingLedger
from pangeo_hpc.workflow.staging.places import Folder, Store, sums_of
from pangeo_hpc.workflow.staging.source import Source

THREADS = 8
_SHOWN = 5

Place = Folder | Store


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How an output is copied; see `Run.stage_out`."""

    overwrite: bool = False
    verify: bool = False
    threads: int = THREADS


@dataclass(frozen=True)
class Beginning:
    """One copy before its first file is sent; `open_place` takes the mark of the copy."""

    attempt: Attempt
    ledger: StagingLedger
    source: Source
    open_place: Callable[[str], Place]
    choices: Choices

    def place(self) -> tuple[Place, dict[str, Copied]]:
        """Return the place and the files that are there and right already."""
        place = self.open_place(self.ledger.token or "")
        there = place.sizes()
        if self.ledger.complete and there:
            place.repairs = True
            done = self._still_right(place)
            if len(done) < len(self.source.stamps) or there.keys() - self.source.stamps.keys():
                return self._again(place, done)
            return place, done
        begun = self.ledger.token is not None and not self.ledger.complete
        if there and not (begun and isinstance(place, Store)):
            # something else is there, or what a copy renamed there whose end was not noted
            if not self.choices.overwrite:
                return self._as_a_copy(place)
            if not begun:
                return self._fresh(place), {}
        elif not begun:
            return self._fresh(place), {}
        return place, self._still_right(place)

    def _fresh(self, place: Place) -> Place:
        """Begin a copy from its first file; forget what an earlier one left beside the place."""
        place.repairs = False
        new = self.open_place(self.ledger.begin(self.source.path, place.shown))
        place.clear()
        return new

    def _again(self, place: Place, done: dict[str, Copied]) -> tuple[Place, dict[str, Copied]]:
        """Go on with a copy that was complete, and is not what the output is now."""
        source, before = self.source, self.ledger.done()
        changed = [key for key in source.stamps if not _as_it_was(source, key, before.get(key))]
        extra = place.sizes().keys() - source.stamps.keys()
        if changed or extra:
            if not self.choices.overwrite:
                odd = ", ".join(sorted({*changed, *extra})[:_SHOWN]) or source.path.name
                text = f"{place.shown} is a copy of an earlier {source.path.name}, which differs"
                hint = "stage_out(…, overwrite=True) replaces it, name= adds one"
                raise UsageError(f"{text}: {odd}", hint=hint)
            return self._fresh(place), {}
        bad = [key or source.path.name for key in source.stamps if key not in done]
        self.attempt.progress.say(
            f"{place.shown}: {len(bad)} files are damaged or missing, and are copied again: "
            f"{', '.join(bad[:_SHOWN])}"
        )
        self.ledger.reopen()
        return place, done

    def _still_right(self, place: Place) -> dict[str, Copied]:
        """Return the files whose source is as it was, and whose copy has its size or content."""
        source, there = self.source, place.begun()
        found = {
            key: copied
            for key, copied in self.ledger.done().items()
            if key in source.stamps
            and there.get(key) == copied.sums.bytes
            and _as_it_was(source, key, copied)
        }
        if not self.choices.verify:
            return found

        def right(key: str) -> bool:
            self.attempt.lease.fence.check()
            return place.check(key, found[key].sums, lambda: None, whole=True)

        with ThreadPoolExecutor(self.choices.threads) as threads:
            fine = list(threads.map(right, found))
        return {key: found[key] for key, good in zip(found, fine, strict=True) if good}

    def _as_a_copy(self, place: Place) -> tuple[Place, dict[str, Copied]]:
        """Take what is at the place as the copy. Raise UsageError unless it is the same."""
        same = _the_same(self.source, place)
        place = self.open_place(self.ledger.begin(self.source.path, place.shown))
        place.repairs = True
        for key, copied in same.items():
            self.ledger.commit(key, copied)
        return place, same


def _as_it_was(source: Source, key: str, before: Copied | None) -> bool:
    """Tell whether a file is what was copied; a purge makes people touch their files."""
    stamp = source.stamps[key]
    if before is None or before.stamp.bytes != stamp.bytes:
        return False
    return before.stamp.mtime == stamp.mtime or before.sums == sums_of(source.file(key))


def _the_same(source: Source, place: Place) -> dict[str, Copied]:
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
