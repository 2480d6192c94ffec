"""Jobs on Slurm from end to end, through programs that keep state, refuse and lie.

They prove that our words and Slurm's fit together, for every step from a request to its end; that
jobs get their resources is proved on the real Slurm of tests/cluster.
"""

import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pangeo_hpc import jobs
from pangeo_hpc.errors import SchedulerUnreachable, SubmitRefused
from pangeo_hpc.run import Command, converse, run
from pangeo_hpc.schedulers.base import JobRequest, JobState, JobStatus, SchedulerOptions
from pangeo_hpc.schedulers.slurm import Slurm
from tests.programs.slurm_programs import calls, install, tell


class Site:
    """A Slurm with empty queues, and a folder for jobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = install(folder / "slurm")
        self.slurm = Slurm(SchedulerOptions(bin=self.programs, timeout=20))

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
        return jobs.submit(self.slurm, self.request(script, **changes), self.folder / "job")

    def status(self, job: jobs.Job) -> JobStatus:
        return jobs.status_of(self.slurm, [job])[0]

    def wait(self, job: jobs.Job, *until: JobState) -> JobStatus:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            status = self.status(job)
            if status.state in until or (not until and status.state.ended):
                return status
            time.sleep(0.1)
        raise AssertionError(f"still {status}")

    def submissions(self) -> int:
        return len([call for call in calls(self.programs) if call[0] == "sbatch"])


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.tell()
    run(Command((str(made.programs / "scancel"), *map(str, range(1, 20)))))


def test_a_job_that_succeeds(site):
    """It is submitted, runs with its environment and output, and is COMPLETED."""
    job = site.submit('echo "$GREETING from $SLURM_JOB_ID"', environment={"GREETING": "it's me"})
    assert job.id == "1"
    status = site.wait(job)
    assert (status.state, status.exit_code, status.nodes) == (JobState.COMPLETED, 0, ("c1",))
    assert status.memory_used == 3448832
    assert abs(status.ended.timestamp() - time.time()) < 60, "times are in UTC whatever our zone is"
    assert job.output.read_text() == "it's me from 1\n"
    assert job.exit_file.read_text() == "0\n"


def test_our_zone_and_locale_stay_ours(site):
    """sbatch hands its environment on to the job: not our TZ, LC_ALL and time format."""
    job = site.submit("env")
    site.wait(job)
    names = {line.partition("=")[0] for line in job.output.read_text().splitlines()}
    assert not names & {"TZ", "LC_ALL", "SLURM_TIME_FORMAT", "SLURM_BITSTR_LEN"}
    assert "SLURM_JOB_ID" in names


@pytest.mark.parametrize("accounting", [True, False])
@pytest.mark.parametrize(
    ("script", "changes", "state", "code"),
    [
        ("exit 3", {}, JobState.FAILED, 3),
        ("exit 137", {}, JobState.FAILED, 137),
        ("sleep 60", {"walltime": timedelta(seconds=1)}, JobState.TIMEOUT, None),
    ],
)
def test_jobs_that_fail(site, script, changes, state, code, accounting):
    """How it failed is told with slurmdbd and without."""
    site.tell(accounting=accounting)
    status = site.wait(site.submit(script, **changes))
    assert (status.state, status.exit_code) == (state, code)


def test_a_job_that_is_cancelled(site):
    """A running job and a waiting one are cancelled; doing it twice is no error."""
    job = site.submit("sleep 60")
    site.wait(job, JobState.RUNNING)
    assert jobs.cancel(site.slurm, [job.id]) == {}
    assert site.wait(job).state is JobState.CANCELLED
    assert jobs.cancel(site.slurm, [job.id, "4711"]) == {}
    site.tell(paused=True)
    job = site.submit("true")
    assert site.wait(job, JobState.PENDING).reason == "Priority"
    assert jobs.cancel(site.slurm, [job.id]) == {}
    assert site.wait(job).state is JobState.CANCELLED


def test_refusals(site):
    """A refusal has Slurm's words, and nothing is in the queue."""
    for changes, words in (
        ({"queue": "nosuch"}, "Invalid partition name specified"),
        ({"account": "BAD1"}, "Invalid account or account/partition combination"),
        ({"walltime": timedelta(days=3)}, "Requested time limit is invalid"),
        ({"cores": 99}, "Requested node configuration is not available"),
        ({"directives": ("--nothing=1",)}, "unrecognized option '--nothing=1'"),
        ({"directives": ("word",)}, "Invalid directive found in batch script: word"),
    ):
        with pytest.raises(SubmitRefused) as caught:
            site.submit("true", **changes)
        assert words in caught.value.text
        assert caught.value.hint
    squeue = Command((str(site.programs / "squeue"), "-h", "-t", "all", "-o", "%F|%j"))
    assert run(squeue).stdout == ""


@pytest.mark.parametrize("lie", ["mute", "die"])
def test_an_answer_that_was_lost(site, lie):
    """sbatch took the job and then failed: it is found by its name, not sent again."""
    site.tell(**{lie: ["sbatch"]})
    job = site.submit("exit 4")
    assert job.id == "1"
    assert site.wait(job).exit_code == 4
    assert site.submissions() == 1


