"""A job runs on as many cores as it asked for, with all that it starts, and on no others."""

import json
import os
import sys
from collections.abc import Collection

import pytest

from pangeo_hpc.localqueue.cores import choose
from pangeo_hpc.localqueue.records import Standing
from pangeo_hpc.schedulers.base import JobState
from tests.unit.localqueue.conftest import RealQueue, until

two = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")


@pytest.mark.parametrize(
    ("wanted", "mine", "others", "first", "expected"),
    [
        (2, [], {}, 0, (0, 1)),
        # the user's other jobs are left alone, as long as there are cores that are free of them
        (2, [(0, 1)], {}, 0, (2, 3)),
        (3, [(0, 1)], {}, 0, (0, 2, 3)),
        # users begin at different cores, and go round
        (1, [], {}, 1001, (1,)),
        (2, [], {}, 1003, (0, 3)),
        # where other users are seen, the emptiest cores are taken
        (1, [], {0: 2, 1: 1, 2: 3, 3: 2}, 0, (1,)),
        (1, [(1,)], {0: 2, 1: 0, 2: 3, 3: 1}, 0, (3,)),
        # more than there are is all of them
        (9, [(0,)], {1: 5}, 2, (0, 1, 2, 3)),
    ],
)
def test_the_cores_in_least_use(
    wanted: int,
    mine: list[Collection[int]],
    others: dict[int, int],
    first: int,
    expected: tuple[int, ...],
) -> None:
    """One's own jobs count most, then other users, then a place that differs between users."""
    assert choose(wanted, {0, 1, 2, 3}, mine=mine, others=others, first=first) == expected


def test_neighbours_by_number_do_not_meet() -> None:
    """As many users as there are cores have one each, whatever they can see of each other."""
    assert {choose(1, range(8), first=uid) for uid in range(1000, 1008)} == {
        (core,) for core in range(8)
    }


def test_the_record_keeps_them() -> None:
    """A record of before, which has none, is read as well."""
    standing = Standing(state=JobState.RUNNING, cores=(1, 3))
    kept = json.loads(json.dumps(standing.to_json()))
    assert Standing.from_json(kept) == standing
    del kept["cores"]
    assert Standing.from_json(kept) == Standing(state=JobState.RUNNING)
    assert Standing.from_json({**kept, "cores": ["x"]}).state is JobState.UNKNOWN


CORES = "import os; print(*sorted(os.sched_getaffinity(0)))"
WIDEN = """
import os, threading, time
mine = os.sched_getaffinity(0)
out = threading.Event()
def widen(who):
    os.sched_setaffinity(0, range(os.cpu_count()))
    print(who, len(os.sched_getaffinity(0)) > len(mine), flush=True)
    while os.sched_getaffinity(0) != mine:
        time.sleep(0.01)
    print(who, "is back", flush=True)
thread = threading.Thread(target=widen, args=["thread"])
thread.start()
thread.join()
widen("process")
"""


@two
def test_all_that_a_job_starts_stays_on_its_cores(queue: RealQueue) -> None:
    """Its children's children and an orphan see one core of the machine, and the same one."""
    program = queue.folder / "ask.py"
    program.write_text(CORES)
    ask = f"{sys.executable} {program} >> seen"
    body = f"{ask}; bash -c '{ask}'; (setsid bash -c '{ask}; echo over >> seen' &)"
    job = queue.submit(f"{body}\nuntil grep -q over seen; do sleep 0.05; done", "--cores=1")
    assert queue.wait(job).state is JobState.COMPLETED, queue.output(job)
    seen = (queue.folder / "seen").read_text().split()[:-1]
    assert len(seen) == 3 and len(set(seen)) == 1, seen


@two
def test_two_jobs_have_different_cores(queue: RealQueue) -> None:
    """Jobs of one user that run at once share no core while there are enough."""
    body = f"{sys.executable} -c '{CORES}'; until [ -e go ]; do sleep 0.05; done"
    jobs = [queue.submit(body, "--cores=1") for _ in range(2)]
    until(lambda: all(_said(queue, job) for job in jobs), "both to run")
    (queue.folder / "go").touch()
    for job in jobs:
        assert queue.wait(job).state is JobState.COMPLETED
    assert queue.output(jobs[0]) != queue.output(jobs[1])


@two
def test_a_job_that_widens_is_brought_back(queue: RealQueue) -> None:
    """A process and a thread that take more cores have them until the supervisor looks again."""
    program = queue.folder / "widen.py"
    program.write_text(WIDEN)
    job = queue.submit(f"{sys.executable} {program}", "--cores=1", "--walltime=00:00:25")
    assert queue.wait(job).state is JobState.COMPLETED, queue.output(job)
    told = ["thread True", "thread is back", "process True", "process is back"]
    assert queue.output(job).splitlines() == told


@two
def test_the_daemon_sees_the_whole_machine(queue: RealQueue) -> None:
    """One that a narrowed job's supervisor starts anew is not narrowed itself."""
    job = queue.submit("until [ -e go ]; do sleep 0.05; done", "--cores=1")
    queue.wait_on_disk(job, JobState.RUNNING)
    queue.kill_daemon()
    daemon = until(queue.daemon, "another daemon")
    assert os.sched_getaffinity(daemon.pid) == os.sched_getaffinity(0)
    (queue.folder / "go").touch()
    assert queue.wait(job).state is JobState.COMPLETED


def _said(queue: RealQueue, job: str) -> str:
    output = queue.folder / f"local-{job}.out"
    return output.read_text() if output.exists() else ""
