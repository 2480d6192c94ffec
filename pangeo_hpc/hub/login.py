"""The login profile: a small server on the hub's own host, in the user's own local queue.

To everything else it is one more node type of one more scheduler, laid over the site where a
server is planned, submitted or followed. The site that users see does not have it.
"""

from datetime import timedelta

from pangeo_hpc.site import NodeType, SchedulerEntry, Site

LOGIN = "login"
# The site says nothing of it: a working day, and the memory comes back over night.
WALLTIME = timedelta(hours=12)
_TYPE = "local"


def prepared(site: Site) -> Site:
    """Return a site that has the local queue of the hub's host, and the node type of the profile.

    A scheduler of type local that the site names itself is taken, with its environment.
    """
    if site.hub is None:
        return site
    key = scheduler(site)
    limits = site.hub.login
    node_type = NodeType(
        description="A small server on the hub's host",
        scheduler=key,
        cores=limits.cores,
        memory=limits.memory,
        walltime=WALLTIME,
        account="none",
        uses=frozenset({"notebook"}),
    )
    entries = {key: SchedulerEntry(type=_TYPE).called(key), **site.schedulers}
    # a node type of that name that the site has itself is only hidden where a login is planned
    types = {**site.node_types, LOGIN: node_type.called(LOGIN)}
    return site.model_copy(update={"schedulers": entries, "node_types": types})


def scheduler(site: Site) -> str:
    """Return the key of the local queue: the site's own, or one that is free."""
    for key, entry in site.schedulers.items():
        if entry.type == _TYPE:
            return key
    return _TYPE if _TYPE not in site.schedulers else f"{_TYPE}-{LOGIN}"
