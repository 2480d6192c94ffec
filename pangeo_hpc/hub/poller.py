"""One look at the queue for all servers together.

A single task asks; spawners read what it found. A question that failed is no news. A job is gone
only when a successful answer lacks it and the history confirms that.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.schedulers.base import JobState, JobStatus

# None for a job of which nobody could say anything this time; one that is not there is absent.
Answer = Mapping[str, JobStatus | None]
Asker = Callable[[Collection[str]], Awaitable[Answer]]

# A queue forgets a job some seconds before the history knows it.
HISTORY_DELAY = 20.0
# The queue is left alone for so many times as long as it took to answer, and for a second.
REST, SHORTEST = 5, 1.0
# The first pause while a server starts, and how the pauses grow: a server reports its port by
# itself, so only the progress that is shown is late.
_QUICK, _BACK_OFF = 1.0, 2.5


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

    def count(self, seconds: float, failure: str, now: float) -> None:
        """Note one look; `failure` is what went wrong, empty for an answer."""
        self.questions += 1
        self.seconds += seconds
        self.slowest = max(self.slowest, seconds)
        if failure:
            self.failures += 1
            self.last_failure = failure
        else:
            self.last_answer = now


@dataclass
class _Watched:
    """One job that somebody follows."""

    starting: bool
    news: News | None = None
    missing_since: float | None = None
    gone: bool = False


class Poller:
    """Follow any number of jobs of one scheduler with one question per interval.

    `queue` and `history` ask about ids and leave out those they do not know; both may raise
    PangeoHpcError, which is no news. `interval` is in seconds; it is at least five times the time
    an answer takes. While a watched job is starting, the pauses begin at one second and grow back
    to the interval. `told` hears of each look the seconds it took, and whether it failed.
    """

    def __init__(
        self,
        queue: Asker,
        history: Asker,
        *,
        interval: float,
        log: logging.Logger | None = None,
        clock: Callable[[], float] = time.monotonic,
        told: Callable[[float, bool], None] | None = None,
    ) -> None:
        self.figures = Figures()
        self.interval = interval
        self._queue, self._history = queue, history
        self._log = log or logging.getLogger(__name__)
        self._clock = clock
        self._told = told
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
            self._watched[job_id] = _Watched(starting)
            self.look_soon()
        elif starting and not known.starting:
            known.starting = True
            self.look_soon()
        else:
            known.starting = starting
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
        self._pause = _QUICK
        self._hurry.set()

    async def next_answer(self, within: float | None = None) -> bool:
        """Wait until a look is over, or `within` seconds; tell whether one was."""
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
        """Ask once about every followed job, and return the seconds the questions took.

        What the queue tells is heard before the history is asked, and whatever becomes of that.
        """
        began = self._clock()
        asked = {job_id: each for job_id, each in self._watched.items() if not each.gone}
        if not asked:
            return 0.0
        failure = ""
        known: Answer = {}
        try:
            known = await self._queue(list(asked))
            unsure = [i for i in asked if i not in known or _has_ended(known[i])]
            for job_id in asked.keys() - set(unsure):
                self._hear(job_id, asked[job_id], known[job_id])
            if unsure:
                # the history knows more of an end: the exit code, and the memory it used
                await self._settle(unsure, asked, known)
        except PangeoHpcError as error:
            failure = error.text
            self._log.warning("there is no news of the queue: %s", failure)
        except Exception as error:  # noqa: BLE001 - logged, and told in the figures
            # whatever it was, nobody else would follow the jobs
            failure = f"{type(error).__name__}: {error}"
            self._log.exception("a look at the queue failed")
        took = self._clock() - began
        self.figures.count(took, failure, self._clock())
        if self._told is not None:
            self._told(took, bool(failure))
        async with self._news:
            self._news.notify_all()
        return took

    async def _settle(
        self, unsure: Collection[str], asked: Mapping[str, _Watched], known: Answer
    ) -> None:
        """Ask the history about jobs that have ended or are missing; without it, an end stands."""
        try:
            recorded = await self._history(unsure)
        except PangeoHpcError:
            for job_id in unsure:
                if job_id in known:
                    self._hear(job_id, asked[job_id], known[job_id])
            raise
        for job_id in unsure:
            if job_id in recorded:
                self._hear(job_id, asked[job_id], recorded[job_id] or known.get(job_id))
            elif job_id in known:
                self._hear(job_id, asked[job_id], known[job_id])
            else:
                self._miss(job_id, asked[job_id])

    def _miss(self, job_id: str, watched: _Watched) -> None:
        """Note that nobody knows a job; it is lost once the history had time to catch up."""
        now = self._clock()
        if watched.missing_since is None:
            watched.missing_since = now
        if now - watched.missing_since >= HISTORY_DELAY:
            reason = "neither the queue nor the history knows this job"
            self._hear(job_id, watched, JobStatus(id=job_id, state=JobState.LOST, reason=reason))

    def _hear(self, job_id: str, watched: _Watched, status: JobStatus | None) -> None:
        """Note what an answer says of one job; None is no news.

        Meanwhile the job may have been forgotten, or be followed anew: then it asks for itself.
        """
        if status is None or self._watched.get(job_id) is not watched:
            return
        before = watched.news.status if watched.news else None
        if before is None or (before.state, before.nodes) != (status.state, status.nodes):
            self._log.info("job %s is %s %s", job_id, status.state, status.reason)
            if watched.starting:
                self._pause = _QUICK
        watched.missing_since = None
        watched.news = News(status, self._clock())
        watched.gone = status.state.ended

    async def _run(self) -> None:
        while self._watched:
            # who is in a hurry from now on is not answered by this look
            self._hurry.clear()
            await self._rest(await self.look())

    def pauses(self, took: float) -> tuple[float, float]:
        """Return the shortest and the wanted pause after a look that took so many seconds."""
        shortest = max(REST * took, min(SHORTEST, self.interval))
        longest = max(self.interval, shortest)
        restless = any(
            not w.gone and (w.starting or w.missing_since is not None)
            for w in self._watched.values()
        )
        pause = max(min(self._pause, longest), shortest) if restless else longest
        self._pause = min(self._pause * _BACK_OFF, longest)
        return shortest, pause

    async def _rest(self, took: float) -> None:
        """Wait until the next look is due, or wanted; even then the scheduler has its rest."""
        shortest, pause = self.pauses(took)
        began = self._clock()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), pause)
        if self._watched:
            await asyncio.sleep(max(0.0, began + shortest - self._clock()))


def _has_ended(status: JobStatus | None) -> bool:
    return status is not None and status.state.ended
