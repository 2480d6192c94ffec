"""What goes on at the same time in a cluster of jobs: nothing is lost, asked twice, or left."""

import os
import signal
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from pangeo_hpc import start_cluster
from pangeo_hpc.dask import stand_ins
from pangeo_hpc.dask.drain_plugin import Drain
from pangeo_hpc.dask.jobs_cluster import JobsCluster
from pangeo_hpc.dask.keeper import NAME
from pangeo_hpc.dask.succession import Succession
from pangeo_hpc.errors import SchedulerUnreachable, WorkerJobFailed
from pangeo_hpc.run import Conversation
from pangeo_hpc.schedulers.base import JobRequest, JobState, JobStatus
from pangeo_hpc.site import Site
from tests.unit.dask.test_jobs_cluster import Batch, batch, until

__all__ = ["batch"]


@pytest.fixture
def cluster(slurm_site: Site, batch: Batch) -> Iterator[JobsCluster]:
    """Return a cluster whose jobs wait in the queue; after it none is left there."""
    batch.places = 0
    with start_cluster(site=slurm_site, workers=0) as started:
        assert isinstance(started, JobsCluster)
        yield started
    assert batch.left() == []


@pytest.fixture
def door(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Return what lets a submission be answered; Ctrl-C is pressed as it begins."""
    real, opened = batch.submit, threading.Event()

    def submit(script: Path, request: JobRequest) -> Conversation[str]:
        if not opened.is_set():
            os.kill(os.getpid(), signal.SIGINT)
            opened.wait()
        return (yield from real(script, request))

    monkeypatch.setattr(batch, "submit", submit)
    return opened


def test_ctrl_c_while_jobs_are_submitted(
    cluster: JobsCluster, batch: Batch, door: threading.Event
) -> None:
    """The jobs that were just asked for are the cluster's own, and not asked for once more."""
    with pytest.raises(KeyboardInterrupt):
        cluster.scale(3)
    door.set()
    cluster.scale(3)
    assert [request.array for request in batch.requests] == [3]
    assert [job.id for job in cluster.jobs] == ["1_0", "1_1", "1_2"]


def test_ctrl_c_and_then_none(cluster: JobsCluster, batch: Batch, door: threading.Event) -> None:
    """Jobs that nobody wants by the time they are taken are cancelled."""
    with pytest.raises(KeyboardInterrupt):
        cluster.scale(3)
    fewer = threading.Thread(target=cluster.scale, args=(0,))
    fewer.start()
    until(lambda: not cluster.worker_spec)
    door.set()
    fewer.join()
    assert cluster.workers == {}
    assert batch.left() == []


def test_it_ends_though_nobody_follows_its_jobs(
    cluster: JobsCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of our own ends what waits, and closing cancels the jobs as ever."""

    async def fail(*_: Any) -> None:
        raise KeyError("a fault")

    cluster.scale(2)
    monkeypatch.setattr(cluster, "_take_stock", fail)
    until(lambda: cluster.gave_up)
    assert "cannot follow its jobs any more" in str(cluster.gave_up)


def test_what_holds_results_is_no_worker_to_a_person(cluster: JobsCluster) -> None:
    """It is not counted, has no cost, and lets nobody wait for work that it never does."""
    with cluster.get_client() as client:
        (drain,) = (p for p in cluster.scheduler.plugins.values() if isinstance(p, Drain))
        drain.handover.keeper._arriving = 1  # it goes when it is empty and nothing is on its way
        cluster.sync(drain.handover.keeper._open, cluster.scheduler)
        until(lambda: NAME in {w["name"] for w in cluster.scheduler_info["workers"].values()})
        assert cluster.observed == set()
        assert "0 of 0, slurm jobs" in cluster._repr_html_()
        assert cluster.report().rows == ()
        futures = client.map(lambda x: x, range(20))
        until(lambda: cluster.scheduler.queued)
        cluster.give_up(WorkerJobFailed("worker jobs end at once"))
        with pytest.raises(WorkerJobFailed, match="at once"):
            client.gather(futures)


def leave(cluster: JobsCluster, unit: str) -> None:
    """Let the workers of a unit begin to leave before their walltime."""

    async def begin() -> None:
        Succession(cluster).begin(unit)

    cluster.sync(begin)


def run_out_of_memory(batch: Batch, monkeypatch: pytest.MonkeyPatch, *ids: str) -> None:
    """End jobs that wait, as if they had run and taken too much."""

    def history(asked: Collection[str]) -> Conversation[dict[str, JobStatus]]:
        yield from ()
        return {i: JobStatus(id=i, state=JobState.OUT_OF_MEMORY) for i in asked if i in ids}

    monkeypatch.setattr(batch, "history", history)
    for job_id in ids:
        del batch._waiting[job_id]


def test_too_little_memory_is_not_asked_for_again(
    cluster: JobsCluster, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the number of jobs adapts, a job without enough has no other in its place either."""
    adaptive = cluster.adapt(minimum=2, maximum=4, interval=0.05)
    with monkeypatch.context() as patch:
        run_out_of_memory(batch, patch, "1_0")
        until(lambda: len(cluster.workers) == 1)
    assert (adaptive.minimum, adaptive.maximum) == (1, 1)
    run_out_of_memory(batch, monkeypatch, "1_1")
    until(lambda: adaptive.error)
    assert "out of memory" in str(adaptive.error)
    assert len(batch.requests) == 1


def test_nobody_waits_for_one_that_leaves(
    cluster: JobsCluster, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the successor has ended for good, the one that it was to follow brings no others."""
    cluster.scale(1)
    leave(cluster, f"{cluster.name}-0")
    until(lambda: len(batch.requests) == 2)
    run_out_of_memory(batch, monkeypatch, "2")
    until(lambda: cluster.gave_up)
    assert "out of memory" in str(cluster.gave_up)
    assert list(cluster.workers) == [f"{cluster.name}-0"]


def test_none_is_none(cluster: JobsCluster, batch: Batch) -> None:
    """`scale(0)` also ends jobs whose workers have begun to leave by themselves."""
    cluster.scale(1)
    leave(cluster, f"{cluster.name}-0")
    cluster.scale(0)
    assert cluster.workers == {}
    assert batch.left() == []


def test_a_job_without_workers_is_cancelled_though_the_queue_is_silent_at_first(
    cluster: JobsCluster, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again a while later."""
    tried: list[Collection[str]] = []

    def cancel(ids: Collection[str]) -> Conversation[dict[str, str]]:
        tried.append(ids)
        if len(tried) == 1:
            raise SchedulerUnreachable("no answer within 30 s")
        return (yield from Batch.cancel(batch, ids))

    monkeypatch.setattr(stand_ins, "_AGAIN", 0.5)
    monkeypatch.setattr(batch, "cancel", cancel)
    cluster.scale(1)
    cluster._absent[f"{cluster.name}-0"] = float("-inf")
    until(lambda: "1" not in batch.left())
    assert len(tried) == 2


def test_no_thread_stays(slurm_site: Site, batch: Batch) -> None:
    """What a cluster of jobs started in this process ends with it."""
    batch.places = 0
    with start_cluster(site=slurm_site, workers=2) as cluster:
        (drain,) = (p for p in cluster.scheduler.plugins.values() if isinstance(p, Drain))
        cluster.sync(drain.handover.keeper._open, cluster.scheduler)
        adaptive = cluster.adapt(minimum=1)
        assert {"pangeo-hpc-follower"} < threads()
    until(lambda: not threads())
    assert adaptive.periodic_callback is None
    assert not drain.handover.keeper.folder.exists()


def threads() -> set[str]:
    """Return the names of our threads, and of those of Dask's workers."""
    names = {thread.name for thread in threading.enumerate()}
    return {n for n in names if n.startswith(("pangeo-hpc", "Dask-Default-Threads"))}
