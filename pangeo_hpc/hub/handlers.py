"""What the hub answers beyond JupyterHub's own pages."""

from pathlib import Path
from typing import Any


def handlers(state: Path) -> list[tuple[Any, ...]]:
    """Return our handlers with their paths below the hub's prefix; `state` is its own directory."""
    from pangeo_hpc.hub import activity, idle
    from pangeo_hpc.hub.port import PATH, PortHandler

    return [
        (PATH, PortHandler),
        (activity.PATH, activity.ActivityHandler, {"journal": state / idle.JOURNAL}),
    ]
