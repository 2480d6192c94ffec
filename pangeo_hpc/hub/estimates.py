"""The hub's side of previews and estimates: bounded in number, kept for a while, told in words.

Every question starts a program as the user, so one user has one at a time, all users together a
few, and the same question within a minute has the same answer.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.hub import soonest as shapes
from pangeo_hpc.hub.choices import Choices, decide, read
from pangeo_hpc.hub.conditions import Conditions
from pangeo_hpc.hub.desk import Desk, person_of
from pangeo_hpc.hub.soonest import Offer
from pangeo_hpc.jobs.outlook import count, queues_of
from pangeo_hpc.schedulers.base import JobRequest, Node
from pangeo_hpc.site import Site

T = TypeVar("T")

# Seconds that an answer is good for, and between two questions of one user.
_GOOD, _BETWEEN = 60.0, 1.0
_AT_ONCE, _WAITING, _MOST = 4, 3, 500
# Schedulers that tell no start of a job that is not queued.
_SILENT = frozenset({"pbs"})


class Busy(PangeoHpcError):
    """A user asks for more estimates than there is time for."""


@dataclass(frozen=True)
class Preview:
    """The script that would be submitted, and its estimated start.

    `said` is what the scheduler says instead of a start; `is_guess` tells that it was not asked.
    """

    script: str
    start: datetime | None
    said: str = ""
    is_guess: bool = False


@dataclass
class _Window:
    """One user's turn."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    last: float = float("-inf")


class Estimates:
    """One per hub."""

    def __init__(
        self,
        site: Site,
        desk: Desk,
        conditions: Conditions,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._site, self._desk, self._conditions, self._clock = site, desk, conditions, clock
        self._windows: OrderedDict[str, _Window] = OrderedDict()
        self._kept: OrderedDict[tuple[Any, ...], tuple[float, Any]] = OrderedDict()
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def preview(self, user: str, asked: Choices) -> Preview:
        """Return what would be submitted for a user.

        Raise RequestRefused with every problem, Busy, or SchedulerUnreachable.
        """
        request = decide(self._site, asked, person_of(user))
        plain = asked.plain()
        told = await self._once(user, "preview", plain, lambda: self._desk.preview(user, plain))
        start, is_guess = told["start"], self._is_silent(request)
        if is_guess and await self._could_start(request):
            start = datetime.now(UTC).timestamp()
        return Preview(
            script=told["script"],
            start=None if start is None else datetime.fromtimestamp(start, UTC),
            said=told["said"],
            is_guess=is_guess,
        )

    async def soonest(self, user: str, asked: Choices) -> list[Offer]:
        """Return jobs of the asked shape that start soonest, the first one first.

        Raise Busy or SchedulerUnreachable.
        """
        person, plain, offers = person_of(user), asked.plain(), list[Offer]()
        possible = shapes.candidates(self._site, asked, person)
        if not all(self._is_silent(each.request) for each in possible):
            for each in await self._once(
                user, "soonest", plain, lambda: self._desk.soonest(user, plain)
            ):
                choices = read(each["choices"])
                request = decide(self._site, choices, person)
                start = datetime.fromtimestamp(each["start"], UTC)
                offers.append(Offer(choices, request.node_type, request.walltime, start))
        for candidate in possible:
            request = candidate.request
            if self._is_silent(request) and await self._could_start(request):
                now, time_ = datetime.now(UTC), request.walltime
                offers.append(
                    Offer(candidate.choices, request.node_type, time_, now, is_guess=True)
                )
        return shapes.best(offers)

    def _is_silent(self, request: JobRequest) -> bool:
        return self._site.schedulers[request.scheduler].type in _SILENT

    async def _could_start(self, request: JobRequest) -> bool:
        """Guess from free resources, as they were known lately."""
        known = await self._conditions.cluster(request.scheduler)
        if known.value is None:
            return False
        cluster, node_type = known.value, self._site.node_type(request.node_type)
        queues = queues_of(node_type, cluster.nodes, lambda: cluster.queues)
        fitting: list[Node] = [
            node for node in cluster.nodes if sum(count([node], node_type, queues).values())
        ]
        return shapes.starts_now(request, fitting)

    async def _once(
        self, user: str, what: str, plain: Mapping[str, str], ask: Callable[[], Awaitable[T]]
    ) -> T:
        """Return a kept answer, or ask when it is the user's turn."""
        key = (user, what, *sorted(plain.items()))
        window = self._window(user)
        if window.waiting >= _WAITING:
            raise Busy("your last questions are still being answered")
        window.waiting += 1
        try:
            async with window.lock:
                when, kept = self._kept.get(key, (float("-inf"), None))
                if self._clock() - when < _GOOD:
                    return kept  # type: ignore[no-any-return]
                await asyncio.sleep(max(0.0, window.last + _BETWEEN - self._clock()))
                try:
                    async with self._room:
                        answer = await ask()
                finally:
                    window.last = self._clock()
                self._keep(key, answer)
                return answer
        finally:
            window.waiting -= 1

    def _keep(self, key: tuple[Any, ...], answer: Any) -> None:
        self._kept[key] = (self._clock(), answer)
        self._kept.move_to_end(key)
        while len(self._kept) > _MOST:
            self._kept.popitem(last=False)

    def _window(self, user: str) -> _Window:
        window = self._windows.setdefault(user, _Window())
        self._windows.move_to_end(user)
        if len(self._windows) > _MOST and not next(iter(self._windows.values())).waiting:
            self._windows.popitem(last=False)
        return window


def until(start: datetime, now: datetime) -> timedelta | None:
    """Return about how long it is to a start; None for one that is less than a minute away.

    An estimate is no better than some minutes, or an hour for one of tomorrow.
    """
    left = start - now
    if left < timedelta(minutes=1):
        return None
    step = next(each for limit, each in _ABOUT if left < limit)
    return -(-left // step) * step


_ABOUT = (
    (timedelta(hours=1), timedelta(minutes=1)),
    (timedelta(days=1), timedelta(minutes=5)),
    (timedelta.max, timedelta(hours=1)),
)