@pytest.mark.parametrize("lie", ["mute", "die"])
def test_an_array_whose_answer_was_lost(site, lie):
    """The array is found by its name; each element is a job with its own output and exit status."""
    site.tell(**{lie: ["sbatch"]}, accounting=False)
    own = site.folder / "job" / "{index}"
    job = site.submit(
        "echo element $PANGEO_HPC_INDEX; exit $PANGEO_HPC_INDEX",
        array=3,
        output=own / "output.log",
        exit_file=own / "exit",
    )
    elements = job.elements(site.slurm)
    assert [element.id for element in elements] == ["1_0", "1_1", "1_2"]
    assert [site.wait(element).exit_code for element in elements] == [0, 1, 2]
    assert [e.output.read_text() for e in elements] == [f"element {n}\n" for n in range(3)]
    assert [int(element.exit_file.read_text()) for element in elements] == [0, 1, 2]
    assert site.submissions() == 1


def test_an_answer_that_came_before_a_hang(site):
    """sbatch printed the id and did not end: the id counts."""
    site.tell(late=["sbatch"])
    # long enough for a busy machine to begin the program
    hasty = Slurm(SchedulerOptions(bin=site.programs, timeout=5))
    job = jobs.submit(hasty, site.request("exit 5"), site.folder / "job")
    assert job.id == "1"
    assert site.wait(job).exit_code == 5
    assert site.submissions() == 1


def test_banners(site):
    """Lines before the answer hide neither the id nor the jobs."""
    site.tell(chat=["sbatch", "squeue", "sacct"])
    job = site.submit("exit 6")
    assert job.id == "1"
    assert site.wait(job).exit_code == 6


def test_an_answer_that_was_cut(site):
    """Half an answer is no news about any job."""
    job = site.submit("sleep 60")
    site.tell(cut=["squeue"])
    with pytest.raises(SchedulerUnreachable, match="cut off"):
        site.status(job)


def test_a_controller_that_is_down(site):
    """Nothing is known, and nothing is taken as ended; what was not taken is said to be so."""
    job = site.submit("sleep 60")
    site.tell(down=["squeue"])
    with pytest.raises(SchedulerUnreachable, match="Unable to contact slurm controller"):
        site.status(job)
    site.tell(down=["sbatch"])
    with pytest.raises(SchedulerUnreachable, match="Unable to contact slurm controller"):
        site.submit("true")
    assert site.submissions() == 2
    site.tell(hang=["squeue"])
    slow = Slurm(SchedulerOptions(bin=site.programs, timeout=0.5))
    with pytest.raises(SchedulerUnreachable, match="no answer within"):
        jobs.status_of(slow, [job])


def test_history_alone(site):
    """slurmctld forgets: the end is found in sacct, and without sacct in the job's own file."""
    job = site.submit("exit 7")
    site.wait(job)
    site.tell(forget=True)
    fresh = replace(job, final=None)
    assert site.status(fresh).exit_code == 7
    site.tell(forget=True, accounting=False)
    (status,) = jobs.status_of(site.slurm, [fresh])
    assert (status.state, status.exit_code) == (JobState.FAILED, 7)


def test_an_array(site):
    """One submission, one id, a status for each element; one of them is cancelled by itself."""
    site.tell(paused=True)
    request = site.request("exit $SLURM_ARRAY_TASK_ID", array=3, exit_file=None)
    number = jobs.submit(site.slurm, request, site.folder / "job").id
    waiting = jobs.status(site.slurm, [number])
    assert {job_id: job.state for job_id, job in waiting.items()} == {
        f"{number}_{index}": JobState.PENDING for index in range(3)
    }
    assert jobs.cancel(site.slurm, [f"{number}_1"]) == {}
    site.tell()
    site.submit("true", exit_file=None)
    deadline = time.monotonic() + 90
    while not all(job.state.ended for job in jobs.status(site.slurm, [number]).values()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    ends = jobs.status(site.slurm, [number])
    assert [ends[f"{number}_{index}"].state for index in range(3)] == [
        JobState.COMPLETED,
        JobState.CANCELLED,
        JobState.FAILED,
    ]
    assert ends[f"{number}_2"].exit_code == 2


def test_dependencies(site):
    """A job waits for another; when that one fails it is cancelled, and says why."""
    site.tell(paused=True)
    first = jobs.submit(site.slurm, site.request("exit 1"), site.folder / "first")
    request = site.request("true", after=(first.id,))
    second = jobs.submit(site.slurm, request, site.folder / "second")
    assert site.status(second).reason == "Dependency"
    site.tell()
    site.submit("true")
    site.wait(first)
    site.submit("true")
    ended = site.status(second)
    assert (ended.state, ended.reason) == (JobState.CANCELLED, "DependencyNeverSatisfied")


def test_the_cluster(site):
    """Nodes, queues, version, the estimate of a start and the end of a job are told."""
    assert len(converse(site.slurm.nodes())) == 4
    assert [queue.name for queue in converse(site.slurm.queues())] == ["short", "long"]
    assert converse(site.slurm.version()) == (22, 5, 8)
    job = site.submit("sleep 60")
    assert (
        converse(site.slurm.estimate(site.folder / "job" / "job.sh", site.request("true")))
        is not None
    )
    site.wait(job, JobState.RUNNING)
    ends = converse(site.slurm.ends(job.id))
    assert 500 < ends.timestamp() - time.time() <= 600
