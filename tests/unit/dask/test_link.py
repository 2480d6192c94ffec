"""How a person gets to a dashboard: by the notebook server they are in, else by ssh."""

import pytest

from pangeo_hpc.dask.link import Way, way_of
from pangeo_hpc.server.boards import Board

BOARD = Board("c1", "/tmp/pangeo-dask-x/dashboard")


def way(host: str = "c1", hosts: tuple[str, ...] = (), **environ: str) -> Way:
    return way_of(
        Board(host, BOARD.socket), "dask-1", user="alice", login_hosts=hosts, environ=environ
    )


@pytest.mark.parametrize("base", ["/pangeo-dask/", "/user/alice/pangeo-dask/"])
def test_in_a_notebook_server(base: str) -> None:
    """The server's own address, with nothing to type."""
    assert way(PANGEO_HPC_DASHBOARDS=f"c1 {base}") == Way(f"{base}dask-1/status")


@pytest.mark.parametrize("told", ["", "c2 /user/alice/pangeo-dask/", "c1", "c1 "])
def test_elsewhere(told: str) -> None:
    """A variable that came along from another host leads nowhere, and is not followed."""
    found = way(PANGEO_HPC_DASHBOARDS=told)
    assert found.link.startswith("http://localhost:")
    assert found.ssh


@pytest.mark.parametrize(
    ("host", "hosts", "expected"),
    [
        ("c1", (), "alice@c1"),
        ("c1", ("login.example",), "-J alice@login.example alice@c1"),
        ("login2", ("login1.example", "login2.example"), "alice@login2.example"),
    ],
)
def test_ssh(host: str, hosts: tuple[str, ...], expected: str) -> None:
    """A login host is gone to directly, a node by way of one."""
    found = way(host, hosts)
    port = found.link.split(":")[2].split("/")[0]
    assert found.ssh == f"ssh -N -L {port}:{BOARD.socket} {expected}"
    assert str(found) == f"{found.link} after: {found.ssh}"
