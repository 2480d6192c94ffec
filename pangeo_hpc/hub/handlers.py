"""What the hub answers beyond JupyterHub's own pages."""

from typing import Any


def handlers() -> list[tuple[Any, ...]]:
    """Return our handlers with their paths below the hub's prefix."""
    from pangeo_hpc.hub import pages, port, status

    return [(port.PATH, port.PortHandler), (status.PATH, status.StatusHandler), *pages.handlers()]
