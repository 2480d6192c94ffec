"""What all spawners of one hub share: the site, the program that acts as users, the pollers."""

import asyncio
import logging
from collections.abc import Collection, Mapping
from functools import cache, partial
from pathlib import Path

from pangeo_hpc import jobs, texts
from pangeo_hpc.errors import PangeoHpcError, SchedulerUnreachable
from pangeo_hpc.hub import login, metrics
from pangeo_hpc.hub.ahead import Line
from pangeo_hpc.hub.conditions import Conditions
from pangeo_hpc.hub.desk import Desk
from pangeo_hpc.hub.estimates import Estimates
from pangeo_hpc.hub.failure import Failure
from pangeo_hpc.hub.poller import Answer, Asker, Poller
from pangeo_hpc.run import AsyncRunner, aconverse, arun
from pangeo_hpc.schedulers import registry
from pangeo_hpc.schedulers.base import JobState, JobStatus, Scheduler
from pangeo_hpc.site import Hub, Site, load_site

# Queues that only their user can ask.
_PRIVATE = frozenset({"local"})
# So many users are asked at once.
_ABREAST = 4
_log = logging.getLogger(__name__)


class Office:
    """One per hub process."""

    def __init__(self, site: Site, desk: Desk, *, runner: AsyncRunner = arun) -> None:
        if site.hub is None:
            message = f"site {site.name} has no hub"
            raise ValueError(message)
        self.site, self.desk = site, desk
        self.hub: Hub = site.hub
        self.texts = texts.load(self.hub.texts)
        # the last ones, with their logs, which stand nowhere else
        self.failures: dict[tuple[str, str], Failure] = {}
        self.conditions = Conditions(site, runner=runner)
        self.estimates = Estimates(site, desk, self.conditions)
        self._runner = runner
        self._everywhere = login.prepared(site)
        self._owners: dict[tuple[str, str], str] = {}
        self.pollers = {key: self._poller(key) for key in self._everywhere.schedulers}
        self.lines = {key: self._line(key) for key in site.schedulers}

    def poller(self, key: str) -> Poller:
        """Return the poller of a scheduler; of one that the site no longer has there is no news."""
        if key not in self.pollers:
            self.pollers[key] = self._poller(key)
        return self.pollers[key]

    def kind(self, key: str) -> str:
        """Return the type of a scheduler, empty for one that the site no longer has."""
        entry = self._everywhere.schedulers.get(key)
        return entry.type if entry else ""

    def follow(self, key: str, job_id: str, user: str, *, starting: bool) -> Poller:
        """Follow a user's job and return the poller that hears of it."""
        self._owners[key, job_id] = user
        poller = self.poller(key)
        poller.watch(job_id, starting=starting)
        return poller

    def forget(self, key: str, job_id: str) -> None:
        """Follow a job no longer."""
        self._owners.pop((key, job_id), None)
        if key in self.pollers:
            self.pollers[key].forget(job_id)

    def _poller(self, key: str) -> Poller:
        queue: Asker = partial(self._no_such_queue, key)
        history: Asker = self._no_history
        if key in self._everywhere.schedulers:
            queue = partial(self._from_users, key)
            if self._everywhere.schedulers[key].type not in _PRIVATE:
                scheduler = jobs.scheduler_named(self._everywhere, key)
                queue = partial(self._from_queue, scheduler)
                history = partial(self._from_history, scheduler, key)
        interval = self.hub.poll_interval.total_seconds()
        return Poller(queue, history, interval=interval, log=_log, told=metrics.watcher(key))

    async def _from_queue(self, scheduler: Scheduler, ids: Collection[str]) -> Answer:
        return await aconverse(scheduler.status(ids), self._runner)

    async def _from_history(self, scheduler: Scheduler, key: str, ids: Collection[str]) -> Answer:
        """Ask the history, and about what it does not know the users themselves.

        Where job data are private only its user can tell that a job is there; and where no history
        is kept, only its own files tell how it ended.
        """
        known = await aconverse(scheduler.history(ids), self._runner)
        unseen = [job_id for job_id in ids if job_id not in known]
        return {**known, **(await self._from_users(key, unseen))}

    def _line(self, key: str) -> Line:
        scheduler = jobs.scheduler_named(self.site, key)
        poller = self.pollers[key]

        async def ahead(waiting: Collection[JobStatus]) -> Mapping[str, int]:
            return await aconverse(scheduler.ahead(waiting), self._runner)

        def waiting() -> list[JobStatus]:
            heard = (news.status for news in poller.watched().values() if news)
            return [status for status in heard if status.state is JobState.PENDING]

        return Line(ahead, waiting, interval=self.hub.poll_interval.total_seconds())

    async def _no_history(self, ids: Collection[str]) -> Answer:
        del ids
        return {}

    async def _no_such_queue(self, key: str, ids: Collection[str]) -> Answer:
        del ids
        raise SchedulerUnreachable(f"site {self.site.name} has no scheduler {key!r} any more")

    async def _from_users(self, key: str, ids: Collection[str]) -> Answer:
        """Ask about jobs as the users they belong to, one question per user.

        Of a user whose question failed there is no news, and the others' jobs do not suffer.
        """
        by_user: dict[str, list[str]] = {}
        for job_id in ids:
            owner = self._owners.get((key, job_id))
            if owner is not None:
                by_user.setdefault(owner, []).append(job_id)
        few = asyncio.Semaphore(_ABREAST)

        async def ask(user: str, theirs: list[str]) -> Mapping[str, JobStatus | None]:
            async with few:
                try:
                    return await self.desk.status(user, theirs, scheduler=key)
                except PangeoHpcError as error:
                    _log.warning("there is no news of %s's jobs: %s", user, error.text)
                    return dict.fromkeys(theirs)

        answers = await asyncio.gather(*(ask(user, theirs) for user, theirs in by_user.items()))
        return {job_id: status for each in answers for job_id, status in each.items()}


@cache
def office(site_file: str, program: tuple[str, ...]) -> Office:
    """Return the office of this process, made on first use."""
    site = load_site(Path(site_file), schedulers=registry.names())
    made = Office(site, Desk(program, schedulers=tuple(login.prepared(site).schedulers)))
    metrics.follow(made)
    return made
