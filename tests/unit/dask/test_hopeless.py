"""A cluster that has given up lets nobody wait for workers that will never come."""

import pytest
from distributed import Client, Future, wait

from pangeo_hpc import start_cluster
from pangeo_hpc.errors import WorkerJobFailed
from pangeo_hpc.site import Site

ERROR = WorkerJobFailed("worker jobs end at once: no such module", hint="load it")


def test_futures_end_with_the_error(site: Site) -> None:
    """Before and after: a future, what depends on it, and `gather` raise what was given."""
    with start_cluster(site=site, workers=0) as cluster, cluster.get_client() as client:
        first = client.submit(lambda: 1)
        second = client.submit(lambda x: x + 1, first)
        many = client.map(lambda x: x, range(20))
        client.run_on_scheduler(lambda: None)
        cluster.give_up(ERROR)
        cluster.give_up(WorkerJobFailed("another"))
        wait([first, second, *many], timeout=30)
        late = client.submit(lambda: 2)
        for future in (first, second, many[7], late):
            with pytest.raises(WorkerJobFailed, match="no such module") as told:
                future.result(timeout=30)
            assert told.value.hint == "load it"
        with pytest.raises(WorkerJobFailed, match="no such module"):
            client.gather(many)


def test_workers_that_are_there_go_on(site: Site) -> None:
    """Who has workers keeps them; more is refused, less is not, and waiting for more ends."""
    with start_cluster(site=site, workers=1) as cluster, cluster.get_client() as client:
        cluster.give_up(ERROR)
        assert client.submit(lambda: 3).result(timeout=30) == 3
        with pytest.raises(WorkerJobFailed):
            cluster.scale(2)
        with pytest.raises(WorkerJobFailed):
            cluster.wait_for_workers(2, timeout=30)
        cluster.scale(1)
        assert hopeless(client) == 0
        cluster.scale(0)
        with pytest.raises(WorkerJobFailed):
            client.submit(lambda: 4).result(timeout=30)


def hopeless(client: Client) -> int:
    """Return how many of the client's futures have ended with an error."""
    futures: list[Future] = list(client.futures.values())
    return sum(future.status == "error" for future in futures)


def test_a_warning_is_said_once(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    """One line to the person for each text."""
    with start_cluster(site=site, workers=0) as cluster:
        capfd.readouterr()
        cluster.warn("the disk is slow")
        cluster.warn("the disk is slow")
        assert capfd.readouterr().err == "pangeo-hpc: the disk is slow\n"
        assert cluster.states() == {}
        assert cluster.queue_wait() is None
