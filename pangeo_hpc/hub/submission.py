"""How a server's job gets into the queue, is found there again, and is taken out of it."""

import asyncio
import time

from traitlets import Float

from pangeo_hpc.errors import PangeoHpcError, SchedulerUnreachable, UnknownName
from pangeo_hpc.hub import choices, login, postmortem, usage
from pangeo_hpc.hub.following import FollowingSpawner
from pangeo_hpc.hub.state import ServerState
from pangeo_hpc.schedulers.base import JobStatus

# Until the same order is given again where the scheduler gave no answer, in seconds.
_AGAIN = 5


class SubmittingSpawner(FollowingSpawner):
    """Has the user's own program submit and cancel the job; the hub itself starts nothing."""

    stop_timeout = Float(60.0, help="Seconds in which a cancelled job should be gone.").tag(
        config=True
    )
    _submission: "asyncio.Task[None] | None" = None

    @property
    def _submitting(self) -> bool:
        return self._submission is not None and not self._submission.done()

    async def _submit(self) -> None:
        """Submit the job once, however often the scheduler has to be asked."""
        state = self._remember()
        variables = {
            name: value
            for name, value in self.get_env().items()
            if name.startswith(("JUPYTERHUB_", "JPY_API_TOKEN"))
        }
        while True:
            try:
                done = await self.office.desk.submit(
                    self.user.name,
                    name=state.name,
                    server=self.name,
                    choices=choices.read(self.user_options).plain(),
                    variables=variables,
                )
            except SchedulerUnreachable as error:
                # the same order again never makes a second job
                self.log.warning("%s: %s", self._log_name, error.text)
                await asyncio.sleep(_AGAIN)
                if not self._is_wanted(state):
                    await self._take_back(state)
                    return
            except PangeoHpcError as error:
                if not self._is_wanted(state):
                    return
                raise postmortem.refused(self, error) from error
            else:
                break
        if not self._is_wanted(state):
            await self._take_back(state)
            return
        self._remember(job=done.job, scheduler=done.scheduler)
        self.log.info("%s is job %s (%s)", self._log_name, done.job, state.name)

    def _is_wanted(self, state: ServerState) -> bool:
        """Tell whether a submission is still that of our server, which may have been stopped."""
        return self.server_state is not None and self.server_state.name == state.name

    async def _take_back(self, state: ServerState) -> None:
        """Cancel the job of a server that was stopped before its submission was answered."""
        user, name = self.user.name, state.name
        while True:
            try:
                found = await self.office.desk.find(user, name)
                if found is not None:
                    await self.office.desk.cancel(user, [found.job], scheduler=found.scheduler)
                    self.log.info("job %s (%s) was not wanted any more", found.job, name)
            except SchedulerUnreachable as error:
                self.log.warning("%s is not wanted any more: %s", name, error.text)
                await asyncio.sleep(_AGAIN)
            except PangeoHpcError as error:
                # it was never taken, or only its user can find it now (`hub reconcile`)
                self.log.info("%s is not wanted any more: %s", name, error.text)
                return
            else:
                return

    async def _find(self) -> bool:
        """Find the job of a submission whose answer the hub did not live to see."""
        if self._submitting:
            return False
        try:
            found = await self.office.desk.find(self.user.name, self._known().name)
        except UnknownName:
            return False
        if found is None:
            return False
        self._remember(job=found.job, scheduler=found.scheduler)
        return True

    async def stop(self, now: bool = False) -> None:
        """Cancel the job, and wait until it is gone."""
        try:
            await self._stop(now)
        except Exception:
            # JupyterHub counts it and says nothing
            self.log.exception("%s could not be stopped", self._log_name)
            raise

    async def _stop(self, now: bool) -> None:
        if self._submission is not None and self._submitting:
            await asyncio.wait([self._submission], timeout=self.stop_timeout)
        state = self.server_state
        if state is None or (not state.job and not await self._find()):
            return
        state = self._known()
        problems = await self.office.desk.cancel(
            self.user.name, [state.job], scheduler=state.scheduler
        )
        for text in problems.values():
            self.log.warning("%s: job %s: %s", self._log_name, state.job, text)
        poller = self._follow(starting=True)
        poller.look_soon()
        deadline = time.monotonic() + self.stop_timeout
        while not now and time.monotonic() < deadline:
            status = self._heard(poller)
            if status is not None and status.state.ended:
                await self._note_usage(status)
                return
            await poller.next_answer(within=5)

    async def _note_usage(self, status: JobStatus) -> None:
        """Note what a server on a node really used; one on the hub's host has no node type."""
        site, chosen = self.office.site, self.user_options.get("node_type")
        is_login = choices.profile(site, choices.read(self.user_options)) == login.LOGIN
        if not is_login and (chosen is None or chosen in site.node_types):
            await usage.note(self, status, site.node_type(chosen).name)
