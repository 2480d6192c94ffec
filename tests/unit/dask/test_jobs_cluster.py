"""Workers as batch jobs, on a batch system of this test that starts or refuses them."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pangeo_hpc import jobs, start_cluster
from pangeo_hpc.dask.jobs_cluster import JobsCluster
from pangeo_hpc.errors import (
    RequestRefused,
    SchedulerUnreachable,
    SubmitRefused,
    SubmitUnclear,
    UsageError,
    WorkerJobFailed,
)
from pangeo_hpc.run import Conversation
from pangeo_hpc.schedulers.base import (
    JobRequest,
    JobState,
    JobStatus,
    Node,
    NodeState,
    Room,
    SchedulerOptions,
)
from pangeo_hpc.site import Site, current_person


class Batch:
    """A batch system in memory. `places` is how many jobs run at once; the others wait."""

    kind = "slurm"

    def __init__(self) -> None:
        self.options = SchedulerOptions()
        self.requests: list[JobRequest] = []
        self.cancelled: list[tuple[str, ...]] = []
        self.places = 2
        self.most: int | None = None
        self.questions = 0
        self.refuse_after: int | None = None
        self.silent = False
        self.lies = False
        self.deaf = False
        self.at_once = self.most_at_once = 0
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        self._waiting: dict[str, str] = {}
        self._lock = threading.Lock()

    def directives(self, request: JobRequest) -> tuple[str, ...]:
        return (f"#BATCH --cores={request.cores}",)

    def nodes(self) -> Conversation[tuple[Node, ...]]:
        yield from ()
        return (Node(name="localhost", state=NodeState.IDLE),)

    def submit(self, script: Path, request: JobRequest) -> Conversation[str]:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(0.02)
        with self._lock:
            self.at_once -= 1
            self.requests.append(request)
            number = str(len(self.requests))
            if self.refuse_after is not None and len(self.requests) > self.refuse_after:
                raise SubmitRefused("sbatch: error: Invalid qos specification")
            if self.most is not None and len(self.left()) + (request.array or 1) > self.most:
                error = SubmitRefused("AssocMaxSubmitJobLimit")
                error.retry = True
                raise error
            for index, job_id in enumerate(self.elements(number, request.array or 0) or [number]):
                if len(self.running()) < self.places:
                    self._programs[job_id] = start(script, request, index)
                else:
                    self._waiting[job_id] = "Priority"
        if self.lies:
            raise SchedulerUnreachable("no answer within 30 s")
        return number
        yield

    def elements(self, job_id: str, count: int) -> tuple[str, ...]:
        return tuple(f"{job_id}_{index}" for index in range(count))

    def room(self, request: JobRequest, user: str) -> Conversation[Room]:
        return Room(elements=10)
        yield

    def find(self, name: str, user: str) -> Conversation[tuple[str, ...]]:
        if self.silent:
            raise SchedulerUnreachable("no answer within 30 s")
        return tuple(str(n + 1) for n, r in enumerate(self.requests) if r.name == name)
        yield

    def status(self, ids: Collection[str]) -> Conversation[dict[str, JobStatus]]:
        self.questions += 1
        if self.silent:
            raise SchedulerUnreachable("no answer within 30 s")
        found = {}
        for job_id in ids:
            if job_id in self._waiting:
                found[job_id] = JobStatus(id=job_id, state=JobState.PENDING, reason="Priority")
            elif job_id in self._programs and self._programs[job_id].poll() is None:
                found[job_id] = JobStatus(id=job_id, state=JobState.RUNNING)
        return found
        yield

    def history(self, ids: Collection[str]) -> Conversation[dict[str, JobStatus]]:
        found = {}
        for job_id in ids:
            program = self._programs.get(job_id)
            if program is not None and program.poll() is not None:
                state = JobState.COMPLETED if program.returncode == 0 else JobState.FAILED
                found[job_id] = JobStatus(id=job_id, state=state, exit_code=program.returncode)
            elif any({job_id, job_id.split("_")[0]} & set(ids) for ids in self.cancelled):
                found[job_id] = JobStatus(id=job_id, state=JobState.CANCELLED)
        return found
        yield

    def cancel(self, ids: Collection[str]) -> Conversation[dict[str, str]]:
        self.cancelled.append(tuple(ids))
        every = [i for i in (*self._waiting, *self._programs) if {i, i.split("_")[0]} & set(ids)]
        for job_id in () if self.deaf else every:
            self._waiting.pop(job_id, None)
            program = self._programs.get(job_id)
            if program is not None and program.poll() is None:
                os.killpg(program.pid, signal.SIGTERM)
        return {}
        yield

    def running(self) -> list[str]:
        return [i for i, program in self._programs.items() if program.poll() is None]

    def left(self) -> list[str]:
        return [*self.running(), *self._waiting]


def start(script: Path, request: JobRequest, index: int) -> "subprocess.Popen[bytes]":
    output = str(request.output or "/dev/null").replace("{index}", str(index))
    with Path(output).open("wb") as log:
        return subprocess.Popen(
            ["/bin/bash", str(script)],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "SLURM_ARRAY_TASK_ID": str(index)},
        )


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Batch]:
    found = Batch()
    monkeypatch.setattr(jobs, "scheduler_of", lambda *_: found)
    yield found
    for program in found._programs.values():
        if program.poll() is None:
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()


def names(workers: Sequence[dict[str, object]]) -> set[object]:
    return {worker["name"] for worker in workers}


def test_from_the_queue_to_nothing(
    slurm_site: Site, batch: Batch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Jobs are submitted, work, grow, shrink, and are all gone after `with`."""
    with start_cluster(site=slurm_site, workers=1, name="mine") as cluster:
        assert isinstance(cluster, JobsCluster)
        cluster.wait_for_workers(1, timeout=60)
        with cluster.get_client() as client:
            assert client.gather(client.map(lambda x: x + 1, range(4))) == [1, 2, 3, 4]
            cluster.scale(2)
            cluster.wait_for_workers(2, timeout=60)
            held = client.scatter(list(range(6)))
            cluster.scale(1)
            assert client.gather(held) == list(range(6))
            assert batch.cancelled == [("2",)]
        cluster.scale(4)
        states = [str(job.state) for job in cluster.jobs]
        assert (states[0], states[2:]) == ("running", ["pending"] * 3)
        assert [job.worker for job in cluster.jobs] == [f"{cluster.name}-{n}" for n in range(5)]
    assert batch.left() == []
    assert batch.cancelled[1] == ("3",)
    assert len(batch.requests) == 3
    assert all(job.state.ended for job in cluster.jobs)
    assert not (cluster.folder / "tls").exists()
    said = capfd.readouterr()
    assert said.out == ""
    first, second, *_ = said.err.splitlines()
    assert first == (
        "pangeo-hpc: Dask workers are 1 slurm job of node type small, 1 process of 2 threads each "
        "(this is not a job)"
    )
    assert "its dashboard: http://localhost:" in second


