import os
from dataclasses import replace

import pytest

from pangeo_hpc.schedulers.base import JobState
from pangeo_hpc.workflow.holder import Holder, Verdict, judge, myself


def never(_holder: Holder) -> JobState:
    raise AssertionError("the scheduler need not be asked")


def test_a_holder_survives_its_file(me: Holder) -> None:
    """What is written down is read back."""
    assert Holder.load(me.dump()) == me
    for broken in ("", "{", "[]", "{}", '{"number": 1}'):
        with pytest.raises(ValueError):  # noqa: PT011, any will do
            Holder.load(broken)


def test_an_own_host_needs_no_scheduler(me: Holder) -> None:
    """Here the process itself tells: alive, gone, another process of that pid, another boot."""
    assert judge(me, me, never) is Verdict.ALIVE
    assert judge(replace(me, pid=2**22 + 7), me, never) is Verdict.GONE
    assert judge(replace(me, process_started=1), me, never) is Verdict.GONE
    assert judge(replace(me, boot_id="earlier"), me, never) is Verdict.GONE
    assert judge(replace(me, released_at="2026-01-01"), me, never) is Verdict.GONE
    # in another container, the pid says nothing
    assert judge(replace(me, pid_space="pid:[1]"), me, never) is Verdict.UNKNOWN


ELSEWHERE = {"host": "node7", "boot_id": "another", "job_id": "41", "scheduler": "slurm"}


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        (JobState.RUNNING, Verdict.ALIVE),
        (JobState.PENDING, Verdict.ALIVE),
        (JobState.UNKNOWN, Verdict.ALIVE),
        (JobState.TIMEOUT, Verdict.GONE),
        (JobState.NODE_FAIL, Verdict.GONE),
        (JobState.LOST, Verdict.GONE),
        (None, Verdict.UNKNOWN),
    ],
)
def test_elsewhere_the_scheduler_tells(
    me: Holder, state: JobState | None, verdict: Verdict
) -> None:
    """A job that ended holds nothing; nobody's answer proves nothing."""
    assert judge(replace(me, **ELSEWHERE), me, lambda _: state) is verdict


def test_elsewhere_without_a_job_nobody_tells(me: Holder) -> None:
    """A process on another host that is in no job cannot be asked about."""
    other = replace(me, host="login2", boot_id="another")
    assert judge(other, me, never) is Verdict.UNKNOWN


def test_a_requeued_job_follows_itself(me: Holder) -> None:
    """The id stays and the restarts count; the earlier process may even live on this host."""
    mine = replace(me, job_id="41", scheduler="slurm", restarts=1)
    assert judge(replace(me, job_id="41", scheduler="slurm"), mine, never) is Verdict.GONE
    assert judge(replace(me, **ELSEWHERE), mine, never) is Verdict.GONE
    # two attempts in one job on two nodes: the scheduler knows of the job only
    assert judge(replace(me, **ELSEWHERE, restarts=1), mine, never) is Verdict.UNKNOWN
    assert judge(mine, replace(mine, restarts=0), never) is Verdict.ALIVE


def test_an_attempt_to_be_followed_is_gone(me: Holder) -> None:
    """The scheduler began our job because that one's had ended, whatever still lives there."""
    mine = replace(me, attempt=3, follows=[1, 2])
    for holder in (replace(me, attempt=2), replace(me, **ELSEWHERE, attempt=1)):
        assert judge(holder, mine, never) is Verdict.GONE
    assert judge(replace(me, attempt=4), mine, never) is Verdict.ALIVE
    assert judge(replace(me, attempt=None), mine, never) is Verdict.ALIVE


def test_myself_outside_any_job() -> None:
    """Outside a job, a holder is its process."""
    me = myself(None, 3)
    assert (me.pid, me.job_id, me.attempt) == (os.getpid(), None, 3)
    assert str(me) == f"process {me.pid} on {me.host}"
