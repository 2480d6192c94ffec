"""The server's side of Dask's work: what kernels are told, and which of their notes are fresh."""

import os
from collections.abc import Callable
from pathlib import Path

import psutil

from pangeo_hpc.server.dask_notes import EVERY, FOLDER

# A process that is too busy for its notes is at work in other ways, too.
FRESH = 6 * EVERY
_FILE = Path(__file__).with_name("dask_notes.py")
# Dask takes a script's text for a module's name. The file is looked for: a job that was submitted
# from a kernel inherits its environment, and may run where this file is not.
_LOADER = """\
import importlib.util, os.path, sys
if os.path.isfile({file!r}) and {name!r} not in sys.modules:
    _spec = importlib.util.spec_from_file_location({name!r}, {file!r})
    sys.modules[{name!r}] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[{name!r}])
dask_setup = getattr(sys.modules.get({name!r}), "dask_setup", None)
"""


def variables(folder: Path, base: str) -> dict[str, str]:
    """Return what a kernel is told, so that its Dask work is seen and its dashboards are found.

    `folder` takes the notes; `base` is the address of the server that the browser knows, with a
    slash at its end.
    """
    loader = _LOADER.format(file=str(_FILE), name="pangeo_hpc_dask_notes")
    return {
        FOLDER: str(folder),
        "DASK_DISTRIBUTED__SCHEDULER__PRELOAD": loader,
        "DASK_DISTRIBUTED__CLIENT__PRELOAD": loader,
        "DASK_DISTRIBUTED__DASHBOARD__LINK": f"{base}proxy/{{port}}/status",
    }


def fresh(
    folder: Path | None,
    now: float,
    *,
    host: str | None = None,
    alive: Callable[[int], bool] = psutil.pid_exists,
) -> int:
    """Return how many programs of this host said of late that their Dask tasks are running."""
    if folder is None:
        return 0
    here = host or os.uname().nodename
    return sum(_is_fresh(entry, here, now, alive) for entry in folder.iterdir())


def _is_fresh(note: Path, host: str, now: float, alive: Callable[[int], bool]) -> bool:
    name, _, number = note.name.rpartition(".")
    if name != host or not number.isdigit():
        return False
    try:
        age = now - note.stat().st_mtime
    except OSError:
        # it was taken away while we looked
        return False
    return age < FRESH and alive(int(number))
