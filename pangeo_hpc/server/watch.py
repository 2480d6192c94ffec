"""A notebook server's eye on itself: its time left, what works in it, and since when nothing does.

It works in any Jupyter server and asks nothing of its user. A hub is told at each look, and answers
with what it knows better: the job's end, and when it would stop an idle server.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from tornado import web

from pangeo_hpc.server import clock, notes, wording
from pangeo_hpc.server.clock import Span
from pangeo_hpc.server.work import Facts, Idleness, is_hand, pause, work
from pangeo_hpc.texts import english
from pangeo_hpc.units import format_duration

# Tells a hub how long the server has been idle and what works; returns its answer, None for none.
Tell = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a server is told when it starts. `node` is its host, `dask` takes Dask's notes.

    `clusters` is the folder of the user's Dask clusters, whose dashboards it shows.
    `ends` finds out when the job is over, and may ask the scheduler; `tell` speaks to a hub.
    `words` are those of our extension, from `wording.read`.
    """

    job: str | None
    node: str
    node_type: str | None = None
    dask: Path | None = None
    clusters: Path | None = None
    ends: Callable[[], datetime | None] = lambda: None
    tell: Tell | None = None
    words: Mapping[str, Any] = field(default_factory=lambda: wording.told(english()))


@dataclass
class Watch:
    """One server under watch. Times are seconds since 1970; `log` is the server's own."""

    told: Told
    application: web.Application
    base: str
    log: Any
    span: Span = field(default_factory=Span)
    after: float | None = None
    stops_at: float | None = None
    idleness: Idleness = field(default_factory=lambda: Idleness(time.time()))
    _present: float = 0.0
    _warned: Any = None

    def begin(self) -> None:
        """Look on from now, as a task of the running loop, and see what requests come in."""
        before = self.application.settings["log_function"]

        def seen(handler: web.RequestHandler) -> None:
            before(handler)
            self.notice(handler)

        self.application.settings["log_function"] = seen
        self._task = asyncio.ensure_future(self._run())

    def notice(self, handler: web.RequestHandler) -> None:
        """Take a request that was somebody's doing as a sign of life."""
        request = handler.request
        path = (request.path or "").removeprefix(self.base)
        navigates = request.headers.get("Sec-Fetch-Mode") == "navigate"
        method = request.method or ""
        if is_hand(method, path, handler.get_status(), navigates=navigates):
            self._present = time.time()
            self.stops_at = None

    def look(self, now: float) -> None:
        """See what works, and keep the activity fresh that Jupyter itself reports."""
        settings = self.application.settings
        working = work(self.facts(now))
        kernels = settings["kernel_manager"].last_kernel_activity
        terminal = settings.get("terminal_last_activity")
        signs = [each.timestamp() for each in (kernels, terminal) if each is not None]
        self.idleness.look(now, working, self._present, *signs)
        if working:
            settings["pangeo_hpc_last_activity"] = datetime.fromtimestamp(now, UTC)
            self.stops_at = None

    def facts(self, now: float) -> Facts:
        """Return what runs in this server."""
        settings = self.application.settings
        kernels = [
            (each["name"], each["execution_state"])
            for each in settings["kernel_manager"].list_kernels()
        ]
        terminals = getattr(settings.get("terminal_manager"), "terminals", {})
        return Facts(
            kernels=kernels,
            terminals={name: _children(each.ptyproc.pid) for name, each in terminals.items()},
            dask=notes.fresh(self.told.dask, now),
        )

    def plain(self, now: float) -> dict[str, Any]:
        """Return what a page is told, JSON-able."""
        return {
            "format": 1,
            "now": now,
            "begun": self.span.begun,
            "ends": self.span.ends,
            "walltime": self.span.walltime,
            "warn_at": [each.total_seconds() for each in clock.WARNINGS],
            "job": self.told.job,
            "node": self.told.node,
            "node_type": self.told.node_type,
            "idle": {
                "seconds": round(self.idleness.seconds(now), 1),
                "after": self.after,
                "stops_at": self.stops_at,
                "work": list(self.idleness.work),
            },
        }

    async def _run(self) -> None:
        found = await asyncio.to_thread(self.told.ends)
        self.span = Span(ends=found.timestamp() if found else None)
        while True:
            try:
                self.look(time.time())
                await self._ask_the_hub()
                self._warn(time.time())
            except Exception:
                # one look that failed must not be the last one
                self.log.exception("pangeo-hpc: could not look at what works here")
            left = self.span.left(time.time())
            await asyncio.sleep(clock.wait(left, pause(self.after)))

    async def _ask_the_hub(self) -> None:
        """Tell the hub, and take its word; without an answer the old one counts."""
        if self.told.tell is None:
            return
        idle = round(self.idleness.seconds(time.time()), 1)
        said = await asyncio.to_thread(
            self.told.tell, {"idle": idle, "work": list(self.idleness.work)}
        )
        if said is None:
            return
        if said.get("ends") is not None:
            self.span = Span(begun=said.get("begun"), ends=said["ends"])
        self.after, stops_in = said.get("after"), said.get("stops_in")
        self.stops_at = None if stops_in is None else time.time() + stops_in

    def _warn(self, now: float) -> None:
        left = self.span.left(now)
        self._warned = clock.still_told(left, self._warned)
        warning = clock.due(left, self._warned)
        if warning is not None and left is not None:
            self._warned = warning
            time_left = format_duration(left)
            self.log.warning("pangeo-hpc: this server's walltime is over in %s", time_left)


def _children(pid: int) -> list[str]:
    """Return the names of the programs that a terminal's shell has started and that still run."""
    try:
        found = psutil.Process(pid).children(recursive=True)
        return [each.name() for each in found if each.status() != psutil.STATUS_ZOMBIE]
    except psutil.Error:
        return []
