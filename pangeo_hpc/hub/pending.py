"""JupyterHub's page of a server that starts, also for one of which this hub only has the record."""

from typing import Any

from jupyterhub import handlers
from jupyterhub.handlers.pages import SpawnPendingHandler


class PendingHandler(SpawnPendingHandler):
    """Finds named servers that were stopped, or failed before the hub was started anew.

    JupyterHub calls them unknown until another page has looked at them, and a page that is loaded
    anew would end in an error instead of telling what came of the start.
    """

    async def get(self, user_name: str, server_name: str = "") -> Any:
        """Answer like JupyterHub's own, which checks who asks."""
        user = self.find_user(user_name)
        if user is not None and server_name in user.orm_spawners:
            # looked up, its spawner is made from the record
            user.spawners[server_name]
        return await super().get(user_name, server_name)


# handlers of a configuration come after JupyterHub's own, which match first
handlers.default_handlers[:] = [
    (each[0], PendingHandler, *each[2:]) if each[1] is SpawnPendingHandler else each
    for each in handlers.default_handlers
]
