"""A server that was there before the hub: wait for it as for one that was just asked for.

JupyterHub only "checks" such servers. It cannot cancel a check, and tells nobody how far it is.
"""

import asyncio

from batchspawner import BatchSpawnerBase
from jupyterhub.spawner import SpawnException

from pangeo_hpc.hub.failure import Failure
from pangeo_hpc.hub.state import ServerState


class AdoptingSpawner(BatchSpawnerBase):
    """What a spawner does whose server waits or starts while the hub is started anew."""

    server_state: ServerState | None = None
    # the last start, if nothing came of it
    failure: Failure | None = None
    _check_pending: bool
    _spawn_pending: bool
    _spawn_future: "asyncio.Future[None] | None"

    async def _until_up(self) -> str:
        raise NotImplementedError

    def _stopped(self) -> Failure:
        raise NotImplementedError

    async def get_url(self) -> str:
        """Return the URL of a server that was there before the hub; wait until it is up."""
        up = asyncio.ensure_future(self._until_up())
        if self.server_state is not None and not self.server_state.port:
            # so that its page lives, and it can be cancelled
            self._spawn_pending = True
            self._spawn_future = asyncio.ensure_future(self._as_a_start(up))
        try:
            return await up
        except SpawnException as error:
            # JupyterHub finds out by itself that nobody answers there
            self.log.warning("%s: %s", self._log_name, error.log_message)
            self.http_timeout = 1
            return str(self.server.url)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # somebody cancelled the server; the check, which JupyterHub cannot end, stays as it is
            await asyncio.Event().wait()
            raise

    async def _as_a_start(self, up: "asyncio.Future[str]") -> None:
        """Be what JupyterHub takes for a start, until the server is up and checked."""
        try:
            await up
            # JupyterHub has no event for the end of its check
            while self._check_pending:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            self.failure = self._stopped()
            self._check_pending, self._spawn_future = False, None
            raise
        finally:
            self._spawn_pending = False
