"""Compare what the schedulers run with what the hub knows, and say what does not fit.

An orphan is a server's job that no hub state knows: it would run its whole walltime unseen. A
widow is a hub state whose job is gone.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pangeo_hpc import jobs
from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.hub import login, tickets
from pangeo_hpc.hub.desk import Desk
from pangeo_hpc.hub.operators import Known
from pangeo_hpc.run import AsyncRunner, aconverse, arun
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.site import Site

PREFIX = "jupyter-"
LENGTH = len(PREFIX) + 8
# So many users' programs at once.
_ABREAST = 4


@dataclass(frozen=True)
class Found:
    """One job or one hub state that does not fit; `done` is what was done about it."""

    kind: str
    user: str
    job: str
    scheduler: str
    name: str
    server: str = ""
    state: str = ""
    done: str = ""


@dataclass
class Report:
    """What was compared, what did not fit, and what could not be asked."""

    jobs: int = 0
    servers: int = 0
    found: list[Found] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)

    @property
    def remains(self) -> bool:
        """Tell whether something is left for a person to do."""
        return bool(self.silent) or any(each.done != "cancelled" for each in self.found)


@dataclass(frozen=True)
class _Alive:
    user: str
    job: str
    scheduler: str
    name: str
    state: str = ""


# By user and name: anybody can give a job the name of somebody else's server.
_Jobs = dict[tuple[str, str], _Alive]


class Reconciler:
    """Compare one site's schedulers with its hub.

    `known` reads the hub's servers and is called after the queues were asked: the hub writes a
    server down before it submits it, so a job that is in an older answer is known, or an orphan.
    """

    def __init__(
        self,
        site: Site,
        desk: Desk,
        known: Callable[[], Sequence[Known]],
        *,
        runner: AsyncRunner = arun,
    ) -> None:
        self._site = login.prepared(site)
        self._desk, self._known, self._runner = desk, known, runner
        self._few = asyncio.Semaphore(_ABREAST)

    async def compare(self, ask_users: Collection[str] = ()) -> Report:
        """Return what does not fit; `ask_users` are asked through their own program, too.

        The local queue of the hub's host is one per user, so all whom the hub knows are asked.
        """
        report = Report()
        alive = await self._in_queues(report)
        users = {*ask_users, *(self._local_users())}
        for each in await asyncio.gather(*(self._of_user(u, report) for u in sorted(users))):
            alive |= each
        servers = list(self._known())
        names = {(each.user, each.state.name) for each in servers}
        report.jobs, report.servers = len(alive), len(servers)
        report.found += [
            Found("orphan", job.user, job.job, job.scheduler, job.name, state=job.state)
            for whose, job in sorted(alive.items())
            if whose not in names
        ]
        unseen = [each for each in servers if (each.user, each.state.name) not in alive]
        report.found += await self._widows(unseen)
        return report

    async def cancel(self, report: Report) -> Report:
        """Cancel the orphans as the users they belong to, and return what was done."""
        done: list[Found] = []
        for each in report.found:
            if each.kind != "orphan":
                done.append(each)
                continue
            try:
                said = await self._desk.cancel(each.user, [each.job], scheduler=each.scheduler)
                words = said.get(each.job, "cancelled")
            except PangeoHpcError as error:
                words = error.text
            done.append(Found(**{**vars(each), "done": words}))
        report.found = done
        return report

    async def _in_queues(self, report: Report) -> _Jobs:
        """Return the servers' jobs of all users, from one question to each scheduler."""
        alive: _Jobs = {}
        for key, entry in self._site.schedulers.items():
            if entry.type == "local":
                continue
            scheduler = jobs.scheduler_named(self._site, key)
            try:
                found = await aconverse(scheduler.named(PREFIX, LENGTH), self._runner)
            except PangeoHpcError as error:
                report.silent.append(f"{key}: {error.text}")
                continue
            for job_id, status in found.items():
                # a job that is being ended is nobody's concern any more
                if tickets.NAME.fullmatch(status.name) and status.state is not JobState.ENDING:
                    state = str(status.state)
                    job = _Alive(status.user, job_id, key, status.name, state)
                    alive[job.user, job.name] = job
        return alive

    def _local_users(self) -> set[str]:
        hub = self._site.hub
        if hub is None or login.LOGIN not in hub.profiles:
            return set()
        return {each.user for each in self._known()}

    async def _of_user(self, user: str, report: Report) -> _Jobs:
        """Return the jobs that a user's own program tells."""
        async with self._few:
            try:
                kept = await self._desk.servers(user)
            except PangeoHpcError as error:
                report.silent.append(f"{user}: {error.text}")
                return {}
        return {
            (user, each.name): _Alive(user, each.job, each.scheduler, each.name) for each in kept
        }

    async def _widows(self, servers: Sequence[Known]) -> list[Found]:
        """Return the states whose job is gone, asking about each once more by its id."""
        by_key: dict[str, list[Known]] = {}
        for each in servers:
            if each.state.job:
                by_key.setdefault(each.state.scheduler, []).append(each)
        found: list[Found] = []
        for key, theirs in by_key.items():
            told = await self._told(key, theirs)
            for each in theirs:
                status = told.get(each.state.job)
                if each.state.job in told and (status is None or not status.state.ended):
                    continue
                found.append(
                    Found(
                        "gone",
                        each.user,
                        each.state.job,
                        key,
                        each.state.name,
                        server=each.server,
                        state=str(status.state) if status else "",
                        done="the hub drops it at its next look",
                    )
                )
        return found

    async def _told(self, key: str, servers: Sequence[Known]) -> Mapping[str, JobStatus | None]:
        """Return what is known of jobs; None for one of which nobody could say anything."""
        ids = [each.state.job for each in servers]
        known: dict[str, JobStatus | None] = {}
        try:
            entry = self._site.schedulers.get(key)
            if entry is not None and entry.type != "local":
                scheduler = jobs.scheduler_named(self._site, key)
                known |= await aconverse(scheduler.status(ids), self._runner)
                left = [i for i in ids if i not in known]
                known |= await aconverse(scheduler.history(left), self._runner) if left else {}
            # where job data are private, only their users see them
            for each in servers:
                if each.state.job not in known:
                    known |= await self._desk.status(each.user, [each.state.job], scheduler=key)
        except PangeoHpcError:
            return dict.fromkeys(ids) | known
        return known
