"""The workers' part of leaving before their job ends: they tell when, and hear SIGTERM.

Loaded by ``--preload`` in each worker, and called by `watch` in its nanny.
"""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from pangeo_hpc import allocation
from pangeo_hpc.errors import PangeoHpcError

# What a worker says when it registers: seconds until its job ends.
LEFT = "pangeo-hpc-left"
# What a nanny asks the scheduler for.
ASK = "pangeo_hpc_drain"
# Set to 1 where workers leave before their job ends: not in allocations, which end with the script.
DRAINS = "PANGEO_HPC_DRAINS"

# Seconds for the scheduler's answer.
_ANSWER = 5.0

logger = logging.getLogger("distributed.pangeo_hpc.drain")
_nannies: list[Any] = []
_tasks: set[asyncio.Task[None]] = set()


def seconds_left(environ: Mapping[str, str], now: datetime) -> float | None:
    """Return how long this job goes on, None where nobody says.

    A number of seconds, since the clocks of compute nodes and of the scheduler's host differ.
    """
    told = environ.get(allocation.ENDS, "")
    known = [datetime.fromtimestamp(int(told), UTC)] if told.isdigit() else []
    with suppress(PangeoHpcError):
        here = allocation.current(environ)
        known += [here.ends] if here is not None and here.ends is not None else []
    return (min(known) - now).total_seconds() if known else None


async def dask_setup(worker: Any) -> None:
    """Let a worker tell how long it has, and leave SIGTERM to its nanny."""
    if threading.current_thread() is threading.main_thread():
        # ignored since `node`, so that it does not end us; programs that tasks start hear it again
        signal.signal(signal.SIGUSR1, _nothing)
    if os.environ.get(DRAINS) != "1":
        return
    worker.startup_information[LEFT] = lambda _: seconds_left(os.environ, datetime.now(UTC))
    if threading.current_thread() is threading.main_thread():
        # a function, not SIG_IGN, which programs that tasks start would inherit
        signal.signal(signal.SIGTERM, _nothing)


def _nothing(*_: object) -> None:
    """Leave the signal to somebody else."""


def hear(nanny: Any) -> None:
    """Let a nanny that is sent SIGTERM have its worker drained.

    A batch system sends it to every process when a job is cancelled, preempted or out of time.
    Dask's own handler closes the worker at once, and what it holds is lost.
    """
    if os.environ.get(DRAINS) != "1":
        return
    _nannies.append(nanny)
    if len(_nannies) > 1 or threading.current_thread() is not threading.main_thread():
        return
    loop, heard = asyncio.get_running_loop(), False

    def begin() -> None:
        nonlocal heard
        if heard:
            return
        heard = True
        for one in _nannies:
            task = loop.create_task(_leave(one))
            _tasks.add(task)
            task.add_done_callback(_tasks.discard)

    signal.signal(signal.SIGTERM, lambda *_: loop.call_soon_threadsafe(begin))


async def _leave(nanny: Any) -> None:
    if nanny.status.name in ("closing", "closed"):
        return
    try:
        ask = getattr(nanny.scheduler, ASK)
        answer = await asyncio.wait_for(ask(nanny=nanny.address), _ANSWER)
    except Exception:
        logger.exception("SIGTERM, and the scheduler cannot be asked")
        answer = "no answer"
    logger.info("SIGTERM: %s", answer)
    if answer != "draining":
        await nanny.close(timeout=10, reason="signal-15")
