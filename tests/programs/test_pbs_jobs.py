"""Jobs on PBS from end to end, through programs that keep state, refuse and lie.

They prove that our words and PBS's fit together, for every step from a request to its end; that
the jobs get their resources only a real PBS can prove.
"""

import os
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pangeo_hpc import jobs
from pangeo_hpc.errors import SchedulerUnreachable, SubmitRefused
from pangeo_hpc.run import converse, run
from pangeo_hpc.schedulers.base import JobRequest, JobState, JobStatus, SchedulerOptions
from pangeo_hpc.schedulers.pbs import PBS
from pangeo_hpc.schedulers.pbs_nodes import counts_as
from tests.programs.pbs_programs import install, tell


class Site:
    """A PBS with empty queues, and a folder for jobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = install(folder / "pbs")
        self.pbs = PBS(SchedulerOptions(bin=self.programs, timeout=20))

    def tell(self, **told: object) -> None:
        tell(self.programs, **told)

    def request(self, script: str, **changes: object) -> JobRequest:
        folder = self.folder / "job"
        made = JobRequest(
            name=jobs.with_nonce("test"),
            command=("/bin/bash", "-c", script),
            cores=1,
            memory=2**30,
            walltime=timedelta(minutes=10),
            queue="short",
            output=folder / "output.log",
            exit_file=folder / "exit",
        )
        return replace(made, **changes)

    def submit(self, script: str, **changes: object) -> jobs.Job:
        return jobs.submit(self.pbs, self.request(script, **changes), self.folder / "job")

    def wait(self, job: jobs.Job, *until: JobState) -> JobStatus:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            (status,) = jobs.status_of(self.pbs, [job])
            if status.state in until or (not until and status.state.ended):
                return status
            time.sleep(0.1)
        raise AssertionError(f"still {status}")


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_a_job_that_succeeds(site):
    """It is submitted, runs with its environment and output, and is COMPLETED."""
    job = site.submit('echo "$GREETING from $PBS_JOBID"', environment={"GREETING": "it's me"})
    assert job.id == "1.standin"
    status = site.wait(job)
    assert status.state is JobState.COMPLETED
    assert status.exit_code == 0
    assert status.nodes == ("node01",)
    assert abs(status.ended.timestamp() - time.time()) < 60, "times are in UTC whatever our zone is"
    assert job.output.read_text() == "it's me from 1.standin\n"
    assert job.exit_file.read_text() == "0\n"


@pytest.mark.parametrize(
    ("script", "changes", "state", "code"),
    [
        ("exit 3", {}, JobState.FAILED, 3),
        ("kill -9 $$", {}, JobState.FAILED, 137),
        ("sleep 60", {"walltime": timedelta(seconds=1)}, JobState.TIMEOUT, None),
    ],
)
def test_jobs_that_fail(site, script, changes, state, code):
    """How it failed is told, by PBS and by the file the job keeps."""
    status = site.wait(site.submit(script, **changes))
    assert (status.state, status.exit_code) == (state, code)


def test_a_job_that_is_cancelled(site):
    """A running job and a waiting one are cancelled; doing it twice is no error."""
    job = site.submit("sleep 60")
    site.wait(job, JobState.RUNNING)
    assert jobs.cancel(site.pbs, [job.id]) == {}
    status = site.wait(job)
    assert status.state is JobState.CANCELLED
    assert jobs.cancel(site.pbs, [job.id, "4711.standin"]) == {}
    site.tell(paused=True)
    job = site.submit("true")
    assert site.wait(job, JobState.PENDING).reason == "Not Running: Queue not started."
    assert jobs.cancel(site.pbs, [job.id]) == {}
    assert site.wait(job).state is JobState.CANCELLED


def test_refusals(site):
    """A refusal has PBS's words, and nothing is in the queue."""
    for changes, words in (
        ({"queue": "nosuch"}, "Unknown queue"),
        ({"account": "BAD1"}, "Invalid account BAD1"),
        ({"walltime": timedelta(days=3)}, "violates queue and/or server resource limits"),
        ({"cores": 4, "nodes": 4}, "violates queue and/or server resource limits"),
        ({"directives": ("-l ncpus=1",)}, 'cannot be used with "select"'),
        ({"directives": ("-Z x",)}, "directive error"),
    ):
        with pytest.raises(SubmitRefused) as caught:
            site.submit("true", **changes)
        assert words in caught.value.text
    assert run_text(site, "qstat", "-x") == ""


def run_text(site: Site, program: str, *arguments: str) -> str:
    from pangeo_hpc.run import Command

    return run(Command((str(site.programs / program), *arguments))).stdout


