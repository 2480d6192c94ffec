"""A notebook server as a job of the site, on any of its schedulers."""

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from jupyterhub.apihandlers import default_handlers
from jupyterhub.spawner import SpawnException
from traitlets import default

from pangeo_hpc.errors import RequestRefused, UnknownName
from pangeo_hpc.hub import choices, forms, postmortem, waiting
from pangeo_hpc.hub.desk import person_of
from pangeo_hpc.hub.ending import EndingSpawner
from pangeo_hpc.hub.state import ServerState, digest

# Its handler writes whatever a request names into a spawner; ours is `port.PortHandler`.
default_handlers[:] = [each for each in default_handlers if each[0] != r"/api/batchspawner"]

# JupyterHub counts from the submission on, and a queue wait of days is normal: we count ourselves.
A_LONG_TIME = 60 * 86400


def of_ours(spawner: Any) -> "SiteSpawner | None":
    """Return the spawner that has a job, which may be the child of a wrapper; None for another."""
    inner = getattr(spawner, "child_spawner", None) or spawner
    return inner if isinstance(inner, SiteSpawner) else None


class SiteSpawner(EndingSpawner):
    """Starts notebook servers as jobs and follows them with everybody else's in one question.

    Below it, each class adds one thing: `remembering`, `following`, `submission`, `adoption`,
    `ending`.
    """

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

    # -- start -------------------------------------------------------------------------------

    async def start(self) -> str:
        """Submit the job, wait in the queue for as long as it takes, and return the URL.

        Raise SpawnException with the reason if it cannot be or ends first.
        """
        self.server_state, self.failure = ServerState.new(self.api_token), None
        self._inquest, self._is_unwanted = None, False
        self._remember()
        self._submission = asyncio.ensure_future(self._submit())
        try:
            # a submission that has begun is seen to its end, or its job would be nobody's
            await asyncio.shield(self._submission)
            url = await self._until_up()
        except asyncio.CancelledError:
            self.failure = postmortem.stopped(self)
            raise
        self._watch_for_the_end()
        return url

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
