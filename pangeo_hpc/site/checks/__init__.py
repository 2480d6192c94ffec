"""What one field alone cannot tell: every check is a pure function from a site to its problems."""

from collections.abc import Callable, Collection

from pangeo_hpc.site.checks import hub, lines, nodes, places, stores, whole
from pangeo_hpc.site.checks.finding import Finding, concerns
from pangeo_hpc.site.model import Site

__all__ = ["CHECKS", "Finding", "check", "concerns"]

CHECKS: tuple[Callable[[Site], list[Finding]], ...] = (
    whole.one_default,
    whole.names_meant_for_us,
    whole.scheduler_options,
    whole.node_type_schedulers,
    whole.defaults,
    whole.uses,
    nodes.within_maximum,
    nodes.dask_fits,
    nodes.gpus,
    lines.directives,
    lines.options,
    lines.local_disk,
    lines.all_placeholders,
    places.every_user_apart,
    places.known_placeholders,
    places.purge,
    places.environments,
    stores.object_stores,
    stores.catalogs,
    hub.ports,
    hub.parts_that_belong_together,
)


def check(site: Site, schedulers: Collection[str]) -> list[Finding]:
    """Return everything that is wrong with a site whose fields are all well-formed."""
    found = whole.scheduler_types(site, schedulers)
    for each in CHECKS:
        found += each(site)
    return found
