"""How many jobs come before those of servers that wait: asked seldom, and while somebody looks."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping

from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.schedulers.base import JobStatus

Asker = Callable[[Collection[JobStatus]], Awaitable[Mapping[str, int]]]

# Seconds between two questions at the least, and how often the interval of other questions.
SHORTEST, SHARE = 30.0, 2
# The scheduler is left alone for so many times as long as it took to answer.
REST = 20
_log = logging.getLogger(__name__)


class Line:
    """The line before all waiting servers of one scheduler, from one question for all.

    `asker` asks about jobs that wait, which `waiting` returns. `interval` is that of the other
    questions, in seconds. Nothing is asked while nobody wants to know.
    """

    def __init__(
        self,
        asker: Asker,
        waiting: Callable[[], Collection[JobStatus]],
        *,
        interval: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.questions = 0
        self._asker, self._waiting, self._clock = asker, waiting, clock
        self._interval = max(SHORTEST, SHARE * interval)
        self._known: Mapping[str, int] = {}
        self._next = 0.0
        self._task: asyncio.Task[None] | None = None

    def ahead(self, job_id: str) -> int | None:
        """Return what was last told of a job that waits, and ask again if that is old.

        None while nothing is known, and where the scheduler does not show it.
        """
        if self._clock() >= self._next and (self._task is None or self._task.done()):
            self._next = self._clock() + self._interval
            self._task = asyncio.get_running_loop().create_task(self._ask(), name="jobs ahead")
        return self._known.get(job_id)

    async def _ask(self) -> None:
        waiting = self._waiting()
        if not waiting:
            self._known = {}
            return
        began = self._clock()
        self.questions += 1
        try:
            self._known = await self._asker(waiting)
        except PangeoHpcError as error:
            # a number that is old misleads
            self._known = {}
            _log.info("nobody tells how many jobs come first: %s", error.text)
        took = self._clock() - began
        self._next = self._clock() + max(self._interval, REST * took)