def test_its_request(slurm_site: Site, batch: Batch) -> None:
    """The header is the batch system's, for a request that was held to the site's limits."""
    batch.places = 0
    with start_cluster("cut", site=slurm_site, walltime="00:10:00") as cluster:
        script = cluster.job_script()
        (request,) = batch.requests
    assert "#BATCH --cores=2" in script
    assert request.name.startswith("dask-")
    assert request.command[:1] == ("/bin/bash",)
    assert request.command[2:] == ("--name", f"{cluster.name}-0")
    assert request.walltime.total_seconds() == 600
    assert request.output == cluster.folder / "jobs" / f"{cluster.name}-0" / "output.log"
    workers = (cluster.folder / "worker.sh").read_text()
    assert "--nworkers 2 --nthreads 1" in workers
    assert (cluster.folder / "worker.sh").stat().st_mode & 0o777 == 0o700


def test_processes_of_a_job_are_its_workers(slurm_site: Site, batch: Batch) -> None:
    """`scale` counts workers; a job brings as many as its node type says, all with its name."""
    batch.places = 1
    with start_cluster("cut", site=slurm_site, workers=2) as cluster:
        cluster.wait_for_workers(2, timeout=60)
        assert len(batch.requests) == 1
        workers = cluster.scheduler_info["workers"].values()
        assert names(list(workers)) == {f"{cluster.name}-0-0", f"{cluster.name}-0-1"}
        cluster.scale(3)
        assert len(batch.requests) == 2
        cluster.scale(2)
        assert batch.cancelled == [("2",)]


