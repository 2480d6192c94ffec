"""One look at the queue for all servers together.

A single task asks; spawners read what it found. A question that failed is no news. A job is gone
only when a successful answer lacks it and the history, asked once, confirms that.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.schedulers.base import JobState, JobStatus

Asker = Callable[[Collection[str]], Awaitable[Mapping[str, JobStatus | None]]]

# A queue forgets a job some seconds before the history knows it.
HISTORY_DELAY = 20.0
# The queue is left alone for so many times as long as it took to answer.
REST = 5
_QUICK, _BACK_OFF = 1.0, 1.5


@dataclass(frozen=True)
class News:
    """What was last heard of one job, and when (seconds of the monotonic clock)."""

    status: JobStatus
    heard: float


@dataclass
class Figures:
    """What the questions cost: for metrics and for `hub status`. Seconds."""

    questions: int = 0
    failures: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    last_failure: str = ""
    last_answer: float | None = None

    def count(self, seconds: float, error: PangeoHpcError | None) -> None:
        """Note one question."""
        self.questions += 1
        self.seconds += seconds
        self.slowest = max(self.slowest, seconds)
        if error is None:
            self.last_answer = time.monotonic()
        else:
            self.failures += 1
            self.last_failure = error.text


@dataclass
class _Watched:
    """One job that somebody follows."""

    starting: bool
    since: float
    news: News | None = None
    missing_since: float | None = None
    gone: bool = False


class Poller:
    """Follow any number of jobs of one scheduler with one question per interval.

    `queue` and `history` ask about ids and leave out those they do not know; None for one, or a
    PangeoHpcError for all, is no news. `interval` is in seconds; it is at least five times the time
    an answer takes. While a watched job is starting, the pauses begin at one second and grow back
    to the interval.
    """

    def __init__(
        self,
        queue: Asker,
        history: Asker,
        *,
        interval: float,
        log: logging.Logger | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.figures = Figures()
        self.interval = interval
        self._queue, self._history = queue, history
        self._log = log or logging.getLogger(__name__)
        self._clock = clock
        self._watched: dict[str, _Watched] = {}
        self._pause = _QUICK
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._news = asyncio.Condition()

    # -- what spawners use ------------------------------------------------------------------

    def watch(self, job_id: str, *, starting: bool = False) -> None:
        """Follow a job from now on; one that is starting is looked at more often."""
        known = self._watched.get(job_id)
        if known is None:
            self._watched[job_id] = _Watched(starting, self._clock())
        elif known.starting == starting:
            return
        else:
            known.starting = starting
        if starting or known is None:
            self._quicken()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="queue poller")

    def forget(self, job_id: str) -> None:
        """Follow a job no longer; the task ends when nothing is left."""
        self._watched.pop(job_id, None)
        if not self._watched:
            self._hurry.set()

    def news(self, job_id: str) -> News | None:
        """Return what was last heard of a job, None before the first answer."""
        watched = self._watched.get(job_id)
        return watched.news if watched else None

    def look_soon(self) -> None:
        """Ask again soon: something happened that the queue will tell."""
        self._quicken()

    async def next_answer(self, within: float | None = None) -> bool:
        """Wait until an answer came, or `within` seconds; tell whether one came."""
        async with self._news:
            try:
                await asyncio.wait_for(self._news.wait(), within)
            except TimeoutError:
                return False
        return True

    async def stop(self) -> None:
        """End the task."""
        self._watched.clear()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def watched(self) -> Mapping[str, News | None]:
        """Return every followed job with what was last heard of it."""
        return {job_id: watched.news for job_id, watched in self._watched.items()}

    # -- the task ---------------------------------------------------------------------------

    async def look(self) -> float:
        """Ask once about every followed job, and return the seconds the questions took."""
        began = self._clock()
        asked = {job_id: each for job_id, each in self._watched.items() if not each.gone}
        if not asked:
            return 0.0
        error: PangeoHpcError | None = None
        try:
            known = dict(await self._queue(list(asked)))
            unsure = [i for i in asked if i not in known or _has_ended(known[i])]
            if unsure:
                # the history knows more of an end: the exit code, and the memory it used
                more = await self._history(unsure)
                known |= {i: said for i, said in more.items() if said or i not in known}
        except PangeoHpcError as problem:
            error = problem
            self._log.warning("the queue did not answer, so there is no news: %s", problem.text)
        else:
            for job_id, watched in asked.items():
                if job_id not in known or known[job_id] is not None:
                    self._hear(job_id, watched, known.get(job_id), began)
        took = self._clock() - began
        self.figures.count(took, error)
        async with self._news:
            self._news.notify_all()
        return took

    def _hear(
        self, job_id: str, watched: _Watched, status: JobStatus | None, asked_at: float
    ) -> None:
        """Note what one answer says of one job; an answer older than the watch says nothing."""
        now = self._clock()
        if status is None:
            if asked_at < watched.since:
                return
            watched.missing_since = watched.missing_since or now
            if now - watched.missing_since < HISTORY_DELAY:
                return
            reason = "neither the queue nor the history knows this job"
            status = JobStatus(id=job_id, state=JobState.LOST, reason=reason)
        else:
            watched.missing_since = None
        if watched.news is None or watched.news.status != status:
            if watched.news is None or watched.news.status.state is not status.state:
                self._log.info("job %s is %s %s", job_id, status.state, status.reason)
            if watched.starting:
                self._pause = _QUICK
        watched.news = News(status, now)
        watched.gone = status.state.ended

    async def _run(self) -> None:
        while self._watched:
            took = await self.look()
            await self._rest(took)

    async def _rest(self, took: float) -> None:
        shortest = REST * took
        longest = max(self.interval, shortest)
        starting = any(w.starting and not w.gone for w in self._watched.values())
        unclear = any(w.missing_since is not None and not w.gone for w in self._watched.values())
        if starting or unclear:
            pause = max(min(self._pause, longest), shortest)
            self._pause = min(self._pause * _BACK_OFF, longest)
        else:
            pause = longest
        self._hurry.clear()
        try:
            await asyncio.wait_for(self._hurry.wait(), pause)
        except TimeoutError:
            return
        # whoever is in a hurry still lets the scheduler rest
        await asyncio.sleep(min(shortest, pause))

    def _quicken(self) -> None:
        self._pause = _QUICK
        self._hurry.set()


def _has_ended(status: JobStatus | None) -> bool:
    return status is not None and status.state.ended
