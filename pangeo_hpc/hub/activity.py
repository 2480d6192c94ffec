"""Where a server tells how long it has been idle, and is stopped once that is too long.

The hub decides at each report, so it needs no timer and no account with rights over all servers. A
server that says nothing is left alone: a node that cannot reach the hub may be hard at work. What
JupyterHub itself knows of activity is not asked: there, an open browser window counts as work.
"""

import asyncio
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from jupyterhub.apihandlers.base import APIHandler
from tornado import web

from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.hub import facts, idle
from pangeo_hpc.hub.port import spawners_of
from pangeo_hpc.hub.spawner import SiteSpawner
from pangeo_hpc.units import format_duration

PATH = r"/api/pangeo-hpc/activity"
# Stops under way, which the loop itself would not keep.
_stops: set["asyncio.Task[None]"] = set()


class ActivityHandler(APIHandler):
    """Takes ``{"idle": seconds, "work": [sentence, …]}`` with the token of the server itself."""

    def initialize(self, journal: Path) -> None:
        """Take where stops are noted."""
        self.journal = journal

    def check_xsrf_cookie(self) -> None:
        """Skip the check for forged requests: only a token is accepted here, never a cookie."""

    async def post(self) -> None:
        """Answer with the job's times, and stop a server that has been idle for too long.

        400 for anything but a report, 403 for no token, 409 for a token of no running server.
        """
        token = self.get_auth_token()
        if token is None or self.current_user is None or self.get_token() is None:
            raise web.HTTPError(403, "a server's own token is needed")
        report = idle.read_report(self.request.body)
        if report is None:
            raise web.HTTPError(400, "how long the server is idle and what works is wanted")
        for outer, spawner in spawners_of(self.current_user):
            if spawner.reports(token):
                self.finish(json.dumps(self.heard(outer, spawner, report)))
                return
        raise web.HTTPError(409, "no server of this token is known here")

    def heard(self, outer: Any, spawner: SiteSpawner, report: idle.Report) -> dict[str, Any]:
        """Return what the server is told, after its stop was begun if its time is up."""
        after = spawner.office.hub.idle.after
        left = idle.time_to_stop(report, after)
        span = facts.span(spawner)
        if left is not None and left <= timedelta(0) and outer.ready and not outer.pending:
            task = asyncio.ensure_future(self.give_back(outer, spawner, report))
            _stops.add(task)
            task.add_done_callback(_stops.discard)
        return {
            "begun": span.begun,
            "ends": span.ends,
            "after": after.total_seconds() if after is not None else None,
            "stops_in": max(0.0, left.total_seconds()) if left is not None else None,
        }

    async def give_back(self, outer: Any, spawner: SiteSpawner, report: idle.Report) -> None:
        """Stop a server as its user would, and note what that gave back."""
        user, name = outer.user, outer.name
        entry = about(spawner, report, server=name, now=time.time())
        words = format_duration(report.idle)
        self.log.info("%s has been idle for %s and is stopped", outer._log_name, words)  # noqa: SLF001
        try:
            await (await self.stop_single_user(user, name))
        except (RuntimeError, KeyError, web.HTTPError):
            # somebody else began to stop it in the same moment
            self.log.info("%s is being stopped already", outer._log_name)  # noqa: SLF001
            return
        if outer.active:
            self.log.warning("%s is idle and could not be stopped", outer._log_name)  # noqa: SLF001
            return
        if entry is None:
            return
        try:
            await asyncio.to_thread(idle.note, self.journal, entry)
        except OSError as error:
            self.log.warning("%s: %s", self.journal, error.strerror)
        self.log.info("job %s gave back %.2f core-hours", entry.job, entry.core_hours)


def about(
    spawner: SiteSpawner, report: idle.Report, *, server: str, now: float
) -> idle.GivenBack | None:
    """Return what the stop of a server gives back, None where its job is not known."""
    state, span = spawner.server_state, facts.span(spawner)
    left = span.left(now)
    try:
        request = facts.request(spawner)
    except PangeoHpcError:
        # the site has changed since, and no longer has this node type
        return None
    if state is None or not state.job or left is None or request is None:
        return None
    return idle.GivenBack(
        time=now,
        user=spawner.user.name,
        server=server,
        job=state.job,
        node_type=request.node_type,
        cores=request.cores * request.nodes,
        idle_seconds=report.idle.total_seconds(),
        seconds_left=left.total_seconds(),
    )
