"""What the local queue's program answers, and what it means."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pangeo_hpc.errors import SchedulerUnreachable
from pangeo_hpc.run import Result
from pangeo_hpc.schedulers.base import JobState, JobStatus, Node, NodeState

QUEUE = "local"


def parsed(verb: str, result: Result) -> dict[str, Any]:
    """Return the JSON the program printed; anything may stand in lines before it."""
    text = result.stdout[max(0, result.stdout.find("{")) :]
    if result.returncode == 0:
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if isinstance(answer, dict):
            return answer
    raise unclear(verb, result)


def unclear(verb: str, result: Result) -> SchedulerUnreachable:
    """Return the error for a call that did not tell what came of it."""
    message = f"the local queue gave no answer to {verb}: {result.words}"
    return SchedulerUnreachable(message, hint="try again in a moment")


def entries(answer: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the entries of a list in an answer; what is none is left out."""
    found = answer.get(key)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def statuses(answer: Mapping[str, Any]) -> dict[str, JobStatus]:
    """Return the jobs in an answer, by id."""
    statuses = (_status(entry) for entry in entries(answer, "jobs"))
    return {status.id: status for status in statuses if status.id}


def _status(entry: Mapping[str, Any]) -> JobStatus:
    word = _text(entry, "state")
    walltime = _number(entry, "walltime")
    state = JobState.__members__.get(word, JobState.UNKNOWN)
    node = _text(entry, "node")
    return JobStatus(
        id=_text(entry, "id"),
        state=state,
        word=word,
        name=_text(entry, "name"),
        user=_text(entry, "user"),
        queue=QUEUE,
        reason=_text(entry, "reason"),
        nodes=(node,) if node else (),
        exit_code=_whole(entry, "exit_code"),
        signal=_whole(entry, "signal"),
        submitted=moment(_number(entry, "submitted")),
        started=moment(_number(entry, "started")),
        ended=moment(_number(entry, "ended")),
        estimated_start=moment(_number(entry, "estimated_start")),
        walltime=None if walltime is None else timedelta(seconds=walltime),
        memory_used=_whole(entry, "memory_used"),
        cores=_whole(entry, "cores"),
        restarts=_whole(entry, "restarts") or 0,
    )


def node_of(entry: Mapping[str, Any]) -> Node:
    """Return the machine that an answer tells about."""
    cores, used = _whole(entry, "cores") or 0, _whole(entry, "cores_used") or 0
    memory, memory_used = _whole(entry, "memory") or 0, _whole(entry, "memory_used") or 0
    if used == 0 and memory_used == 0:
        state = NodeState.IDLE
    else:
        full = used >= cores or memory_used >= memory
        state = NodeState.BUSY if full else NodeState.PARTLY
    return Node(
        name=_text(entry, "name"),
        state=state,
        queues=(QUEUE,),
        cores=cores,
        cores_used=used,
        memory=memory,
        memory_used=memory_used,
    )


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""


def _number(entry: Mapping[str, Any], key: str) -> float | None:
    value = entry.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(entry: Mapping[str, Any], key: str) -> int | None:
    value = _number(entry, key)
    return None if value is None else int(value)


def moment(seconds: Any) -> datetime | None:
    """Return seconds of the epoch as a time in UTC."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
