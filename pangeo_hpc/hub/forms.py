"""The form of a server's choices."""

from html import escape
from typing import TYPE_CHECKING

from jupyterhub.spawner import SpawnException

from pangeo_hpc.errors import PangeoHpcError

if TYPE_CHECKING:
    from pangeo_hpc.hub.spawner import SiteSpawner


async def render(spawner: "SiteSpawner") -> str:
    """Return the form's fields as HTML."""
    site = spawner.office.site
    names = [name for name, each in site.node_types.items() if "notebook" in each.uses]
    options = "".join(f"<option>{escape(name)}</option>" for name in names)
    return f'<label for="node_type">Node type</label> <select name="node_type">{options}</select>'


def refusal(error: PangeoHpcError) -> SpawnException:
    """Return what is said to a request outside the limits."""
    return SpawnException(str(error), reason="refused")
