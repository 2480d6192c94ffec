"""The end of a server: noticed soon after the scheduler knows it, and looked into once."""

import asyncio
import time
from typing import Any

from traitlets import Float

from pangeo_hpc.errors import SchedulerUnreachable
from pangeo_hpc.hub import postmortem
from pangeo_hpc.hub.adoption import AdoptingSpawner
from pangeo_hpc.hub.following import ON_A_NODE
from pangeo_hpc.hub.state import ServerState
from pangeo_hpc.schedulers.base import JobStatus


class EndingSpawner(AdoptingSpawner):
    """Tells JupyterHub when its server is gone, and remembers why."""

    end_grace = Float(
        90.0, help="Seconds that a job without news may outlive its walltime, which ends late."
    ).tag(config=True)

    # kept here, since the event loop itself does not keep a task
    _watch: "asyncio.Task[None] | None" = None
    # several ask at the same time how a server ended
    _inquest: "asyncio.Future[Any] | None" = None
    # a server that is stopped from the hub does not fail
    _is_unwanted = False

    async def get_url(self) -> str:
        """Return the URL of a server that was there before the hub, and watch for its end."""
        url = await super().get_url()
        self._watch_for_the_end()
        return url

    async def stop(self, now: bool = False) -> None:
        """Cancel the job, whose end is then no failure."""
        self._is_unwanted = True
        await super().stop(now)

    def clear_state(self) -> None:
        """Forget the server that was, but not what became of it."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        super().clear_state()

    async def poll(self) -> int | None:
        """Return None while the job is there or there is no news, else its exit code.

        A job whose walltime is over is gone even without news: its port may be a neighbour's now.
        """
        state = self.server_state
        if state is None:
            return 0
        try:
            if not state.job and not await self._find():
                return None if self._submitting else 1
        except SchedulerUnreachable as error:
            self.log.warning("%s: %s", self._log_name, error.text)
            return None
        state = self._known()
        poller = self._follow(starting=not state.port)
        if poller.news(state.job) is None:
            await poller.next_answer(within=10)
        status = self._heard(poller)
        if status is not None and status.state.ended:
            await self._has_ended(status)
            return status.exit_code or 0
        overdue = state.ends is not None and time.time() > state.ends + self.end_grace
        if overdue and self._is_old(poller):
            self.log.warning("%s: no news, and its walltime is over", self._log_name)
            await self._look_into(None)
            return 0
        if state.port and status is not None and status.nodes and await self._is_lost(status):
            return 1
        return None

    async def _has_ended(self, status: JobStatus) -> None:
        """Note what a job used, and why it ended if nobody wanted it to.

        It may have ended while the hub was down, and nobody waited for it any more.
        """
        await self._note_usage(status)
        await self._look_into(status)

    async def _look_into(self, status: JobStatus | None) -> None:
        """Find out once why a server ended; None for one of which there is no news."""
        if self._is_unwanted or self.failure is not None:
            return
        if self._inquest is None:
            self._inquest = asyncio.ensure_future(postmortem.gone(self, status))
        await asyncio.shield(self._inquest)

    def _watch_for_the_end(self) -> None:
        """Have JupyterHub look again at once when the job has ended, not an interval later."""
        if self._watch is None and self.server_state is not None:
            self._watch = asyncio.ensure_future(self._until_the_end(self.server_state))

    async def _until_the_end(self, state: ServerState) -> None:
        poller = self._follow(starting=False)
        while True:
            await poller.next_answer()
            news = poller.news(state.job)
            if news is not None and news.status.state.ended:
                break
        # the end of the server ends this, too, and not before it is through
        self._watch = None
        if self.outer.ready and not self._is_unwanted:
            await self.outer.poll_and_notify()

    async def _is_lost(self, status: JobStatus) -> bool:
        """Tell whether somebody else listens at the server's port; its job is then of no use.

        A server that does not answer at all may only be busy.
        """
        if status.state not in ON_A_NODE:
            return False
        url, strange = await self._proven(self._seen_running(status))
        if url is not None or not strange:
            return False
        await self._drop_route()
        self._is_unwanted = True
        self.log.error("%s: its port is somebody else's; its job is cancelled", self._log_name)
        problems = await self.office.desk.cancel(self.user.name, [self._known().job])
        for text in problems.values():
            self.log.warning("%s: %s", self._log_name, text)
        return True
