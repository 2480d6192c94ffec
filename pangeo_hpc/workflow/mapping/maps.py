"""Compute independent items, each once, and keep their results: what is behind `Run.map`."""

import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pangeo_hpc.errors import MapFailed, UsageError
from pangeo_hpc.workflow.attempt import Attempt, Written
from pangeo_hpc.workflow.mapping import function as mapping_function
from pangeo_hpc.workflow.mapping.items import Item, known
from pangeo_hpc.workflow.mapping.kept import Place
from pangeo_hpc.workflow.mapping.ledger import Done, Failure, MapLedger
from pangeo_hpc.workflow.mapping.pool import Pool, Threads, Workers
from pangeo_hpc.workflow.mapping.pump import Pump
from pangeo_hpc.workflow.plain import digest_of_json
from pangeo_hpc.workflow.writing.digest import Digest, changes, digest

OnError = Literal["raise", "skip"]
# So many failures are told in full; the rest are in the run's folder.
_ROWS, _TRACES, _WIDE = 20, 3, 40


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How a map is computed; see `Run.map`."""

    key: str | None = None
    item_key: Callable[[Any], Any] | None = None
    retries: int = 1
    name: str | None = None
    save: Path | None = None
    ordered: bool = True
    on_error: str = "raise"


def start(
    attempt: Attempt,
    function: Callable[[Any], Any],
    items: Iterable[Any],
    choices: Choices,
    client: Any,
) -> "Results":
    """Return the results of a map, which are computed while they are asked for.

    Raise UsageError at once for what cannot work.
    """
    _check(function, choices)
    name = mapping_function.name_of(function, choices.name)
    made = made_of(attempt, function, choices.key)
    _claim(attempt, name, made)
    known_items = known(items, choices.item_key)
    return Results(_Map(attempt, function, known_items, name, made, choices, client))


def made_of(attempt: Attempt, function: Callable[[Any], Any], key: str | None) -> dict[str, Any]:
    """Return what makes a result beside its item: as for outputs, and the function itself."""
    ours = digest(attempt.script, attempt.code, attempt.inputs, key).dump()
    if key is None:
        ours["function"] = mapping_function.code_of(function)
        ours["taken"] = mapping_function.taken_by(function)
    return ours


class Results(Iterator[Any]):
    """The results of a map, one after the other. When nobody has them any more, it ends."""

    def __init__(self, inner: "_Map") -> None:
        self._map = inner

    def __next__(self) -> Any:
        """Return the next result; it is computed first, unless it is kept already."""
        return next(self._map.results)

    def __del__(self) -> None:
        self._map.close()

    def close(self) -> None:
        """Compute no more; what is done is kept."""
        self._map.close()

    def end_with(self, stack: ExitStack) -> None:
        """Compute no more once a stack of contexts ends."""
        stack.callback(self._map.close)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Return the items that failed at last, as far as it has come."""
        return self._map.failures


