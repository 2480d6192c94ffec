"""Adaptive scaling of real programs on this machine."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from distributed import Event
from distributed.core import Status
from distributed.scheduler import WorkerState

from pangeo_hpc import start_cluster
from pangeo_hpc.allocation import Allocation
from pangeo_hpc.dask.adaptive import Adaptive, _drains
from pangeo_hpc.dask.allocation_cluster import AllocationCluster
from pangeo_hpc.dask.cluster import WorkerCluster
from pangeo_hpc.dask.demand import Bounds
from pangeo_hpc.dask.drain_plugin import Drain
from pangeo_hpc.errors import SchedulerUnreachable, SubmitRefused, UsageError, WorkerJobFailed
from pangeo_hpc.schedulers.base import AllocationFacts
from pangeo_hpc.site import Site
from tests.unit.dask.test_jobs_cluster import Batch, batch

__all__ = ["batch"]

QUICK: dict[str, Any] = {"interval": 0.05, "grace": 0.0}


@pytest.fixture
def cluster(site: Site) -> Iterator[WorkerCluster]:
    """Return a cluster of programs with one thread each, without any yet."""
    with start_cluster(site=site, workers=0, name="test", cores=1) as started:
        yield started


def until(cluster: WorkerCluster, units: int) -> None:
    """Wait for a number of units."""
    clock = threading.Event()
    while len(cluster.workers) != units or len(cluster.worker_spec) != units:
        clock.wait(0.05)


def test_comes_and_goes_with_the_work(cluster: WorkerCluster) -> None:
    """Programs are started for tasks, and end when nobody needs what they hold."""
    cluster.adapt(minimum=0, maximum=2, **QUICK)
    assert cluster.workers == {}
    with cluster.get_client() as client:
        future = client.submit(sum, [1, 2])
        assert future.result() == 3
        assert len(cluster.workers) == 1
        del future
        until(cluster, 0)
        assert client.submit(sum, [2, 2]).result() == 4


def test_results_are_not_lost(cluster: WorkerCluster) -> None:
    """A program with results that somebody holds stays, until another one has them too."""
    adaptive = cluster.adapt(minimum=2, maximum=2, **QUICK)
    cluster.wait_for_workers(2, timeout=60)
    with cluster.get_client() as client:
        held = client.scatter(list(range(4)))
        cluster.adapt(minimum=0, maximum=2, **QUICK)
        until(cluster, 1)
        assert adaptive.periodic_callback is None
        assert client.gather(held) == list(range(4))
        assert len(cluster.workers) == 1
        del held
        until(cluster, 0)


def test_busy_programs_stay(cluster: WorkerCluster) -> None:
    """A smaller maximum ends no program that computes."""
    cluster.adapt(minimum=2, maximum=2, **QUICK)
    cluster.wait_for_workers(2, timeout=60)
    with cluster.get_client() as client:
        gate = Event("gate", client=client)

        def hold(number: int) -> int:
            Event("gate").wait()
            return number

        futures = client.map(hold, range(2))
        busy = threading.Event()
        while len(client.processing()) < 2 or not all(client.processing().values()):
            busy.wait(0.05)
        adaptive = cluster.adapt(minimum=0, maximum=1, **QUICK)
        for _ in range(3):
            step = cluster.sync(adaptive.step)
            assert (step.start, step.end) == (0, ())
        gate.set()
        assert client.gather(futures) == [0, 1]


def test_scale_ends_it(cluster: WorkerCluster) -> None:
    """After `scale` the number stays as it is; `adapt` may begin again."""
    first = cluster.adapt(minimum=1, maximum=2, **QUICK)
    assert (first.minimum, first.maximum) == (1, 2)
    assert first.periodic_callback is first
    cluster.scale(2)
    assert first.periodic_callback is None
    assert len(cluster.worker_spec) == 2
    second = cluster.adapt(minimum=0, maximum=1, **QUICK)
    until(cluster, 0)
    assert second.periodic_callback is second


def test_close_ends_it(site: Site) -> None:
    """Nothing is started once the cluster closes."""
    with start_cluster(site=site, workers=0) as cluster:
        adaptive = cluster.adapt(minimum=1, **QUICK)
    assert adaptive.periodic_callback is None
    assert cluster.status == Status.closed
    assert cluster.workers == {}


def test_a_program_that_ends_is_replaced(cluster: WorkerCluster) -> None:
    """The least number of programs is there again after one was lost."""
    cluster.adapt(minimum=1, maximum=1, **QUICK)
    cluster.wait_for_workers(1, timeout=60)
    (name,) = cluster.workers
    cluster.workers[name]._process.terminate()
    clock = threading.Event()
    while name in cluster.worker_spec or not cluster.worker_spec:
        clock.wait(0.05)
    cluster.wait_for_workers(1, timeout=60)
    assert len(cluster.workers) == 1


def test_programs_that_never_work_are_not_started_for_ever(
    cluster: WorkerCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a few of them what waits ends with the reason; then one may try again."""
    with cluster.get_client() as client, monkeypatch.context() as patch:
        patch.setenv("DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD", "teleport")
        cluster.adapt(minimum=0, maximum=1, **QUICK)
        with pytest.raises(WorkerJobFailed, match="exit status 1"):
            client.submit(sum, [1, 2]).result(timeout=120)
        assert cluster._i == 3
        patch.undo()
        cluster.adapt(minimum=0, maximum=1, **QUICK)
        assert client.submit(sum, [1, 3]).result(timeout=60) == 4


