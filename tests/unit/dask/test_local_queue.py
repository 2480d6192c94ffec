"""Worker jobs in the queue of this machine: the whole way of a batch job, with no batch system."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from pangeo_hpc import start_cluster
from pangeo_hpc.site import Site


@pytest.mark.slow
def test_worker_jobs(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come from the queue, compute, and are gone from it at the end."""
    monkeypatch.setenv("PANGEO_LOCALQUEUE_IDLE", "1")
    with start_cluster(site=site, where="jobs", workers=1) as cluster:
        cluster.wait_for_workers(1, timeout=90)
        with cluster.get_client() as client:
            assert client.submit(sum, [1, 2]).result() == 3
        assert [str(job.state) for job in cluster.jobs] == ["running"]
    (job,) = cluster.jobs
    assert job.state.ended
    end_daemon(tmp_path)


def end_daemon(folder: Path) -> None:
    """End the queue's daemon, which leaves by itself only after a while."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "serve" in words and any(str(folder) in word for word in words):
            os.kill(process.pid, signal.SIGTERM)
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.05)