class _Map:
    """One map while it is computed."""

    def __init__(
        self,
        attempt: Attempt,
        function: Callable[[Any], Any],
        items: Sequence[Item],
        name: str,
        made: Mapping[str, Any],
        choices: Choices,
        client: Any,
    ) -> None:
        self._attempt, self._function, self._items = attempt, function, items
        self.name, self._made, self._choices, self._client = name, made, choices, client
        self._pump: Pump | None = None
        self.results = self._iterate()

    def close(self) -> None:
        """Compute no more; what is done is kept."""
        self.results.close()
        if self._pump is not None:
            self._pump.close()

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Return the items that failed at last, as far as it has come."""
        return tuple(self._pump.failed.values()) if self._pump else ()

    def _iterate(self) -> Generator[Any, None, None]:
        began = time.monotonic()
        attempt, choices = self._attempt, self._choices
        ledger = MapLedger(attempt.folder, self.name, attempt.lease)
        place = self._place(ledger)
        once = list({item.digest: item for item in self._items}.values())
        finished = self._kept(ledger, once)
        todo = [item for item in once if item.digest not in finished]
        ledger.begin(self.name, self._made)
        ledger.sweep(place.data, place.mark)
        told = Written(choices.save or ledger.directory, len(once), skipped=len(finished))
        attempt.outputs.append(told)
        attempt.progress.begin(self.name, len(finished), len(once), what="items")
        pump = self._pump = Pump(
            attempt,
            ledger,
            lambda: self._pool(place),
            todo,
            name=self.name,
            total=len(once),
            made=digest_of_json(self._made)[:16],
            tries=choices.retries + 1,
            finished=finished,
        )
        try:
            if todo:
                pump.start()
            order = self._in_order(pump) if choices.ordered else self._as_done(pump)
            for done in order:
                told.first_unit = told.first_unit or time.monotonic()
                yield place.load(done.kept)
        finally:
            pump.close()
            attempt.progress.end(self.name)
            told.written = len(pump.finished) - told.skipped
            told.complete = len(pump.finished) == len(once)
            told.bytes = sum(done.kept.bytes for done in pump.finished.values())
            told.seconds = time.monotonic() - began
            told.facts |= {"map": self.name, "failed": [f.dump() for f in self.failures]}
        self._end(ledger)

    def _in_order(self, pump: Pump) -> Iterator[Done]:
        for item in self._items:
            pump.wait_for(item.digest)
            if item.digest in pump.finished:
                yield pump.finished[item.digest]

    def _as_done(self, pump: Pump) -> Iterator[Done]:
        often = Counter(item.digest for item in self._items)
        ready = deque(digest for digest in often if digest in pump.finished)
        seen = set(ready)
        while True:
            while ready:
                digest = ready.popleft()
                for _ in range(often[digest]):
                    yield pump.finished[digest]
            ready.extend(pump.wait_for_news(seen))
            if not ready:
                return
            seen.update(ready)

    def _end(self, ledger: MapLedger) -> None:
        failures = self.failures
        if not failures:
            return
        if self._choices.on_error == "skip":
            say = self._attempt.progress.say
            say(f"{self.name}: {len(failures)} items failed and are left out: {ledger.failed}")
            return
        raise failed(self.name, failures, len({item.digest for item in self._items}), ledger.failed)

    def _place(self, ledger: MapLedger) -> Place:
        data = self._choices.save or ledger.results
        mark = hashlib.sha256(f"{ledger.directory}".encode()).hexdigest()[:8]
        fence = self._attempt.lease.fence
        return Place(self._attempt.folder, ledger.results, data, mark, fence)

    def _pool(self, place: Place) -> Pool:
        if self._client is None:
            return Threads(self._function, place)
        return Workers(self._client, self.name, self._function, place)

    def _kept(self, ledger: MapLedger, items: Sequence[Item]) -> dict[str, Done]:
        """Return what earlier attempts kept and still holds; say why the rest does not."""
        made, forced = digest_of_json(self._made)[:16], self._attempt.forced
        found = ledger.done(items)
        fresh = {
            digest: done
            for digest, done in found.items()
            if (done.made == made or self._attempt.keep)
            and (forced is None or done.forced == forced)
        }
        there = {digest: done for digest, done in fresh.items() if done.kept.is_there()}
        say = self._attempt.progress.say
        if len(fresh) < len(found) and forced is None:
            told = _changes(self._attempt, ledger.made(), self._made)
            why = "; ".join(told) or "something has changed"
            say(f"{self.name}: {len(found) - len(fresh)} items are computed again: {why}")
        old = sum(1 for done in fresh.values() if done.made != made)
        if old:
            say(f"{self.name}: {old} results of an earlier script, environment or input are kept")
        if len(there) < len(fresh):
            lost = len(fresh) - len(there)
            say(f"{self.name}: {lost} results are no longer there, and are computed again")
        return there


def failed(name: str, failures: Sequence[Failure], total: int, folder: Path) -> MapFailed:
    """Return the error that lists what failed."""
    tries = max(each.tries for each in failures)
    often = f" after {tries} tries each" if tries > 1 else ""
    lines = [f"{len(failures)} of {total} items of {name} failed{often}, the others are done:"]
    wide = min(_WIDE, max(len(each.item) for each in failures))
    lines += [f"  {each.item[:wide]:{wide}}  {each.error}" for each in failures[:_ROWS]]
    if len(failures) > _ROWS:
        lines.append(f"  and {len(failures) - _ROWS} more")
    for each in failures[:_TRACES]:
        lines += ["", f"{each.item}:", each.traceback.rstrip()]
    hint = f"all tracebacks are in {folder}; run it again to try these items again"
    return MapFailed("\n".join(lines), failures=failures, hint=hint)


def _check(function: Any, choices: Choices) -> None:
    retries: Any = choices.retries
    key: Any = choices.key
    if not callable(function):
        raise UsageError(f"{function!r} is not a function", hint="run.map(function, items)")
    if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
        hint = "retries=0 tries each item once"
        raise UsageError(f"retries={retries!r} is no number of retries", hint=hint)
    if choices.on_error not in ("raise", "skip"):
        hint = 'on_error="raise" or on_error="skip"'
        raise UsageError(f"on_error={choices.on_error!r} is unknown", hint=hint)
    if not isinstance(key, str | None):
        hint = "key= is a text that stands for the code; item_key= tells what an item is known by"
        raise UsageError(f"key={key!r} is no text", hint=hint)


def _claim(attempt: Attempt, name: str, made: Mapping[str, Any]) -> None:
    """Take a name for a function in this attempt. Raise UsageError if another one has it."""
    ours = {key: value for key, value in made.items() if key != "inputs"}
    other = attempt.maps.setdefault(name, ours)
    if other != ours:
        told = "; ".join(_changes(attempt, other, {**ours, "inputs": other.get("inputs") or {}}))
        text = f"run.map has computed something else under the name {name} before: {told}"
        raise UsageError(text, hint='give each of them a name: run.map(…, name="other")')


def _changes(attempt: Attempt, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    told = changes(was, Digest(now, now["packages"]), attempt.script)
    if was.get("function") != now.get("function"):
        told.append("the function has changed")
    old, new = was.get("taken") or {}, now.get("taken") or {}
    names = [name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)]
    return [*told, *(f"{name} has another value" for name in names)]
