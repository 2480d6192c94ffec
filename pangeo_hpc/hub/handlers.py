"""What the hub answers beyond JupyterHub's own pages."""

from pathlib import Path
from typing import Any


def handlers(state: Path) -> list[tuple[Any, ...]]:
    """Return our handlers with their paths below the hub's prefix; `state` is its own directory."""
    # `pending` takes the place of JupyterHub's own
    from pangeo_hpc.hub import activity, idle, pages, pending, port, status  # noqa: F401

    return [
        (port.PATH, port.PortHandler),
        (status.PATH, status.StatusHandler),
        (activity.PATH, activity.ActivityHandler, {"journal": state / idle.JOURNAL}),
        *pages.handlers(),
    ]
