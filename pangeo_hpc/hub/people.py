"""Who may log in with an authenticator that knows nothing of Unix groups: their members."""

import logging
import pwd
from collections.abc import Callable, Collection
from typing import Any

from pangeo_hpc.hub.desk import person_of
from pangeo_hpc.hub.servers import is_member

# What JupyterHub calls once somebody has proven who they are: None turns them away.
Hook = Callable[[Any, Any, dict[str, Any]], dict[str, Any] | None]
_log = logging.getLogger(__name__)


def by_groups(allowed: Collection[str], admins: Collection[str]) -> Hook:
    """Return what lets in members of Unix groups only, and makes some of them administrators."""

    def decide(authenticator: Any, handler: Any, found: dict[str, Any]) -> dict[str, Any] | None:
        del authenticator, handler
        name = str(found["name"])
        try:
            pwd.getpwnam(name)
        except KeyError:
            _log.warning("%s is no Unix user of this host, and is not let in", name)
            return None
        person = person_of(name)
        is_admin = is_member(person, admins)
        if not is_admin and not is_member(person, allowed):
            _log.warning("%s is in none of the hub's Unix groups, and is not let in", name)
            return None
        if not admins:
            return found
        # those whom the authenticator knows as administrators stay it; who left the group is none
        return {**found, "admin": is_admin or bool(found.get("admin"))}

    return decide
