"""What the hub answers beyond JupyterHub's own pages."""

from typing import Any


def handlers() -> list[tuple[Any, ...]]:
    """Return our handlers with their paths below the hub's prefix."""
    # `pending` takes the place of JupyterHub's own
    from pangeo_hpc.hub import pages, pending  # noqa: F401
    from pangeo_hpc.hub.port import PATH, PortHandler

    return [(PATH, PortHandler), *pages.handlers()]
