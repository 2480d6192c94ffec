"""What all spawners of one hub share: the site, the program that acts as users, the pollers."""

import logging
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

from pangeo_hpc import jobs
from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.hub import texts
from pangeo_hpc.hub.ahead import Line
from pangeo_hpc.hub.conditions import Conditions
from pangeo_hpc.hub.desk import Desk
from pangeo_hpc.hub.estimates import Estimates
from pangeo_hpc.hub.failure import Failure
from pangeo_hpc.hub.poller import Poller
from pangeo_hpc.run import AsyncRunner, aconverse, arun
from pangeo_hpc.schedulers import registry
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.site import Hub, Site, load_site

# Queues that only their user can ask.
_PRIVATE = frozenset({"local"})
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
        self._owners: dict[str, str] = {}
        self.pollers = {key: self._poller(key) for key in site.schedulers}
        self.lines = {key: self._line(key) for key in site.schedulers}

    def follow(self, key: str, job_id: str, user: str, *, starting: bool) -> Poller:
        """Follow a user's job and return the poller that hears of it."""
        self._owners[job_id] = user
        poller = self.pollers[key]
        poller.watch(job_id, starting=starting)
        return poller

    def forget(self, key: str, job_id: str) -> None:
        """Follow a job no longer."""
        self._owners.pop(job_id, None)
        if key in self.pollers:
            self.pollers[key].forget(job_id)

    def _poller(self, key: str) -> Poller:
        kind = self.site.schedulers[key].type
        scheduler = jobs.scheduler_named(self.site, key)

        async def queue(ids: Collection[str]) -> Mapping[str, JobStatus]:
            if kind in _PRIVATE:
                return await self._from_users(ids)
            return await aconverse(scheduler.status(ids), self._runner)

        async def history(ids: Collection[str]) -> Mapping[str, JobStatus]:
            if kind in _PRIVATE:
                return {}
            known = await aconverse(scheduler.history(ids), self._runner)
            # where job data are private, only its user can tell that a job is there
            unseen = [job_id for job_id in ids if job_id not in known]
            return {**known, **(await self._from_users(unseen))}

        return Poller(queue, history, interval=self.hub.poll_interval.total_seconds(), log=_log)

    def _line(self, key: str) -> Line:
        scheduler = jobs.scheduler_named(self.site, key)
        poller = self.pollers[key]

        async def ahead(waiting: Collection[JobStatus]) -> Mapping[str, int]:
            return await aconverse(scheduler.ahead(waiting), self._runner)

        def waiting() -> list[JobStatus]:
            heard = (news.status for news in poller.watched().values() if news)
            return [status for status in heard if status.state is JobState.PENDING]

        return Line(ahead, waiting, interval=self.hub.poll_interval.total_seconds())

    async def _from_users(self, ids: Collection[str]) -> dict[str, JobStatus]:
        """Ask about jobs as the users they belong to, one question per user."""
        by_user: dict[str, list[str]] = {}
        for job_id in ids:
            if job_id in self._owners:
                by_user.setdefault(self._owners[job_id], []).append(job_id)
        found: dict[str, JobStatus] = {}
        failure: PangeoHpcError | None = None
        for user, theirs in by_user.items():
            try:
                found |= await self.desk.status(user, theirs)
            except PangeoHpcError as error:
                failure = error
        if failure is not None:
            raise failure
        return found


@cache
def office(site_file: str, program: tuple[str, ...]) -> Office:
    """Return the office of this process, made on first use."""
    site = load_site(Path(site_file), schedulers=registry.names())
    return Office(site, Desk(program))
