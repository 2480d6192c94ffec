"""Where items are computed: on the workers of the run's Dask cluster, or in threads."""

import queue
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Protocol

from pangeo_hpc import machine
from pangeo_hpc.errors import PangeoHpcError, TaskTooLong, UsageError
from pangeo_hpc.workflow.mapping.items import Item
from pangeo_hpc.workflow.mapping.kept import Kept, Place

# Dask's own words of a worker that died again and again while it had a task.
_DIED = ("KilledWorker",)


@dataclass(frozen=True)
class Outcome:
    """What became of one try: what is kept, or the error in one line and its traceback.

    `died` tells that a worker died, which others that it computed may be the cause of.
    """

    kept: Kept | None
    seconds: float
    error: str = ""
    trace: str = ""
    died: bool = False


@dataclass(frozen=True)
class Ended:
    """The end of one try: its outcome, or what ends the whole map.

    With `future`, the pool can tell which of them, for many tries in one go.
    """

    item: Item
    outcome: Outcome | None
    fatal: BaseException | None = None
    future: Any = None


Tell = Callable[[Ended], None]


class Pool(Protocol):
    """Computes items; `width` is how many at once."""

    @property
    def width(self) -> int:
        """Return how many items are computed at once."""

    def start(self, items: Sequence[Item], tell: Tell) -> None:
        """Begin items, and tell the end of each from any thread."""

    def outcomes(self, ended: Sequence[Ended]) -> list[Ended]:
        """Return tries that have ended with their outcomes."""

    def close(self) -> None:
        """Begin no more."""


def compute(function: Callable[[Any], Any], value: Any, place: Place, label: str) -> Outcome:
    """Compute one item and keep its result. An error of the function is an outcome too."""
    began = time.monotonic()
    try:
        result = function(value)
    except (Exception, SystemExit) as error:  # noqa: BLE001, whatever a user's function raises
        # the first frame is this one
        trace = error.__traceback__.tb_next if error.__traceback__ else None
        told = "".join(traceback.format_exception(type(error), error, trace))
        return Outcome(None, time.monotonic() - began, _line(error), told)
    try:
        kept = place.keep(result, label)
    except PangeoHpcError:
        raise
    except (Exception, RecursionError) as error:  # noqa: BLE001, pickling runs a user's code too
        words = f"the result, a {type(result).__qualname__}, cannot be kept: {_line(error)}"
        return Outcome(None, time.monotonic() - began, words, traceback.format_exc())
    return Outcome(kept, time.monotonic() - began)


class Threads:
    """Threads of this process, which do not keep it from ending."""

    def __init__(self, function: Callable[[Any], Any], place: Place) -> None:
        self.width = machine.this_machine().cores
        self._function, self._place = function, place
        self._todo: queue.SimpleQueue[tuple[Item, Tell] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def start(self, items: Sequence[Item], tell: Tell) -> None:
        """Compute items as soon as threads are free."""
        for item in items:
            if len(self._threads) < self.width:
                thread = threading.Thread(target=self._work, name="run-map", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._todo.put((item, tell))

    def outcomes(self, ended: Sequence[Ended]) -> list[Ended]:
        """Return them as they are: they are told with their outcomes."""
        return list(ended)

    def close(self) -> None:
        """Let the threads end after what they are doing."""
        while not self._todo.empty():
            try:
                self._todo.get_nowait()
            except queue.Empty:
                break
        for _ in self._threads:
            self._todo.put(None)

    def _work(self) -> None:
        while (todo := self._todo.get()) is not None:
            item, tell = todo
            try:
                tell(Ended(item, compute(self._function, item.value, self._place, item.label)))
            except BaseException as error:  # noqa: BLE001, the map ends with it
                tell(Ended(item, None, error))


class Workers:
    """The workers of a Dask cluster. Results do not pass through this process."""

    def __init__(
        self, client: Any, name: str, function: Callable[[Any], Any], place: Place
    ) -> None:
        self._client, self._name, self._place = client, name, place
        self._work = _pickled(name, function)
        self._started = 0
        self._futures: dict[str, Any] = {}
        self._looked = float("-inf")
        self._width = 1

    @property
    def width(self) -> int:
        """Return the threads of all workers that are here, asked for once in two seconds."""
        now = time.monotonic()
        if now - self._looked > 2.0:
            self._looked = now
            self._width = max(1, sum(self._client.nthreads().values()))
        return self._width

    def start(self, items: Sequence[Item], tell: Tell) -> None:
        """Compute items on workers."""
        # one message to the scheduler for all of them
        futures = self._client.map(
            _compute,
            [item.value for item in items],
            [item.label for item in items],
            key=[self._key(item) for item in items],
            pure=False,
            work=self._work,
            place=self._place,
        )
        for item, future in zip(items, futures, strict=True):
            self._futures[future.key] = future
            future.add_done_callback(partial(self._ended, item, tell))

    def _key(self, item: Item) -> str:
        self._started += 1
        return f"{self._name}-{item.digest[:16]}-{self._place.fence.number}-{self._started}"

    def _ended(self, item: Item, tell: Tell, future: Any) -> None:
        self._futures.pop(future.key, None)
        tell(Ended(item, None, future=future))

    def outcomes(self, ended: Sequence[Ended]) -> list[Ended]:
        """Fetch the outcomes of tries together: one by one, each takes a message and its answer."""
        fine = [each for each in ended if each.future.status == "finished"]
        try:
            fetched = self._client.gather([each.future for each in fine])
        except Exception:  # noqa: BLE001, one of them was lost on the way
            return [_ended(each.item, each.future) for each in ended]
        known = {id(e): Ended(e.item, o) for e, o in zip(fine, fetched, strict=True)}
        return [known.get(id(each)) or _ended(each.item, each.future) for each in ended]

    def close(self) -> None:
        """Give up what has not ended."""
        futures = list(self._futures.values())
        self._futures.clear()
        if futures and self._client.status == "running":
            self._client.cancel(futures, force=True)


def _ended(item: Item, future: Any) -> Ended:
    """Return how a try on a worker ended."""
    if future.status == "finished":
        try:
            return Ended(item, future.result())
        except Exception as error:  # noqa: BLE001, it may be lost while it is fetched
            return Ended(item, Outcome(None, 0.0, _line(error), _line(error)))
    if future.status == "cancelled":
        return Ended(item, Outcome(None, 0.0, "its task was lost", "its task was lost"))
    problem = future.exception()
    if isinstance(problem, PangeoHpcError) and not isinstance(problem, TaskTooLong):
        return Ended(item, None, problem)
    words = _line(problem)
    died = type(problem).__name__ in _DIED
    if died:
        words = f"its worker died each time, perhaps for lack of memory ({words})"
    return Ended(item, Outcome(None, 0.0, words, words, died))


def _pickled(name: str, function: Callable[[Any], Any]) -> bytes:
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(function))
    except Exception as error:
        text = f"the function of map {name} cannot be sent to workers: {_line(error)}"
        hint = "it gets one item and nothing else; the run and open files stay in the script"
        raise UsageError(text, hint=hint) from error


@lru_cache(maxsize=8)
def _unpickled(work: bytes) -> Callable[[Any], Any]:
    import cloudpickle

    function: Callable[[Any], Any] = cloudpickle.loads(work)
    return function


def _compute(value: Any, label: str, *, work: bytes, place: Place) -> Outcome:
    """Compute an item on a worker."""
    return compute(_unpickled(work), value, place, label)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
