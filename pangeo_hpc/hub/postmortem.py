"""Why a server is not there: gather what is known, and make of it what is shown and raised."""

import pwd
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pangeo_hpc.errors import PangeoHpcError, RequestRefused
from pangeo_hpc.hub import choices, login, logmarks, metrics
from pangeo_hpc.hub.desk import Log, person_of
from pangeo_hpc.hub.diagnosis import Facts, Limits, diagnose
from pangeo_hpc.hub.failure import STOPPED, Failure, ServerFailed
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.texts import Texts

if TYPE_CHECKING:
    from pangeo_hpc.hub.following import FollowingSpawner
    from pangeo_hpc.hub.remembering import RememberingSpawner, Shared

# More than is shown: the cause can stand above what ended last.
LINES = 400
# So many failures are remembered with their logs, by a hub that goes on.
KEPT = 500
_BY = re.compile(r" by (\d+)$")


def refused(spawner: "RememberingSpawner", error: PangeoHpcError) -> ServerFailed:
    """Return why a job was not taken at all."""
    words = error.text
    if isinstance(error, RequestRefused):
        words = "; ".join(
            str(replace(each, hint=None))
            for each in map(spawner.office.texts.problem, error.problems)
        )
    return _failed(spawner, Facts(error=error, limits=_limits(spawner)), words=words)


async def ended(spawner: "RememberingSpawner", status: JobStatus) -> ServerFailed:
    """Return how a job ended that was waited for."""
    return _failed(spawner, await _facts(spawner, status))


async def gone(spawner: "RememberingSpawner", status: JobStatus | None) -> None:
    """Note how a job ended for which nobody waits, unless its own user ended it.

    None stands for a job without news whose walltime is over.
    """
    if status is None:
        _failed(spawner, Facts(limits=_limits(spawner), up=_was_up(spawner), overdue=True))
        return
    facts = await _facts(spawner, status)
    if not (facts.up and _is_own_wish(status, spawner.user.name)):
        _failed(spawner, facts)


def _was_up(spawner: "RememberingSpawner") -> bool:
    """Tell whether a server had proven itself."""
    return spawner.server_state is not None and bool(spawner.server_state.address)


def _is_own_wish(status: JobStatus, user: str) -> bool:
    """Tell whether a server ended in order, as from JupyterLab's menu, or by its user's hand.

    The hub cancels in its user's name, too: perhaps one that was killed before it could note that.
    """
    if status.state is JobState.COMPLETED:
        return True
    match = _BY.search(status.word) if status.state is JobState.CANCELLED else None
    return match is not None and _name(match[1]) == user


async def silent(spawner: "FollowingSpawner", status: JobStatus) -> ServerFailed:
    """Return why a job runs whose server never reported."""
    facts = await _facts(spawner, status)
    # a job that runs has no exit status; one that began anew may have left that of its first try
    return _failed(spawner, replace(facts, exit_code=None, silent=spawner.report_timeout))


def stopped(spawner: "RememberingSpawner") -> Failure:
    """Return what is remembered of a start that was cancelled from the hub."""
    texts, state = spawner.office.texts, spawner.server_state
    return Failure(
        kind=STOPPED,
        sentence=texts(f"failure.kinds.{STOPPED}.sentence"),
        advice=texts(f"failure.kinds.{STOPPED}.advice"),
        when=time.time(),
        job=state.job if state else "",
        asked=dict(spawner.user_options),
    )


def again(spawner: "Shared", kept: Failure | None) -> Failure | None:
    """Return a failure that JupyterHub kept, with its log if this very hub saw it."""
    if kept is None:
        return None
    seen = spawner.office.failures.get((spawner.user.name, spawner.name))
    return seen if seen is not None and seen.when == kept.when else kept


def _failed(spawner: "RememberingSpawner", facts: Facts, words: str = "") -> ServerFailed:
    """Note a failure at its spawner, and return the exception that tells it."""
    texts, status, state = spawner.office.texts, facts.status, spawner.server_state
    found = diagnose(facts, texts)
    code = status.exit_code if status and status.exit_code is not None else facts.exit_code
    failure = Failure(
        kind=found.kind,
        sentence=found.sentence,
        advice=found.advice,
        changes=found.changes,
        when=time.time(),
        state=str(status.state) if status else "",
        exit_code=code,
        words=words or (status.reason if status else ""),
        job=status.id if status else state.job if state else "",
        asked=dict(spawner.user_options),
        lines=logmarks.shown(facts.lines, spawner.api_token),
        up=facts.up,
    )
    spawner.failure = failure
    metrics.failed(failure.kind, up=failure.up)
    kept = spawner.office.failures
    kept.pop((spawner.user.name, spawner.name), None)
    kept[spawner.user.name, spawner.name] = failure
    while len(kept) > KEPT:
        kept.pop(next(iter(kept)))
    return ServerFailed(failure, texts, spawner.retry_link(failure))


async def _facts(spawner: "RememberingSpawner", status: JobStatus) -> Facts:
    log = await _log(spawner)
    return Facts(
        status=status,
        lines=log.lines,
        exit_code=log.exit_code,
        full=log.full,
        limits=_limits(spawner),
        who=_who(status.word, spawner.office.texts),
        up=_was_up(spawner),
    )


async def _log(spawner: "RememberingSpawner") -> Log:
    """Return what the job left, and a line that says so if it cannot be read."""
    state = spawner.server_state
    if state is None:
        return Log(())
    try:
        return await spawner.office.desk.logs(spawner.user.name, state.name, LINES)
    except PangeoHpcError as error:
        return Log((spawner.office.texts("failure.log_unreadable", words=error.text),))


def _limits(spawner: "RememberingSpawner") -> Limits | None:
    """Return what was asked for, and how far it could have gone; None for what is no request."""
    site = spawner.office.site
    try:
        asked = choices.read(spawner.user_options)
        request = choices.decide(site, asked, person_of(spawner.user.name))
        is_login = choices.profile(site, asked) == login.LOGIN
        node = (login.prepared(site) if is_login else site).node_types[request.node_type]
    except (PangeoHpcError, KeyError):
        return None
    is_else_there = not is_login or choices.BATCH in spawner.office.hub.profiles
    return Limits(
        node_type=node.name,
        memory=request.memory or node.memory,
        max_memory=node.max_memory,
        walltime=request.walltime,
        max_walltime=node.max_walltime,
        larger={
            name: other.max_memory
            for name, other in site.node_types.items()
            if "notebook" in other.uses and (is_login or name != node.name) and is_else_there
        },
    )


def _who(word: str, texts: Texts) -> str:
    """Return who cancelled a job by Slurm's ``CANCELLED by 1001``, empty if it is not told."""
    match = _BY.search(word)
    if match is None:
        return ""
    return _name(match[1]) or texts("failure.kinds.cancelled.user_number", number=match[1])


def _name(number: str) -> str:
    """Return the user of a number, empty if there is none."""
    try:
        return pwd.getpwuid(int(number)).pw_name
    except (KeyError, OverflowError):
        return ""
