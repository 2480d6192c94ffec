"""Workers as programs of this machine: real ones, a few at a time."""

import asyncio
import os
import re
import socket
import ssl
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from distributed import Client, worker_client
from distributed.exceptions import WorkerStartTimeoutError

from pangeo_hpc import start_cluster
from pangeo_hpc.dask import dashboard, same_check, start, sweep
from pangeo_hpc.dask.cluster import WorkerCluster
from pangeo_hpc.dask.local_cluster import LocalCluster
from pangeo_hpc.dask.same import installed
from pangeo_hpc.dask.security import make_keys
from pangeo_hpc.errors import ClusterTooOld, NotAllowed, UsageError, WorkerJobFailed
from pangeo_hpc.server import boards
from pangeo_hpc.server.boards import Board
from pangeo_hpc.site import Site
from tests.unit.dask.conftest import load, outside_jobs


def programs(cluster: WorkerCluster) -> list[psutil.Process]:
    """Return every process of a cluster's workers."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(cluster.folder) in word for word in process.info["cmdline"] or ()):
            found += [process, *process.children(recursive=True)]
    return found


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return those that run; one that waits to be buried by process 1 does not."""
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def cluster(site: Site) -> Iterator[WorkerCluster]:
    """Return a cluster of the test's own."""
    with start_cluster(site=site, workers=2, name="test") as started:
        yield started


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerCluster]:
    """Return a cluster for tests that leave it as it is."""
    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        outside_jobs(patch, folder)
        with start_cluster(site=load(folder, "local"), workers=2, name="test") as started:
            yield started