def test_an_answer_that_was_lost(site):
    """qsub took the job and then lost the server: the job is found by its name, not sent again."""
    site.tell(mute=["qsub"])
    job = site.submit("exit 4")
    assert job.id == "1.standin"
    assert site.wait(job).exit_code == 4
    assert run_text(site, "qstat", "-x", "-f").count("Job Id:") == 1


def test_a_server_that_is_down(site):
    """Nothing is known, and nothing is taken as ended; what was not taken is said to be so."""
    job = site.submit("sleep 60")
    site.tell(down=["qstat"])
    with pytest.raises(SchedulerUnreachable, match="Connection refused"):
        jobs.status_of(site.pbs, [job])
    site.tell(down=["qsub"])
    with pytest.raises(SchedulerUnreachable, match="Connection refused"):
        site.submit("true")
    site.tell(hang=["qstat"])
    slow = PBS(SchedulerOptions(bin=site.programs, timeout=0.5))
    with pytest.raises(SchedulerUnreachable, match="no answer within"):
        jobs.status_of(slow, [job])
    site.tell()
    jobs.cancel(site.pbs, [job.id])


@pytest.mark.parametrize("lie", [{}, {"json": "first"}, {"json": "broken"}, {"history": False}])
def test_many_jobs_and_every_lie(site, lie):
    """Several jobs and an array are told rightly, whichever way qstat is wrong about them."""
    site.tell(paused=True, **lie)
    submitted = [
        jobs.submit(
            site.pbs,
            site.request(f"exit {code}", exit_file=site.folder / f"{code}" / "exit"),
            site.folder / f"{code}",
        )
        for code in range(3)
    ]
    waiting = jobs.status_of(site.pbs, submitted)
    assert [status.state for status in waiting] == [JobState.PENDING] * 3
    assert [status.name for status in waiting] == [job.name for job in submitted]
    site.tell(**lie)
    ends = [site.wait(job) for job in submitted]
    assert [status.exit_code for status in ends] == [0, 1, 2]
    assert [status.state for status in ends] == [JobState.COMPLETED, *[JobState.FAILED] * 2]
    array = site.request("exit $PBS_ARRAY_INDEX", array=3, exit_file=None)
    asked = [jobs.submit(site.pbs, array, site.folder / "job").id]
    deadline = time.monotonic() + 90
    known = {}
    while not known or not all(status.state.ended for status in known.values()):
        known = converse(site.pbs.history(asked)) or converse(site.pbs.status(asked))
        assert time.monotonic() < deadline
        if lie == {"history": False} and not known:
            return
    assert {job_id: status.exit_code for job_id, status in known.items()} == {
        f"4[{index}].standin": index for index in range(3)
    }
    assert sorted(path.name for path in (site.folder / "job").glob("output*")) == [
        f"output.log.{index}" for index in range(3)
    ]


def test_dependencies(site):
    """A job waits for another; when that one fails it is dropped, and says so."""
    site.tell(paused=True)
    first = jobs.submit(site.pbs, site.request("exit 1"), site.folder / "first")
    request = site.request("true", after=(first.id,))
    second = jobs.submit(site.pbs, request, site.folder / "second")
    assert site.wait(second, JobState.HELD).reason == "waits for afterok:1.standin"
    site.tell()
    status = site.wait(second)
    assert status.state is JobState.CANCELLED
    assert "dependency can never be met" in status.reason


def test_a_routing_queue(site):
    """A job given to a routing queue is seen in another one, which counts as the same."""
    job = site.submit("true", queue="main")
    status = site.wait(job)
    assert status.queue == "long"
    queues = converse(site.pbs.queues())
    assert counts_as("main", status.queue, queues)
    assert not counts_as("short", status.queue, queues)


def test_inside_the_job(site):
    """The job sees its hosts; nodes and version are told too."""
    script = 'cat "$PBS_NODEFILE"; echo "$NCPUS"; echo "${TZ-none} ${LC_ALL-none}"'
    job = site.submit(script, nodes=3)
    assert site.wait(job).nodes == ("node01", "node02", "node03")
    assert job.output.read_text() == "node01\nnode02\nnode03\n1\nnone none\n"
    assert len(converse(site.pbs.nodes())) == 4
    assert converse(site.pbs.version()) == (23, 6, 6)


def test_nothing_is_left_behind(site):
    """The stand-ins end with their jobs."""
    job = site.submit("true")
    site.wait(job)
    # the end is told just before the stand-in ends
    deadline = time.monotonic() + 60
    while alive := _alive(site.programs.parent):
        assert time.monotonic() < deadline, alive
        time.sleep(0.1)


def _alive(folder: Path) -> list[Path]:
    found = Path("/proc").glob("[0-9]*/cmdline")
    return [path for path in found if os.fsencode(folder) in _bytes(path)]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
