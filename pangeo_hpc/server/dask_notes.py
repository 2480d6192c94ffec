"""In the kernel: tells the notebook server for as long as Dask tasks of this process are running.

A kernel that waits for futures is idle for Jupyter. Dask loads this file into its schedulers and
clients (`notes.prepare`), in whatever environment the kernel has: only the standard library is
used, and nothing of this package. Dask loads it anew for each of them, and what was there stays.
"""

import os
import threading
import time
import weakref
from pathlib import Path
from typing import Any

FOLDER = "PANGEO_HPC_WORK"
EVERY = 5.0

if "_watched" not in globals():
    _watched: "weakref.WeakSet[Any]" = weakref.WeakSet()
    _lock = threading.Lock()
    _thread: "threading.Thread | None" = None


def dask_setup(thing: Any) -> None:
    """Follow a scheduler or a client of this process; Dask calls this when one was started."""
    global _thread  # noqa: PLW0603 - one thread for all of a process
    with _lock:
        _watched.add(thing)
        if FOLDER in os.environ and (_thread is None or not _thread.is_alive()):
            _thread = threading.Thread(target=_follow, name="pangeo-hpc-dask-notes", daemon=True)
            _thread.start()


def is_working(thing: Any) -> bool:
    """Tell whether a scheduler has tasks to do, or a client waits for futures."""
    if hasattr(thing, "workers") and hasattr(thing, "unrunnable"):
        # tasks without a worker wait for jobs in the queue
        waiting = thing.unrunnable or getattr(thing, "queued", ())
        return bool(waiting) or any(each.processing for each in list(thing.workers.values()))
    futures = list(getattr(thing, "futures", {}).values())
    return any(each.status == "pending" for each in futures)


def look(things: Any, note: Path, now: float) -> None:
    """Keep a note fresh while something works, and take it away when nothing does."""
    try:
        working = any(is_working(each) for each in list(things))
    except (AttributeError, RuntimeError):
        # another version of Dask, or a dictionary that changed under our eyes: no news
        return
    try:
        if working:
            note.touch(mode=0o600)
            os.utime(note, (now, now))
        else:
            note.unlink(missing_ok=True)
    except OSError:
        # the server is gone, or its disk is full; the kernel's work is more important
        pass


def _follow() -> None:
    name = f"{os.uname().nodename}.{os.getpid()}"
    note = Path(os.environ[FOLDER], name)
    while True:
        look(_watched, note, time.time())
        time.sleep(EVERY)