@pytest.mark.parametrize(
    ("status", "stays"),
    [("init", True), ("running", True), ("paused", True), ("closing_gracefully", False)],
)
def test_a_worker_that_joins_is_there(cluster: WorkerCluster, status: str, stays: bool) -> None:
    """No unit is started beside one whose worker is being set up, but beside one that leaves."""
    adaptive, unit = Adaptive(cluster, Bounds(0)), f"{cluster.name}-0"
    worker = WorkerState(
        address="tls://a:1",
        status=Status[status],
        pid=1,
        name=unit,
        nthreads=1,
        memory_limit=1,
        local_directory="",
        nanny=None,
        server_id="a",
    )

    async def look() -> int:
        workers = cluster.scheduler.workers
        workers[worker.address], cluster.worker_spec[unit] = worker, {}
        try:
            return adaptive.look().units
        finally:
            del workers[worker.address], cluster.worker_spec[unit]

    assert cluster.sync(look) == stays


def test_who_leaves_by_itself_is_not_asked_back() -> None:
    """A worker that drains, because its job ends soon, is not given tasks by adapting again."""
    drain: Any = Drain(60.0, *[cast("Any", None)] * 3)
    drain.leaving["tls://a:1"] = None
    scheduler: Any = SimpleNamespace(plugins={Drain.name: drain})
    leaves, stays = (cast("Any", SimpleNamespace(address=f"tls://{x}:1")) for x in "ab")
    assert (_drains(scheduler, leaves), _drains(scheduler, stays)) == (True, False)


def fail(cluster: WorkerCluster, monkeypatch: pytest.MonkeyPatch, error: Exception) -> list[int]:
    """Let starts fail from now on; return the list that counts them."""
    tried: list[int] = []

    async def start_units(number: int) -> None:
        tried.append(number)
        raise error

    monkeypatch.setattr(cluster, "start_units", start_units)
    return tried


def test_a_refusal_at_once(cluster: WorkerCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What keeps the first units from starting is raised by `adapt`."""
    fail(cluster, monkeypatch, SubmitRefused("no such account"))
    with pytest.raises(SubmitRefused, match="no such account"):
        cluster.adapt(minimum=1)
    assert cluster.gave_up is None


def test_a_refusal_later(
    cluster: WorkerCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends the adapting, is told, and ends what waits; then one may try again."""
    tried = fail(cluster, monkeypatch, SubmitRefused("no such account"))
    adaptive = cluster.adapt(minimum=0, maximum=2, **QUICK)
    with cluster.get_client() as client:
        with pytest.raises(SubmitRefused, match="no such account"):
            client.submit(sum, [1, 2]).result(timeout=60)
        assert isinstance(adaptive.error, SubmitRefused)
        assert tried == [1]
        said = capsys.readouterr().err
        assert "pangeo-hpc: adaptive scaling has ended: no such account\n" in said
        monkeypatch.undo()
        cluster.adapt(minimum=0, maximum=2, **QUICK)
        assert client.submit(sum, [1, 3]).result() == 4


def test_no_answer(
    cluster: WorkerCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A scheduler that does not answer is asked again."""
    tried = fail(cluster, monkeypatch, SchedulerUnreachable("no answer within 30 s"))
    adaptive = cluster.adapt(minimum=0, maximum=2, **QUICK)
    clock = threading.Event()
    with cluster.get_client() as client:
        future = client.submit(sum, [1, 2])
        while not tried:
            clock.wait(0.02)
        monkeypatch.undo()
        assert future.result(timeout=60) == 3
    assert adaptive.error is None
    assert "tries again: no answer within 30 s" in capsys.readouterr().err


def test_wrong_calls(cluster: WorkerCluster) -> None:
    """Ranges that cannot be are refused, and change nothing."""
    with pytest.raises(UsageError, match="no range"):
        cluster.adapt(minimum=3, maximum=2)
    with pytest.raises(TypeError, match="wait_count"):
        cluster.adapt(wait_count=3)
    assert cluster._adaptive is None


def test_allocations_refuse() -> None:
    """The workers of an allocation fill it, and say what does adapt."""
    cluster = AllocationCluster.__new__(AllocationCluster)
    cluster.status = Status.closed
    cluster.allocation = Allocation("slurm", AllocationFacts(job_id="7", nodes=("a", "b")))
    with pytest.raises(UsageError, match=r"job 7 fill its nodes[\s\S]*where='jobs'"):
        cluster.adapt(minimum=0, maximum=4)


def test_the_node_types_limit(
    cluster: WorkerCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The most is cut to what the site allows, and that is told; the least may not be above."""
    monkeypatch.setattr(type(cluster), "most_units", property(lambda _: 2))
    assert cluster.adapt(maximum=64).maximum == 2
    assert "adapts to 2 workers at most: max_jobs" in capsys.readouterr().err
    assert cluster.adapt().maximum == 2
    free = Adaptive(cluster, Bounds(0), interval="2s", grace="1 minute")
    assert (free.maximum, free.interval, free.grace) == (float("inf"), 2.0, 60.0)


def test_jobs_are_asked_for_together(slurm_site: Site, batch: Batch) -> None:
    """Worker jobs are one submission, and no more than the node type allows."""
    batch.places = 0
    with start_cluster(site=slurm_site, workers=0) as cluster:
        adaptive = cluster.adapt(minimum_jobs=3, maximum=64, **QUICK)
        assert adaptive.maximum == 4
        assert len(batch.requests) == 1
        assert [str(job.state) for job in cluster.jobs] == ["pending"] * 3
        assert "3 jobs wait in the queue: Other jobs of this queue" in cluster._repr_html_()
        assert cluster.report().total.requested == 0
        cluster.adapt(minimum=0, **QUICK)
        until(cluster, 0)
        assert batch.cancelled
    assert batch.left() == []
