"""Runs beside each Dask worker, in its nanny: no worker outlives its scheduler.

A nanny keeps no connection to the scheduler, so it neither notices when the scheduler dies while
a task holds its worker's interpreter, nor ends when it could not start its worker again
(distributed 2026.8.0). Here it keeps one. Loaded by ``--preload-nanny``.
"""

import asyncio
import atexit
import logging
import os
import shutil
import signal
import threading
from typing import Any

from pangeo_hpc.dask.drain_worker import hear

# Where the program's own directory for spilled data is, to be removed at the end.
SPILL = "PANGEO_HPC_SPILL"

CONNECT = 30.0  # seconds to find the scheduler
GRACE = 15.0  # seconds a worker gets to end before its program does

logger = logging.getLogger("distributed.pangeo_hpc.watch")
_tasks: set[asyncio.Task[None]] = set()
_orphaned = threading.Event()


async def dask_setup(nanny: Any) -> None:
    """Begin to watch the scheduler of a nanny."""
    if not _tasks:
        atexit.register(_leave)
    _tasks.add(asyncio.create_task(_follow(nanny)))
    hear(nanny)


async def _follow(nanny: Any) -> None:
    from distributed.comm.core import connect

    try:
        comm = await connect(nanny.scheduler_addr, timeout=CONNECT, **nanny.connection_args)
        comm.name = "Nanny->Scheduler (watch)"
        await comm.read()  # nothing is ever said here; it ends when the scheduler does
    except OSError:
        pass
    if nanny.status.name in ("closing", "closed"):
        return
    logger.info("no scheduler at %s any more: this worker ends", nanny.scheduler_addr)
    _orphaned.set()
    last = threading.Timer(GRACE, _end)
    last.daemon = True
    last.start()
    await nanny.close(timeout=5, reason="scheduler-gone")


def _end() -> None:
    _leave()
    os._exit(1)


def _leave() -> None:
    """Remove spilled data and, without a scheduler, end what tasks have started."""
    spill = os.environ.get(SPILL)
    if spill:
        shutil.rmtree(spill, ignore_errors=True)
    if _orphaned.is_set() and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
