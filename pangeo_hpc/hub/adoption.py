"""A server that was there before the hub: wait for it as for one that was just asked for.

JupyterHub only "checks" such servers. It cannot cancel a check, and tells nobody how far it is.
"""

import asyncio
import time

from jupyterhub.spawner import SpawnException

from pangeo_hpc.hub import postmortem
from pangeo_hpc.hub.submission import SubmittingSpawner

# Where nobody but root can listen: what JupyterHub is told of a server that has not proven itself.
NOWHERE = "http://127.0.0.1:1"


class AdoptingSpawner(SubmittingSpawner):
    """What a spawner does whose server waits or starts while the hub is started anew."""

    # kept here, since the event loop itself does not keep a task
    _routing: "asyncio.Future[None] | None" = None
    _awaited: "asyncio.Future[str] | None" = None

    async def get_url(self) -> str:
        """Return the URL of a server that was there before the hub, once it has proven itself.

        One that does not is told to be where nobody listens, so that JupyterHub stops it.
        """
        state = self._known()
        url, _ = await self._proven(state) if state.port else (None, False)
        if url is not None:
            self._routing = asyncio.ensure_future(self._routed())
            return url
        # the proxy may have outlived the hub, and the port may be a neighbour's by now
        await self._drop_route()
        self._awaited = up = asyncio.ensure_future(self._found_again())
        if not state.port:
            # so that its page lives, and it can be cancelled
            self.outer.begin_start(asyncio.ensure_future(self._as_a_start(up)))
        else:
            self._routing = asyncio.ensure_future(self._routed(up))
        try:
            return await up
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
        except Exception as error:  # noqa: BLE001 - it would end the hub, or its checks of all servers
            words = error.log_message if isinstance(error, SpawnException) else repr(error)
            self.log.warning("%s: %s", self._log_name, words)
            if self.server_state is not None:
                self.outer.expect_nobody()
                return NOWHERE
        # it was stopped; the check, which JupyterHub cannot end, stays as it is
        await asyncio.Event().wait()
        return NOWHERE

    async def stop(self, now: bool = False) -> None:
        """Wait for the server no longer, cancel its job, and wait until it is gone."""
        if self._awaited is not None:
            self._awaited.cancel()
        await super().stop(now)

    async def _found_again(self) -> str:
        """Return the URL of a server whose submission the hub may not have lived to see."""
        while not self._known().job:
            if await self.poll() is not None:
                raise SpawnException("it was never submitted", reason="lost")
            await asyncio.sleep(5)
        return await self._until_up(adopted=time.time())

    async def _as_a_start(self, up: "asyncio.Future[str]") -> None:
        """Be what JupyterHub takes for a start, until the server is up and checked."""
        try:
            await self._checked(up)
        except asyncio.CancelledError:
            self.failure = postmortem.stopped(self)
            self.outer.end_check()
            raise
        finally:
            self.outer.end_start()
        await self._add_route()

    async def _routed(self, up: "asyncio.Future[str] | None" = None) -> None:
        """Send people to the server as soon as it is checked.

        JupyterHub itself does so only when its checks of all servers are done, which may take as
        long as the longest wait in the queue, or when it next compares all routes.
        """
        try:
            await self._checked(up)
        except Exception:  # noqa: BLE001 - `get_url` has it, too
            return
        await self._add_route()

    async def _checked(self, up: "asyncio.Future[str] | None") -> None:
        if up is not None:
            await up
        # JupyterHub has no event for the end of its check
        while not self.outer.is_checked:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
