"""Inside a job: which one, where, and how long it goes on."""

from datetime import UTC, datetime, timedelta

import pytest

from pangeo_hpc import allocation
from pangeo_hpc.run import Command, Recorder, Result

SLURM = {
    "SLURM_JOB_ID": "17",
    "SLURM_JOB_NODELIST": "c[1-3]",
    "SLURM_CPUS_ON_NODE": "2",
    "SLURM_MEM_PER_NODE": "1500",
}
SHOWN = """\
JobId=17 JobName=x
   StartTime=1782000000 EndTime=1782003600 Deadline=N/A
"""


def test_outside_any_job() -> None:
    """An ordinary environment is no job."""
    assert allocation.current({"PATH": "/bin"}) is None
    assert allocation.known_end(None) is None


def test_a_slurm_job() -> None:
    """The environment tells the nodes, and what there is on each."""
    here = allocation.current(SLURM)
    assert here is not None
    assert (here.scheduler, here.job_id, here.nodes) == ("slurm", "17", ("c1", "c2", "c3"))
    assert (here.cores, here.memory) == (2, 1500 * 2**20)
    assert here.remaining() is None


def test_our_script_tells_the_end() -> None:
    """Where the scheduler does not, the head of our own job script does."""
    ends = datetime(2026, 11, 22, 6, tzinfo=UTC)
    here = allocation.current(SLURM | {"PANGEO_HPC_ENDS": str(int(ends.timestamp()))})
    assert here is not None
    assert here.remaining(ends - timedelta(minutes=5)) == timedelta(minutes=5)
    assert allocation.known_end(here, runner=Recorder([])) == ends


def test_the_innermost_job_counts() -> None:
    """A local queue's job inside a Slurm job is the one we are in."""
    local = {"PANGEO_LOCALQUEUE_JOB": "3", "PANGEO_LOCALQUEUE_ENDS": "1782000000"}
    here = allocation.current(SLURM | local)
    assert here is not None
    assert (here.scheduler, here.job_id) == ("local", "3")


def test_the_scheduler_is_asked_for_the_end() -> None:
    """In a hand-written script nobody has told the job, so the scheduler is asked, once."""
    runner = Recorder([Result(("scontrol",), 0, SHOWN)])
    here = allocation.current(SLURM)
    assert allocation.known_end(here, runner=runner) == datetime.fromtimestamp(1782003600, UTC)
    assert len(runner.commands) == 1


@pytest.mark.parametrize("words", ["Unable to contact slurm controller (connect failure)", "?"])
def test_nobody_can_say(words: str) -> None:
    """Without an answer the end is unknown, and that is no error."""

    def runner(command: Command) -> Result:
        return Result(command.argv, 1, stderr=f"slurm_load_jobs error: {words}")

    assert allocation.known_end(allocation.current(SLURM), runner=runner) is None
