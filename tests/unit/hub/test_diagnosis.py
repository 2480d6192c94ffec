"""From what is known of a failed start to its kind and its fix."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pangeo_hpc import texts
from pangeo_hpc.errors import (
    CommandMissing,
    NotAllowed,
    PangeoHpcError,
    Problem,
    RequestRefused,
    SubmitRefused,
)
from pangeo_hpc.hub import logmarks
from pangeo_hpc.hub.diagnosis import Facts, Limits, diagnose, kind_of, more_memory
from pangeo_hpc.schedulers import refusals
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.units import MIB, gib

ENGLISH = texts.load()
LIMITS = Limits(
    node_type="compute",
    memory=gib(4),
    max_memory=gib(16),
    walltime=timedelta(hours=1),
    max_walltime=timedelta(hours=12),
    larger={"big": gib(64), "huge": gib(512), "little": gib(2)},
)
KERNEL_KILL = (
    "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.batch. Some of your processes may "
    "have been killed by the cgroup out-of-memory handler."
)
MISSING = (
    "/var/spool/slurmd/job7/slurm_script: line 31: /opt/hub/bin/python: No such file or directory"
)
AWAY = (
    "[W 2026-11-26 11:20:31.123 ServerApp] the hub did not take the report, trying again:  refused"
)


def end(state: JobState, **more: object) -> JobStatus:
    return replace(JobStatus(id="7", state=state), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        (Facts(status=end(JobState.OUT_OF_MEMORY)), "out-of-memory"),
        (Facts(status=end(JobState.FAILED), lines=(KERNEL_KILL,)), "out-of-memory"),
        (
            Facts(status=end(JobState.FAILED, signal=9, memory_used=gib(4) - MIB), limits=LIMITS),
            "out-of-memory",
        ),
        (
            Facts(status=end(JobState.FAILED, signal=9, memory_used=gib(1)), limits=LIMITS),
            "ended",
        ),
        (
            Facts(
                status=end(JobState.CANCELLED),
                lines=("slurmstepd: error: Job 7 exceeded memory limit (9 > 8), being killed",),
            ),
            "out-of-memory",
        ),
        (Facts(status=end(JobState.TIMEOUT), lines=(AWAY,)), "walltime"),
        (Facts(status=end(JobState.NODE_FAIL)), "node-failure"),
        (Facts(status=end(JobState.PREEMPTED)), "preempted"),
        (Facts(status=end(JobState.CANCELLED, word="CANCELLED by 0")), "cancelled"),
        (Facts(status=end(JobState.CANCELLED, word="DEADLINE")), "deadline"),
        (
            Facts(status=end(JobState.CANCELLED, reason="its dependency can never be met: x")),
            "dependency",
        ),
        (
            Facts(status=end(JobState.FAILED), lines=("OSError: [Errno 122] Disk quota exceeded",)),
            "disk-full",
        ),
        (Facts(status=end(JobState.FAILED, exit_code=1), full="/home/alice"), "disk-full"),
        (Facts(status=end(JobState.FAILED, exit_code=127)), "environment"),
        (Facts(status=end(JobState.FAILED), exit_code=126), "environment"),
        (Facts(status=end(JobState.FAILED), lines=(MISSING,)), "environment"),
        (
            Facts(
                status=end(JobState.FAILED, exit_code=1),
                lines=("ModuleNotFoundError: No module named 'jupyterhub'",),
            ),
            "environment",
        ),
        (
            Facts(
                status=end(JobState.FAILED, exit_code=1),
                lines=("pangeo-hpc: environment x is no kernel: No module named ipykernel",),
            ),
            "ended",
        ),
        (Facts(status=end(JobState.RUNNING), silent=300.0, lines=(AWAY,)), "unreachable"),
        (Facts(status=end(JobState.FAILED, exit_code=1), lines=(AWAY,)), "unreachable"),
        (Facts(status=end(JobState.RUNNING), silent=300.0), "silent"),
        (
            Facts(
                status=end(JobState.FAILED, exit_code=1, restarts=1),
                lines=("FileNotFoundError: [Errno 2] No such file: '/x/private/server-12ab'",),
            ),
            "restarted",
        ),
        (Facts(status=end(JobState.LOST)), "lost"),
        (Facts(status=end(JobState.LOST), exit_code=1), "ended"),
        (Facts(status=end(JobState.COMPLETED, exit_code=0)), "ended"),
        (Facts(), "lost"),
    ],
)
def test_the_kind_of_an_end(facts: Facts, kind: str) -> None:
    """What the scheduler knows comes before what was tried, and that before what the log tells."""
    assert kind_of(facts) == kind
    found = diagnose(facts, ENGLISH)
    assert found.kind == kind
    assert found.sentence.endswith(".")
    assert found.advice.endswith(".")
    assert "{" not in found.sentence + found.advice


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (
            SubmitRefused("slurm refused the job: Invalid account", hint="check --account"),
            "refused",
            "Check --account.",
        ),
        (
            NotAllowed("/home/alice/x cannot be used: No space left on device", hint="free some"),
            "disk-full",
            "Delete or move",
        ),
        (NotAllowed("/home/alice/x cannot be used: Permission denied"), "not-allowed", "Look at"),
        (RequestRefused([Problem("memory", "9 GiB is too much")]), "limits", "Change"),
        (CommandMissing("sbatch: command not found"), "scheduler", "This is a fault"),
        (PangeoHpcError("something"), "refused", "Change what"),
    ],
)
def test_a_job_that_was_not_taken(error: PangeoHpcError, kind: str, advice: str) -> None:
    """An error's own hint is the advice, but for a full disk, where we know better."""
    found = diagnose(Facts(error=error), ENGLISH)
    assert found.kind == kind
    assert found.advice.startswith(advice)


