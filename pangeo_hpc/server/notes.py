"""The server's side of Dask's work: what kernels are told, and which of their notes are fresh."""

import os
from collections.abc import Callable
from pathlib import Path

import psutil

from pangeo_hpc import files
from pangeo_hpc.server.dask_notes import EVERY, FOLDER

# A process that is too busy for its notes is at work in other ways, too.
FRESH = 6 * EVERY
_FILE = Path(__file__).with_name("dask_notes.py")


def prepare(folder: Path, base: str) -> dict[str, str]:
    """Make the private directory that takes the notes, and return what a kernel is told.

    Dask reads its settings there, after those of the user: what to load into schedulers and
    clients, and where dashboards are. `base` is the address of the server that the browser knows,
    with a slash at its end. A job that was submitted from a kernel inherits its environment; where
    the directory is gone, Dask goes on without it.
    """
    files.make_directory(folder, mode=0o700)
    config = files.make_directory(folder / "dask", mode=0o700)
    settings = {
        "scheduler": {"preload": [str(_FILE)]},
        "client": {"preload": [str(_FILE)]},
        "dashboard": {"link": f"{base}proxy/{{port}}/status"},
    }
    files.write_json(config / "pangeo-hpc.json", {"distributed": settings}, mode=0o600)
    return {FOLDER: str(folder), "DASK_CONFIG": str(config)}


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