def test_a_refusal_is_raised(slurm_site: Site, batch: Batch) -> None:
    """A job that is refused is refused at once, the queue's words first, and nothing stays."""
    batch.refuse_after = 0
    with pytest.raises(SubmitRefused, match="Invalid qos"):
        start_cluster(site=slurm_site, workers=3)
    assert batch.left() == []


def test_a_refusal_while_scaling(slurm_site: Site, batch: Batch) -> None:
    """What was taken before a refusal stays; the rest can be asked for again."""
    batch.places, batch.refuse_after = 0, 1
    with start_cluster(site=slurm_site, workers=1) as cluster:
        with pytest.raises(SubmitRefused):
            cluster.scale(2)
        assert len(cluster.workers) == len(cluster.worker_spec) == 1
        batch.refuse_after = None
        cluster.scale(3)
        assert len(cluster.workers) == 3
    assert batch.left() == []


def test_refused_once_is_not_asked_a_thousand_times(slurm_site: Site, batch: Batch) -> None:
    """After a refusal the other jobs of the same call are not tried; few are tried at once."""
    site = slurm_site.model_copy(
        update={
            "node_types": {
                name: node.model_copy(update={"max_jobs": None})
                for name, node in slurm_site.node_types.items()
            }
        }
    )
    batch.places, batch.refuse_after = 0, 12
    with start_cluster(site=site, workers=12) as cluster:
        assert [request.array for request in batch.requests] == [10, 2]
        with pytest.raises(SubmitRefused):
            cluster.scale(1000)
        assert len(batch.requests) == 13
        assert len(cluster.workers) == 112


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"node_type": "large"}, RequestRefused, "not for dask jobs"),
        ({"walltime": "09:00:00"}, RequestRefused, "more than node type small allows"),
        ({"cores": 9}, RequestRefused, "fixed 2"),
        ({"workers": 5}, UsageError, "more than the site allows"),
        ({"options": {"color": "red"}}, RequestRefused, "no such option"),
    ],
)
def test_limits(
    slurm_site: Site, batch: Batch, options: dict[str, object], error: type, words: str
) -> None:
    """What the site does not allow is never submitted."""
    with pytest.raises(error, match=words):
        start_cluster(site=slurm_site, **options)  # type: ignore[arg-type]
    assert batch.requests == []


def test_a_missing_interface_leaves_no_keys(slurm_site: Site, batch: Batch) -> None:
    """What is wrong with this host is told before anything is made."""
    node = slurm_site.node_types["small"].model_copy(update={"interface": "ib9"})
    site = slurm_site.model_copy(update={"node_types": {"small": node}})
    with pytest.raises(UsageError, match="ib9"):
        start_cluster(site=site, workers=1)
    assert not list(site.user_state_path(current_person()).rglob("tls"))


def test_no_clear_answer(slurm_site: Site, batch: Batch) -> None:
    """A job that was taken without our knowing is found by its name, and works like the others."""
    batch.places, batch.lies = 0, True
    with start_cluster(site=slurm_site, workers=1):
        assert batch.left() == ["1"]
    assert batch.left() == []


