"""From what is known of a failed start, or of a server's end, to its kind and the fix: pure.

What the scheduler says for certain comes first, then what was tried out, then what the log tells.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from pangeo_hpc.errors import (
    CommandMissing,
    NotAllowed,
    PangeoHpcError,
    RequestRefused,
    SubmitRefused,
    UnknownName,
)
from pangeo_hpc.hub import logmarks
from pangeo_hpc.schedulers import refusals
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.texts import Texts
from pangeo_hpc.units import MIB, exact_memory, format_memory, format_walltime, gib

# Programs that are not there, or may not be started; ours cannot read its site with 3.
_ENVIRONMENT_CODES = (3, 126, 127)
_KILLED = 9
_MORE_MEMORY, _MORE_TIME = 1.5, 2
_CERTAIN = {
    JobState.OUT_OF_MEMORY: "out-of-memory",
    JobState.TIMEOUT: "walltime",
    JobState.NODE_FAIL: "node-failure",
    JobState.PREEMPTED: "preempted",
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the job had, and how far its node type goes. Memory is in bytes.

    `larger` are other node types for notebooks, with the most memory that each allows.
    """

    node_type: str
    memory: int
    max_memory: int
    walltime: timedelta
    max_walltime: timedelta
    larger: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that is known of a start that failed, or of the end of a server that was `up`.

    `error` says why there is no job; else `status` is the end of the job, and `lines` and
    `exit_code` are what it left. `full` is a place in which nothing could be written any more.
    `silent` is set to the seconds that were waited for a server that runs and says nothing. `who`
    cancelled the job. `overdue` is a job without news whose walltime is over.
    """

    status: JobStatus | None = None
    error: PangeoHpcError | None = None
    lines: tuple[str, ...] = ()
    exit_code: int | None = None
    full: str = ""
    silent: float | None = None
    limits: Limits | None = None
    who: str = ""
    up: bool = False
    overdue: bool = False


@dataclass(frozen=True)
class Diagnosis:
    """A kind of failure in one word, in a sentence, and what to do; `changes` are form fields."""

    kind: str
    sentence: str
    advice: str
    changes: Mapping[str, str] = field(default_factory=dict)


def diagnose(facts: Facts, texts: Texts) -> Diagnosis:
    """Return what went wrong and the fix, in the words of a catalogue."""
    kind = kind_of(facts)
    if kind == "out-of-memory" and facts.limits is not None:
        return _memory(facts, facts.limits, texts)
    if kind == "walltime" and facts.limits is not None:
        return _walltime(facts, facts.limits, texts)
    values: dict[str, object] = {}
    sentence = "sentence"
    if kind == "cancelled":
        values["who"] = facts.who or texts("failure.kinds.cancelled.somebody")
    if kind == "silent":
        values["seconds"] = round(facts.silent or 0)
    if kind == "disk-full" and facts.full:
        sentence, values["where"] = "sentence_where", facts.full
    hint = _hint(facts.error, texts) if facts.error and kind != "disk-full" else None
    advice = _sentence(hint) if hint else _said(facts, kind, "advice", texts)
    return Diagnosis(kind, _said(facts, kind, sentence, texts, **values), advice)


def _said(facts: Facts, kind: str, part: str, texts: Texts, **values: object) -> str:
    """Return a text of a kind; that of a server which had been up, where it is another."""
    start = f"failure.kinds.{kind}"
    is_other = facts.up and f"{part}_up" in texts.part(start)
    return texts(f"{start}.{part}_up" if is_other else f"{start}.{part}", **values)


def _hint(error: PangeoHpcError, texts: Texts) -> str | None:
    """Return the next step after an error; one that a scheduler refused has it in the catalogue."""
    known = refusals.advice(error.hint) if isinstance(error, SubmitRefused) else None
    return texts.say(known) if known else error.hint


def kind_of(facts: Facts) -> str:
    """Return the kind of a failure."""
    if facts.error is not None:
        return _kind_of_error(facts.error)
    if facts.overdue:
        return "walltime"
    status = facts.status
    state = status.state if status else JobState.LOST
    if state in _CERTAIN:
        return _CERTAIN[state]
    if facts.up:
        return _kind_of_end(facts, state)
    told = logmarks.kinds(facts.lines)
    if "out-of-memory" in told or _ate_its_memory(facts):
        return "out-of-memory"
    if state is JobState.CANCELLED:
        return _kind_of_cancelled(status)
    if facts.full or "disk-full" in told:
        return "disk-full"
    if "restarted" in told and status is not None and status.restarts:
        return "restarted"
    if "environment" in told or _code(facts) in _ENVIRONMENT_CODES:
        return "environment"
    if "unreachable" in told:
        return "unreachable"
    if facts.silent is not None:
        return "silent"
    return "lost" if state is JobState.LOST and facts.exit_code is None else "ended"


def _kind_of_end(facts: Facts, state: JobState) -> str:
    """Return how a server ended that had been up: its log is full of what its user did."""
    lines = facts.lines
    if state is JobState.CANCELLED:
        lines = tuple(line for line in lines if "being killed" in line)
    if "out-of-memory" in logmarks.kinds(lines) or _ate_its_memory(facts):
        return "out-of-memory"
    if state is JobState.CANCELLED:
        return _kind_of_cancelled(facts.status)
    if facts.full:
        return "disk-full"
    return "lost" if state is JobState.LOST and facts.exit_code is None else "ended"


def _kind_of_error(error: PangeoHpcError) -> str:
    if logmarks.kinds([error.text]) & {"disk-full"}:
        return "disk-full"
    if isinstance(error, SubmitRefused):
        return "refused"
    if isinstance(error, RequestRefused | UnknownName):
        return "limits"
    if isinstance(error, NotAllowed):
        return "not-allowed"
    return "scheduler" if isinstance(error, CommandMissing) else "refused"


def _kind_of_cancelled(status: JobStatus | None) -> str:
    words = f"{status.word} {status.reason}".lower() if status else ""
    if "dependency" in words:
        return "dependency"
    return "deadline" if "deadline" in words else "cancelled"


def _ate_its_memory(facts: Facts) -> bool:
    """Tell whether a job was killed while it had nearly all the memory it may have."""
    status, limits = facts.status, facts.limits
    killed = (status is not None and status.signal == _KILLED) or _code(facts) == 128 + _KILLED
    if not killed or status is None or limits is None or status.memory_used is None:
        return False
    return status.memory_used > 0.95 * limits.memory


def _code(facts: Facts) -> int | None:
    told = facts.status.exit_code if facts.status else None
    return told if told is not None else facts.exit_code


def _memory(facts: Facts, limits: Limits, texts: Texts) -> Diagnosis:
    kind = "out-of-memory"
    sentence = _said(facts, kind, "sentence_limit", texts, memory=format_memory(limits.memory))
    wanted = more_memory(limits.memory)
    advice = _said(facts, kind, "advice", texts)
    if limits.memory < limits.max_memory:
        changes = {"memory": exact_memory(min(wanted, limits.max_memory))}
        return Diagnosis(kind, sentence, advice, changes)
    fits = {name: most for name, most in limits.larger.items() if most > limits.memory}
    if not fits:
        most = _said(facts, kind, "advice_most", texts, node_type=limits.node_type)
        return Diagnosis(kind, sentence, most)
    enough = {name: most for name, most in fits.items() if most >= wanted} or fits
    name = min(enough, key=lambda each: enough[each])
    changes = {"node_type": name, "memory": exact_memory(min(wanted, enough[name]))}
    return Diagnosis(kind, sentence, advice, changes)


def more_memory(memory: int) -> int:
    """Return half as much again, in whole GiB, or in whole 256 MiB where it is little."""
    wanted = int(memory * _MORE_MEMORY)
    step = gib(1) if wanted >= gib(4) else 256 * MIB
    return -(-wanted // step) * step


def _walltime(facts: Facts, limits: Limits, texts: Texts) -> Diagnosis:
    kind = "walltime"
    sentence = _said(facts, kind, "sentence", texts)
    if limits.walltime >= limits.max_walltime:
        return Diagnosis(kind, sentence, _said(facts, kind, "advice_most", texts))
    wanted = min(limits.walltime * _MORE_TIME, limits.max_walltime)
    changes = {"walltime": format_walltime(wanted)}
    return Diagnosis(kind, sentence, _said(facts, kind, "advice", texts), changes)


def _sentence(text: str) -> str:
    """Return a hint of an error, which has no capital and no full stop, as a sentence."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