@pytest.mark.parametrize(
    ("memory", "most", "changes"),
    [
        (gib(4), gib(16), {"memory": "6 GiB"}),
        (gib(12), gib(16), {"memory": "16 GiB"}),
        (gib(1), gib(16), {"memory": "1536 MiB"}),
        (gib(16), gib(16), {"node_type": "big", "memory": "24 GiB"}),
        (gib(60), gib(60), {"node_type": "huge", "memory": "90 GiB"}),
        (gib(512), gib(512), {}),
    ],
)
def test_more_memory_within_the_limits(memory: int, most: int, changes: dict[str, str]) -> None:
    """Half as much again; at the limit of a node type the smallest larger one that has enough."""
    limits = replace(LIMITS, memory=memory, max_memory=most)
    found = diagnose(Facts(status=end(JobState.OUT_OF_MEMORY), limits=limits), ENGLISH)
    assert dict(found.changes) == changes
    assert changes or "as much memory as node type compute allows" in found.advice


@pytest.mark.parametrize(
    ("hours", "changes"),
    [(1, {"walltime": "02:00:00"}), (8, {"walltime": "12:00:00"}), (12, {})],
)
def test_more_walltime_within_the_limits(hours: int, changes: dict[str, str]) -> None:
    """Twice as long, and no longer than the node type allows."""
    limits = replace(LIMITS, walltime=timedelta(hours=hours))
    found = diagnose(Facts(status=end(JobState.TIMEOUT), limits=limits), ENGLISH)
    assert dict(found.changes) == changes


def test_memory_is_rounded_up() -> None:
    """Nobody is offered 1.5 times an odd number of bytes."""
    assert more_memory(gib(3)) == gib(5)
    assert more_memory(300 * MIB) == 512 * MIB
    assert more_memory(gib(4) - 1) == gib(6)


def test_who_cancelled_is_told() -> None:
    """A job that somebody else cancelled names them."""
    status = end(JobState.CANCELLED, word="CANCELLED by 0")
    assert "by root" in diagnose(Facts(status=status, who="root"), ENGLISH).sentence
    assert "by somebody" in diagnose(Facts(status=status), ENGLISH).sentence


def test_lines_are_made_harmless() -> None:
    """Forty lines at most, short, without colours, control characters and the server's token."""
    lines = [f"line {n}" for n in range(100)]
    lines += ["\x1b[31mred\x1b[0m\x07 token=s3cr3t", "x" * 10_000]
    shown = logmarks.shown(lines, "s3cr3t")
    assert len(shown) == logmarks.SHOWN
    assert shown[-2] == "red token=***"
    assert len(shown[-1]) == logmarks.LONGEST


def test_what_a_scheduler_refused_is_told_in_the_sites_language(tmp_path: Path) -> None:
    """The hint came in English from the user's own program; an unknown one stays as it is."""
    path = tmp_path / "de.json"
    path.write_text(json.dumps({"refusals": {"slurm": {"memory": "weniger Speicher verlangen"}}}))
    german = texts.load(path)
    hint = refusals.hint("slurm", "Memory specification can not be satisfied")
    told = diagnose(Facts(error=SubmitRefused("slurm refused the job: x", hint=hint)), german)
    assert told.advice == "Weniger Speicher verlangen."
    told = diagnose(Facts(error=SubmitRefused("x", hint="ask for what is there")), german)
    assert told.advice == "Ask for what is there."


@pytest.mark.parametrize(
    ("facts", "kind", "words"),
    [
        (Facts(status=end(JobState.OUT_OF_MEMORY), limits=LIMITS), "out-of-memory", "was ended"),
        (Facts(status=end(JobState.TIMEOUT), limits=LIMITS), "walltime", "of your server"),
        (Facts(overdue=True, limits=LIMITS), "walltime", "of your server"),
        (Facts(status=end(JobState.NODE_FAIL)), "node-failure", "your server was"),
        (Facts(status=end(JobState.PREEMPTED)), "preempted", "ended your server"),
        # what a kernel of its user wrote earlier is not why it ended
        (
            Facts(status=end(JobState.CANCELLED), lines=(KERNEL_KILL,), who="root"),
            "cancelled",
            "by root, not from the hub",
        ),
        (
            Facts(
                status=end(JobState.CANCELLED),
                lines=("slurmstepd: error: Job 7 exceeded memory limit (9 > 8), being killed",),
            ),
            "out-of-memory",
            "was ended",
        ),
        (
            Facts(
                status=end(JobState.FAILED, exit_code=1),
                lines=("ModuleNotFoundError: No module named 'x'", AWAY),
            ),
            "ended",
            "ended by itself",
        ),
        (Facts(status=end(JobState.FAILED, exit_code=1), full="/home/a"), "disk-full", "/home/a"),
        (Facts(status=end(JobState.LOST)), "lost", "Your server is gone"),
    ],
)
def test_the_end_of_a_server_that_was_up(facts: Facts, kind: str, words: str) -> None:
    """It is told in words of its own, and nothing there speaks of a start that failed."""
    found = diagnose(replace(facts, up=True), ENGLISH)
    assert found.kind == kind
    assert words in found.sentence
    assert "was up" not in found.sentence + found.advice
    assert "{" not in found.sentence + found.advice