def test_no_answer_at_all(slurm_site: Site, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job nobody can tell of is looked for again at the end, and cancelled."""
    real = jobs.submit

    def unclear(*arguments: Any, **options: Any) -> jobs.Job:
        replace(real(*arguments, **options), id=None, state="submitting").write()
        raise SubmitUnclear("it is not clear whether dask was submitted")

    monkeypatch.setattr(jobs, "submit", unclear)
    batch.places = 0
    with pytest.raises(SubmitUnclear):
        start_cluster(site=slurm_site, workers=1)
    assert len(batch.requests) == 1
    assert batch.left() == []


def test_jobs_that_die_are_named(slurm_site: Site, batch: Batch, tmp_path: Path) -> None:
    """After three equal failures waiting, `scale` and futures end with the reason."""
    site = slurm_site.model_copy(
        update={
            "node_types": {
                "small": slurm_site.node_types["small"].model_copy(
                    update={"setup": ("echo no such module; exit 9",)}
                )
            }
        }
    )
    with start_cluster(site=site, workers=1) as cluster:
        started = time.monotonic()
        with pytest.raises(WorkerJobFailed, match=r"failed, exit code 9\n  \| no such module"):
            cluster.wait_for_workers(1, timeout=60)
        assert time.monotonic() - started < 40
        assert len(batch.requests) == 3
        with pytest.raises(WorkerJobFailed, match="3 worker jobs ended in the same way"):
            cluster.scale(1)
        with cluster.get_client() as client, pytest.raises(WorkerJobFailed, match="exit code 9"):
            client.submit(sum, [1, 2]).result(timeout=30)
        assert [str(job.state) for job in cluster.jobs] == ["failed"] * 3


def until(true: Callable[[], object]) -> None:
    """Wait until something is true; the test's own time limit ends it."""
    while not true():
        time.sleep(0.1)


def end(batch: Batch, job_id: str) -> None:
    """End a job as its walltime would."""
    os.killpg(batch._programs[job_id].pid, signal.SIGTERM)


def test_a_job_that_ends_is_replaced(slurm_site: Site, batch: Batch) -> None:
    """A worker job that came to its end has another in its place, of another name."""
    with start_cluster(site=slurm_site, workers=2) as cluster:
        cluster.wait_for_workers(2, timeout=60)
        end(batch, "1_0")
        until(lambda: len(batch.requests) == 2)
        until(lambda: len(cluster.jobs) == 3)
        cluster.wait_for_workers(2, timeout=60)
        assert cluster.jobs[0].state.ended
        assert cluster.jobs[2].worker == f"{cluster.name}-2"
        with cluster.get_client() as client:
            assert client.submit(sum, [1, 2]).result(timeout=60) == 3
    assert batch.left() == []


def test_a_replacement_that_is_refused(slurm_site: Site, batch: Batch) -> None:
    """What the queue will not have any more ends the futures that wait for it."""
    with start_cluster(site=slurm_site, workers=1) as cluster, cluster.get_client() as client:
        cluster.wait_for_workers(1, timeout=60)
        batch.refuse_after = 1
        end(batch, "1")
        future = client.submit(lambda: 1, resources={"NOBODY": 1})
        with pytest.raises(SubmitRefused, match="Invalid qos"):
            future.result(timeout=120)
        assert len(batch.requests) == 2


def test_more_than_may_be_submitted_now(slurm_site: Site, batch: Batch) -> None:
    """Of an array that is too much a part is taken, then the rest is refused."""
    batch.places, batch.most = 0, 3
    with start_cluster(site=slurm_site, workers=0) as cluster:
        with pytest.raises(SubmitRefused, match="MaxSubmit"):
            cluster.scale(4)
        assert [request.array for request in batch.requests] == [4, 2, 2, None, None]
        assert len(cluster.workers) == 3
        batch.most = None
        cluster.scale(4)
        assert len(cluster.workers) == 4
    assert batch.left() == []


def test_an_unclear_array_is_found_later(
    slurm_site: Site, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs that were taken without an answer are the cluster's own at the next `scale`."""
    real = jobs.submit

    def unclear(*arguments: Any, **options: Any) -> jobs.Job:
        replace(real(*arguments, **options), id=None, state="submitting").write()
        raise SubmitUnclear("it is not clear whether dask was submitted")

    batch.places = 0
    with start_cluster(site=slurm_site, workers=0) as cluster:
        with monkeypatch.context() as patch:
            patch.setattr(jobs, "submit", unclear)
            with pytest.raises(SubmitUnclear):
                cluster.scale(3)
        assert cluster.jobs == []
        cluster.scale(3)
        assert [job.id for job in cluster.jobs] == ["1_0", "1_1", "1_2"]
        assert len(batch.requests) == 1
    assert batch.left() == []


def test_a_silent_queue_while_waiting(slurm_site: Site, batch: Batch) -> None:
    """No news from the queue is not the end of a job."""
    with start_cluster(site=slurm_site, workers=1) as cluster:
        batch.silent = True
        cluster.wait_for_workers(1, timeout=60)
        batch.silent = False


def test_jobs_that_stay_are_told(
    slurm_site: Site, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the queue keeps jobs, closing says which; it asked more than once."""
    from pangeo_hpc.dask import jobs_cluster
    from pangeo_hpc.errors import SchedulerError

    monkeypatch.setattr(jobs_cluster, "_LEAVE", 3.0)
    batch.places = 0
    cluster = start_cluster(site=slurm_site, workers=2)
    batch.deaf = True
    with pytest.raises(SchedulerError, match=r"2 worker jobs .*\n.*by hand: (1_0 1_1|1_1 1_0)"):
        cluster.close()
    assert len(batch.cancelled) > 1
