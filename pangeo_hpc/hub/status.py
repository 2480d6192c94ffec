"""Who runs what: answered by the running hub to its operators, and to nobody else."""

import json
import time
from collections.abc import Mapping
from typing import Any

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.scopes import needs_scope

from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.hub import choices
from pangeo_hpc.hub.desk import person_of
from pangeo_hpc.hub.office import Office
from pangeo_hpc.hub.poller import News
from pangeo_hpc.hub.spawner import SiteSpawner, of_ours

PATH = r"/api/pangeo-hpc/status"
# What the state of everybody's servers is worth: administrators have it, and `hub status`.
SCOPE = "admin:server_state"


class StatusHandler(APIHandler):
    """Tells every server with its job, and what the looks at the queues cost."""

    @needs_scope(SCOPE)  # type: ignore[untyped-decorator]
    def get(self) -> None:
        """Return one JSON document. 403 for everybody who is no operator."""
        rows, offices = [], {}
        for user in list(self.users.values()):
            for name, spawner in sorted(user.spawners.items()):
                inner = of_ours(spawner)
                if inner is None:
                    continue
                offices[id(inner.office)] = inner.office
                if inner.server_state is not None:
                    rows.append(row(user.name, name, inner, ready=bool(spawner.ready)))
        looks = {key: each for o in offices.values() for key, each in figures(o).items()}
        self.finish(json.dumps({"format": 1, "servers": rows, "schedulers": looks}))


def row(user: str, server: str, spawner: SiteSpawner, *, ready: bool) -> dict[str, Any]:
    """Return what is told of one server. Times are in seconds, memory in bytes.

    `memory` is what the job asked for; `memory_used` what the scheduler has measured, None where
    it measures only at the end.
    """
    state = spawner.server_state
    if state is None:
        message = f"{user} has no server {server!r}"
        raise ValueError(message)
    news = spawner.office.poller(state.scheduler).news(state.job) if state.job else None
    status = news.status if news else None
    return {
        "user": user,
        "server": server,
        "ready": ready,
        **wanted(spawner),
        "state": str(status.state) if status else "submitted" if state.job else "submitting",
        "reason": status.reason if status else "",
        "job": state.job,
        "scheduler": state.scheduler,
        "name": state.name,
        "node": state.node or (status.nodes[0] if status and status.nodes else ""),
        "queue": status.queue if status else "",
        "asked": state.asked,
        "begun": state.begun,
        "walltime_left": max(0.0, state.ends - time.time()) if state.ends else None,
        "memory_used": status.memory_used if status else None,
        "heard": _age(news),
    }


def wanted(spawner: SiteSpawner) -> dict[str, Any]:
    """Return profile, node type, cores and memory of a server; None where the site has changed."""
    site = spawner.office.site
    try:
        asked = choices.read(spawner.user_options)
        request = choices.decide(site, asked, person_of(spawner.user.name))
    except (PangeoHpcError, KeyError):
        return {"profile": None, "node_type": None, "cores": None, "memory": None}
    return {
        "profile": choices.profile(site, asked),
        "node_type": request.node_type,
        "cores": request.cores,
        "memory": request.memory,
    }


def figures(office: Office) -> dict[str, Mapping[str, Any]]:
    """Return by scheduler how many servers are followed and what the looks cost, in seconds."""
    found: dict[str, Mapping[str, Any]] = {}
    for key, poller in office.pollers.items():
        costs = poller.figures
        answered = costs.last_answer
        found[key] = {
            "servers": len(poller.watched()),
            "interval": poller.interval,
            "questions": costs.questions,
            "failures": costs.failures,
            "seconds": round(costs.seconds, 3),
            "slowest": round(costs.slowest, 3),
            "last_failure": costs.last_failure,
            "answered": None if answered is None else round(time.monotonic() - answered, 1),
        }
    return found


def _age(news: News | None) -> float | None:
    """Return how many seconds ago something was heard."""
    return None if news is None else round(time.monotonic() - news.heard, 1)
