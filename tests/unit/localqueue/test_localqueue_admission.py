"""Never more than the machine has, first come first served, and nobody starves. Real processes."""

import subprocess

import pytest

from pangeo_hpc.run import converse
from pangeo_hpc.schedulers.base import JobState
from tests.unit.localqueue.conftest import RealQueue

# Each job notes how many run beside it; mkdir is atomic, so that counting needs no lock.
COUNTING = """
mkdir running-$PANGEO_LOCALQUEUE_JOB
ls -d running-* | wc -l >> seen
sleep 0.4
ls -d running-* | wc -l >> seen
rmdir running-$PANGEO_LOCALQUEUE_JOB
"""


@pytest.mark.parametrize(
    ("options", "most"), [([], 2), (["--memory=3GiB"], 1), (["--exclusive"], 1)]
)
def test_never_more_at_once(queue: RealQueue, options: list[str], most: int) -> None:
    """Cores and memory are held to what the machine has."""
    ids = [queue.submit(COUNTING, *options) for _ in range(3)]
    for job_id in ids:
        assert queue.wait(job_id).state is JobState.COMPLETED
    seen = [int(line) for line in (queue.folder / "seen").read_text().split()]
    assert max(seen) <= most
    assert len(seen) == 6


def test_two_run_at_once(queue: RealQueue) -> None:
    """What the machine has is used: each of two jobs waits for the other one to run."""
    first = queue.submit("touch one; until test -e two; do sleep 0.05; done")
    second = queue.submit("touch two; until test -e one; do sleep 0.05; done")
    assert queue.wait(first).state is JobState.COMPLETED
    assert queue.wait(second).state is JobState.COMPLETED


def test_daemons_killed_all_the_time(queue: RealQueue) -> None:
    """However often another daemon begins, no job runs twice and no more than fit."""
    ids = [queue.submit(COUNTING) for _ in range(5)]
    for _ in range(12):
        queue.kill_daemon()
        queue.states(*ids)
    for job_id in ids:
        assert queue.wait(job_id).state is JobState.COMPLETED
    seen = [int(line) for line in (queue.folder / "seen").read_text().split()]
    assert max(seen) <= 2
    assert len(seen) == 10


def test_many_submit_at_once(queue: RealQueue) -> None:
    """Ten processes submit together: ten ids, ten runs."""
    script = queue.write("echo $PANGEO_LOCALQUEUE_JOB >> ran")
    processes = [
        subprocess.Popen(
            queue.argv("submit", str(script)),
            env=queue.variables,
            cwd=queue.folder,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(10)
    ]
    ids = {process.communicate(timeout=90)[0].strip() for process in processes}
    assert ids == {str(number) for number in range(1, 11)}
    for job_id in ids:
        assert queue.wait(job_id).state is JobState.COMPLETED
    assert sorted((queue.folder / "ran").read_text().split()) == sorted(ids)


def test_small_ones_go_ahead_only_where_nobody_waits_longer(queue: RealQueue) -> None:
    """A small, short job fills a gap; a small, long one stays behind the large one."""
    first = queue.submit("until test -e go; do sleep 0.05; done", "--walltime=00:01:00")
    queue.wait(first, JobState.RUNNING)
    large = queue.submit("echo large >> order", "--cores=2", "--walltime=00:01:00")
    long = queue.submit("echo long >> order", "--walltime=01:00:00")
    short = queue.submit("echo short >> order", "--walltime=00:00:20")
    assert queue.wait(short).state is JobState.COMPLETED
    assert {queue.status(i).state for i in (large, long)} == {JobState.PENDING}
    assert queue.status(large).reason == "waits for cores and memory"
    start = queue.status(large).estimated_start
    running = queue.status(first)
    assert start is not None and running.started is not None and running.walltime is not None
    assert abs((start - running.started - running.walltime).total_seconds()) < 2
    (queue.folder / "go").touch()
    queue.wait(long)
    assert (queue.folder / "order").read_text().split() == ["short", "large", "long"]


def test_a_machine_that_shrank(queue: RealQueue) -> None:
    """A job that no longer fits says why it waits, and keeps nobody else from running."""
    blocker = queue.submit("sleep 60", "--cores=2")
    large = queue.submit("true", "--cores=2")
    small = queue.submit("true")
    queue.wait(blocker, JobState.RUNNING)
    queue.kill_daemon()
    queue.end_everything()
    queue.environment["PANGEO_LOCALQUEUE_TOTAL_CORES"] = "1"
    assert queue.wait(small).state is JobState.COMPLETED
    waiting = queue.status(large)
    assert waiting.state is JobState.PENDING
    assert "asks for 2 cores" in waiting.reason
    assert waiting.estimated_start is None
    converse(queue.scheduler.cancel([large]))