def test_computes_and_leaves_nothing(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    """Workers are there when it returns; after `with` no process, no key and no word is left."""
    with (
        start_cluster(site=site, workers=2, name="mine") as cluster,
        cluster.get_client() as client,
    ):
        assert client.gather(client.map(lambda x: x + 1, range(4))) == [1, 2, 3, 4]
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        assert {worker["name"] for worker in workers} == {
            f"{cluster.name}-0",
            f"{cluster.name}-1",
        }
        assert re.fullmatch(r"mine-\w{4}", cluster.name)
        assert cluster.jobs == []
        running = programs(cluster)
        # a program, its worker, and what multiprocessing starts beside it
        assert len(running) >= 4
    assert alive(running) == []
    assert sorted(path.suffix for path in cluster.folder.iterdir()) == [".json", ".log", ".log"]
    said = capfd.readouterr()
    assert said.out == ""
    first, second, last = said.err.splitlines()
    assert "programs of this machine" in first
    assert "its dashboard: http://localhost:" in second
    assert re.match(r"pangeo-hpc: 2 worker programs had [\d.]+ core-hours: ", last)


def test_workers_are_asked_what_they_have(shared: WorkerCluster) -> None:
    """A worker that runs tells its packages as they are now."""
    address, *_ = shared.scheduler_info["workers"]
    found = shared.sync(same_check.ask, shared.scheduler, address)
    assert found.packages == installed()


def test_its_files_are_private(shared: WorkerCluster) -> None:
    """From the clusters folder down, nobody else can look."""
    for path in [shared.folder.parent, shared.folder, *shared.folder.rglob("*")]:
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path


def test_any_client_of_the_cluster(shared: WorkerCluster) -> None:
    """`Client(shared)` works, and so does the address with the cluster's security."""
    with Client(shared) as client:
        assert client.submit(sum, [1, 2]).result() == 3
    with Client(shared.scheduler_address, security=shared.security) as client:
        assert client.submit(sum, [2, 2]).result() == 4


def test_tasks_are_clients_too(shared: WorkerCluster) -> None:
    """A task may submit tasks."""

    def outer() -> int:
        with worker_client() as inner:
            return inner.submit(sum, [4, 5]).result()

    with shared.get_client() as client:
        assert client.submit(outer).result() == 9


def test_strangers_are_refused(shared: WorkerCluster, tmp_path: Path) -> None:
    """Neither plain TCP nor another cluster's certificate gets in."""
    address = shared.scheduler_address
    assert address.startswith("tls://127.0.0.1:")
    with pytest.raises(OSError, match=r"reset|closed|Timed out"):
        Client(address.replace("tls://", "tcp://"), timeout="2s")
    other = make_keys(tmp_path / "other").security()
    with pytest.raises(OSError, match=r"(?i)certificate|Timed out"):
        Client(address, security=other, timeout="2s")


def test_every_port_wants_a_certificate(shared: WorkerCluster) -> None:
    """Scheduler, nannies and workers listen on loopback only, and speak TLS to us alone."""
    listening = {
        connection.laddr
        for process in [psutil.Process(), *programs(shared)]
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert len(listening) >= 5
    assert {place.ip for place in listening} == {"127.0.0.1"}
    for place in listening:
        with socket.create_connection(place, timeout=30) as plain:
            plain.sendall(b"GET /info/main/workers.html HTTP/1.0\r\n\r\n")
            with suppress(ConnectionError):
                assert b"HTTP" not in plain.recv(100)
        nobody = ssl.create_default_context()
        nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(place, timeout=30) as plain:
            assert not heard(plain, nobody)


def heard(plain: socket.socket, context: ssl.SSLContext) -> bytes:
    """Return what a server says; with TLS 1.3 it refuses a client only after the handshake."""
    with suppress(ssl.SSLError, ConnectionError), context.wrap_socket(plain) as connection:
        connection.sendall(b"x")
        return connection.recv(1)
    return b""


def test_its_dashboard(shared: WorkerCluster) -> None:
    """It answers at a private socket, by any of its own names and to no page from elsewhere."""
    board = Board.read(shared.folder)
    boards.check(Path(board.socket))
    port = re.fullmatch(r"http://localhost:(\d+)/status", shared.dashboard_link)
    assert port
    assert shared.scheduler_info["services"] == {}
    assert asked(board, "/status").startswith(b"HTTP/1.1 200")
    assert asked(board, "/proxy/1/127.0.0.1/").startswith(b"HTTP/1.1 404")
    handshake = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                 "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==")  # fmt: skip
    for origin, status in ((f"localhost:{port[1]}", 101), ("localhost:1", 403), ("evil", 403)):
        said = asked(board, "/status/ws", *handshake, f"Origin: http://{origin}")
        assert said.startswith(b"HTTP/1.1 %d" % status), (origin, said)


def asked(board: Board, path: str, *headers: str) -> bytes:
    """Return the beginning of what a dashboard answers."""
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(board.socket)
        connection.sendall("\r\n".join(lines).encode())
        return connection.recv(1000)


def test_its_dashboard_goes_with_it(site: Site) -> None:
    """After the end there is no socket, no record, no key, and no link."""
    with start_cluster(site=site, workers=0, name="test") as cluster:
        place = Path(Board.read(cluster.folder).socket).parent
        assert place.is_dir() and (cluster.folder / sweep.KEYS).is_dir()
    assert not place.exists()
    assert [path.name for path in cluster.folder.iterdir()] == ["site.json"]
    assert cluster.dashboard_link == ""


def test_without_bokeh(
    site: Site, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An environment without it is told of once, and the cluster works."""
    monkeypatch.setitem(sys.modules, "distributed.dashboard.scheduler", None)
    dashboard.is_possible.cache_clear()
    try:
        for _ in range(2):
            with start_cluster(site=site, workers=0, name="test") as cluster:
                assert cluster.dashboard_link == ""
                assert cluster.get_client().ncores() == {}
    finally:
        dashboard.is_possible.cache_clear()
    said = capfd.readouterr().err
    assert said.count("no Dask dashboard") == 1
    assert "its dashboard" not in said


def test_too_old(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster older than its keys says so where something would connect."""
    with start_cluster(site=site, workers=0, name="test") as cluster:
        old = replace(cluster.keys, until=datetime.now(UTC))
        monkeypatch.setattr(cluster, "keys", old)
        for action in (cluster.get_client, lambda: cluster.scale(1)):
            with pytest.raises(ClusterTooOld, match="start a new one"):
                action()


def test_scale(cluster: WorkerCluster) -> None:
    """Up and down; results that a leaving worker holds are handed on."""
    with cluster.get_client() as client:
        held = client.scatter(list(range(6)))
        cluster.scale(1)
        assert len(client.scheduler_info(n_workers=-1)["workers"]) == 1
        assert client.gather(held) == list(range(6))
        cluster.scale(2)
        cluster.wait_for_workers(2, timeout=90)
        assert client.submit(sum, [1, 2]).result() == 3
        with pytest.raises(UsageError, match="-1"):
            cluster.scale(-1)


def test_a_program_that_ends_is_named(cluster: WorkerCluster) -> None:
    """Workers that will never come are told of, with the program's last words."""
    unit = next(iter(cluster.workers.values()))
    psutil.Process(unit._process.pid).terminate()
    while unit.returncode is None:
        time.sleep(0.02)
    with pytest.raises(WorkerJobFailed, match=r"exit status 0\n(.*\n)+.*End worker"):
        cluster.wait_for_workers(2, timeout=20)
    cluster.scale(2)
    cluster.wait_for_workers(2, timeout=90)


def test_no_program_is_left(cluster: WorkerCluster) -> None:
    """Work that waits ends with the reason, until somebody asks for programs again."""
    for unit in cluster.workers.values():
        psutil.Process(unit._process.pid).terminate()
    with cluster.get_client() as client:
        future = client.submit(sum, [1, 2], resources={"NOBODY": 1})
        with pytest.raises(WorkerJobFailed, match="ended with exit status"):
            future.result(timeout=60)
        cluster.scale(1)
        assert client.submit(sum, [1, 3]).result(timeout=60) == 4
    assert cluster.gave_up is None


def test_workers_that_cannot_start(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that fails at its start fails `start_cluster`, and nothing stays."""
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD", "teleport")
    with pytest.raises(WorkerJobFailed, match="exit status 1"):
        start_cluster(site=site, workers=1)
    assert not list((site_home(site)).rglob("tls"))


def test_workers_that_do_not_come(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without any worker it raises; with some it goes on and says so."""
    monkeypatch.setattr(start, "_PATIENCE", 0.0)
    with pytest.raises(WorkerJobFailed, match=r"^0 of 1 workers came within 0 s\n.*can they reach"):
        start_cluster(site=site, workers=1)
    real = WorkerCluster.wait_for_workers

    def wait(cluster: WorkerCluster, number: int, timeout: float | None = None) -> None:
        real(cluster, 1, 60)
        real(cluster, 2, timeout)

    monkeypatch.setattr(WorkerCluster, "wait_for_workers", wait)
    slow = LocalCluster._respecify
    monkeypatch.setattr(LocalCluster, "_respecify", lambda self, n: slow(self, min(n, 1)))
    with start_cluster(site=site, workers=2) as cluster:
        assert len(cluster.scheduler_info["workers"]) == 1
    assert "only 1 of 2 workers came" in capsys.readouterr().err


def test_a_python_that_is_not_there(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that cannot even be started is an error at once."""
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(NotAllowed, match="cannot be started"):
        start_cluster(site=site, workers=1)


def test_wait_ends(shared: WorkerCluster) -> None:
    """Waiting for workers nobody asked for ends with Dask's own timeout."""
    with pytest.raises(WorkerStartTimeoutError):
        shared.wait_for_workers(3, timeout=0.2)


def test_shutdown_by_the_client(site: Site) -> None:
    """`client.shutdown()` ends the programs too."""
    cluster = start_cluster(site=site, workers=1)
    running = programs(cluster)
    assert running
    cluster.get_client().shutdown()
    end = time.monotonic() + 60
    while alive(running):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert not cluster.keys.folder.exists()
    cluster.close()


def test_no_workers_at_all(site: Site) -> None:
    """A cluster may begin empty."""
    with start_cluster(site=site, workers=0) as cluster:
        assert cluster.workers == {}


def test_in_a_thread(site: Site) -> None:
    """A cluster starts and ends in a thread like anywhere else."""
    from concurrent.futures import ThreadPoolExecutor

    def work() -> int:
        with start_cluster(site=site, workers=1) as cluster, cluster.get_client() as client:
            return client.submit(sum, [1, 2]).result()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result() == 3


def test_in_a_running_loop(site: Site) -> None:
    """In a notebook, whose cells run inside an event loop, it blocks and works like elsewhere."""

    async def cell() -> int:
        with start_cluster(site=site, workers=1) as cluster, cluster.get_client() as client:
            return client.submit(sum, [1, 2]).result()

    assert asyncio.run(cell()) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "../x"}, "name of a cluster"),
        ({"node_type": "smal"}, "smal"),
        ({"cores": 3}, "not there"),
        ({"memory": "3 GiB"}, "not there"),
        ({"cores": "some"}, "cores: "),
        ({"memory": "much"}, "amount of memory"),
        ({"where": "allocation"}, "in no job"),
        ({"environment": "none"}, "none"),
        ({"workers": -1}, "-1"),
    ],
)
def test_wrong_calls(site: Site, options: dict[str, object], words: str) -> None:
    """A wrong call raises before anything is started."""
    with pytest.raises(UsageError, match=re.escape(words)):
        start_cluster(site=site, **options)  # type: ignore[arg-type]


def test_old_folders_go(tmp_path: Path) -> None:
    """What long dead clusters left is removed; nothing else is."""
    folder = tmp_path / "clusters"
    for name in ("old", "new"):
        (folder / name).mkdir(parents=True)
    (folder / "link").symlink_to(folder / "new")
    os.utime(folder / "old", (0, 0))
    os.utime(folder / "link", (0, 0), follow_symlinks=False)
    sweep.remove_old(folder, 90)
    sweep.remove_old(tmp_path / "none", 90)
    assert sorted(path.name for path in folder.iterdir()) == ["link", "new"]


def site_home(site: Site) -> Path:
    from pangeo_hpc.site import current_person

    return site.user_state_path(current_person()) / "clusters"
