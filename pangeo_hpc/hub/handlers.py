"""What the hub answers beyond JupyterHub's own pages."""

from pathlib import Path
from typing import Any


def handlers(state: Path) -> list[tuple[Any, ...]]:
    """Return our handlers with their paths below the hub's prefix; `state` is its own directory."""
    from pangeo_hpc.hub import activity, idle, pages, port, status

    return [
        (port.PATH, port.PortHandler),
        (status.PATH, status.StatusHandler),
        (activity.PATH, activity.ActivityHandler, {"journal": state / idle.JOURNAL}),
        *pages.handlers(),
    ]
