"""A notebook server as a job of the site, on any of its schedulers."""

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from jupyterhub.apihandlers import default_handlers
from jupyterhub.spawner import SpawnException
from traitlets import Float, default

from pangeo_hpc.errors import RequestRefused, SchedulerUnreachable, UnknownName
from pangeo_hpc.hub import choices, forms, postmortem, waiting
from pangeo_hpc.hub.adoption import AdoptingSpawner
from pangeo_hpc.hub.desk import person_of
from pangeo_hpc.hub.following import ON_A_NODE
from pangeo_hpc.hub.state import ServerState, digest
from pangeo_hpc.schedulers.base import JobStatus

# Its handler writes whatever a request names into a spawner; ours is `port.PortHandler`.
default_handlers[:] = [each for each in default_handlers if each[0] != r"/api/batchspawner"]

# JupyterHub counts from the submission on, and a queue wait of days is normal: we count ourselves.
A_LONG_TIME = 60 * 86400


def of_ours(spawner: Any) -> "SiteSpawner | None":
    """Return the spawner that has a job, which may be the child of a wrapper; None for another."""
    inner = getattr(spawner, "child_spawner", None) or spawner
    return inner if isinstance(inner, SiteSpawner) else None


class SiteSpawner(AdoptingSpawner):
    """Starts notebook servers as jobs and follows them with everybody else's in one question.

    Below it, each class adds one thing: `remembering`, `following`, `submission`, `adoption`.
    """

    end_grace = Float(
        90.0, help="Seconds that a job without news may outlive its walltime, which ends late."
    ).tag(config=True)

    @default("start_timeout")
    def _start_timeout_default(self) -> int:
        return A_LONG_TIME

    # -- what was asked ----------------------------------------------------------------------

    @default("options_form")
    def _make_options_form(self) -> Any:
        return forms.render

    @default("apply_user_options")
    def _make_apply_user_options(self) -> Any:
        return SiteSpawner.hold

    def options_from_form(self, formdata: Mapping[str, Any]) -> dict[str, str]:
        """Return what the form or a link's parameters say. Raise SpawnException if it is wrong."""
        return self.hold(choices.of_form(formdata))

    def options_from_query(self, query_data: Mapping[str, Any]) -> dict[str, str]:
        """Raise SpawnException: a link only fills the form (`pages.SpawnPage`)."""
        del query_data
        raise SpawnException("a link starts no server: use the form's button", reason="link")

    def hold(self, given: Mapping[str, Any]) -> dict[str, str]:
        """Hold what was asked to the site's limits, whichever way it came, and return it plain.

        Raise SpawnException with every problem.
        """
        try:
            asked = choices.read(given)
            choices.decide(self.office.site, asked, person_of(self.user.name))
        except (RequestRefused, UnknownName) as error:
            raise forms.refusal(error) from error
        return asked.plain()

    # -- start and poll ----------------------------------------------------------------------

    async def start(self) -> str:
        """Submit the job, wait in the queue for as long as it takes, and return the URL.

        Raise SpawnException with the reason if it cannot be or ends first.
        """
        self.server_state, self.failure = ServerState.new(self.api_token), None
        self._remember()
        self._submission = asyncio.ensure_future(self._submit())
        try:
            # a submission that has begun is seen to its end, or its job would be nobody's
            await asyncio.shield(self._submission)
            return await self._until_up()
        except asyncio.CancelledError:
            self.failure = postmortem.stopped(self)
            raise

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
            await self._has_ended(state, status)
            return status.exit_code or 0
        overdue = state.ends is not None and time.time() > state.ends + self.end_grace
        if overdue and self._is_old(poller):
            self.log.warning("%s: no news, and its walltime is over", self._log_name)
            return 0
        if state.port and status is not None and status.nodes and await self._is_lost(status):
            return 1
        return None

    async def _has_ended(self, state: ServerState, status: JobStatus) -> None:
        """Note what a job used, and why it ended if that was before its server was up.

        It may have ended while the hub was down, and nobody waited for it any more.
        """
        await self._note_usage(status)
        if not state.address and self.failure is None:
            await postmortem.ended(self, status)

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
        self.log.error("%s: its port is somebody else's; its job is cancelled", self._log_name)
        problems = await self.office.desk.cancel(self.user.name, [self._known().job])
        for text in problems.values():
            self.log.warning("%s: %s", self._log_name, text)
        return True

    # -- what is told ------------------------------------------------------------------------

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield one event for each change of what can be told of the wait."""
        told: dict[str, Any] | None = None
        while True:
            event = waiting.event(self)
            if event != told:
                told = event
                yield event
            await asyncio.sleep(1)

    def told(self) -> dict[str, Any]:
        """Return how far this server is, for a page that is made now."""
        return waiting.page(self, time.time())

    def reports(self, token: str) -> bool:
        """Tell whether a token is the one that this server was given."""
        return self.server_state is not None and hmac.compare_digest(
            digest(token), self.server_state.token_digest
        )

    def take_port(self, port: int) -> bool:
        """Note the port of a server that is waited for; tell whether one was waited for."""
        state = self._known()
        if state.port not in (0, port) or self.outer.ready:
            return False
        if state.port == 0:
            self._remember(port=port)
            if state.job:
                self.office.poller(state.scheduler).look_soon()
        return True
