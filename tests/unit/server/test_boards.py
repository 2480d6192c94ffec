"""Which socket a dashboard's address leads to: the user's own, on this host, and no other."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pangeo_hpc.errors import NotAllowed, UnknownName
from pangeo_hpc.server.boards import Board, Elsewhere, find


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[Path]:
    """Return a folder of clusters with a dashboard of `mine` on the host `here`."""
    folder = tmp_path / "clusters" / "mine"
    folder.parent.mkdir(mode=0o700)
    folder.mkdir(mode=0o700)
    place = tmp_path / "s"
    place.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place / "d"))
        Board("here", str(place / "d")).write(folder)
        yield folder.parent


def test_the_own_dashboard(clusters: Path, tmp_path: Path) -> None:
    """It is found by the cluster's name, and its record is private."""
    assert find(clusters, "mine", here="here") == str(tmp_path / "s" / "d")
    assert (clusters / "mine" / "dashboard.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../clusters/mine", "mine/", "mine/../mine", "/etc", "no", "a\n", "\0"]
)
def test_names_are_no_paths(clusters: Path, name: str) -> None:
    """Whatever stands in the address, only a folder below the user's clusters is looked at."""
    with pytest.raises(UnknownName):
        find(clusters, name, here="here")


def test_another_host(clusters: Path) -> None:
    """A socket of another host is not looked for on this one."""
    with pytest.raises(Elsewhere, match="runs on here"):
        find(clusters, "mine", here="there")


def test_what_others_could_have_put_there(clusters: Path, tmp_path: Path) -> None:
    """A folder or a directory that others can enter is not trusted, and neither is a symlink."""
    for path in (clusters, clusters / "mine", tmp_path / "s"):
        path.chmod(0o755)
        with pytest.raises(NotAllowed, match="read by others"):
            find(clusters, "mine", here="here")
        path.chmod(0o700)
    (clusters / "link").symlink_to(clusters / "mine")
    with pytest.raises(NotAllowed, match="not a plain directory"):
        find(clusters, "link", here="here")
    (tmp_path / "s2").symlink_to(tmp_path / "s")
    Board("here", str(tmp_path / "s2" / "d")).write(clusters / "mine")
    with pytest.raises(NotAllowed, match="not a plain directory"):
        find(clusters, "mine", here="here")


def test_what_is_no_socket(clusters: Path, tmp_path: Path) -> None:
    """A record leads to sockets only; one that cannot be read leads nowhere."""
    (tmp_path / "s" / "file").touch()
    Board("here", str(tmp_path / "s" / "file")).write(clusters / "mine")
    with pytest.raises(NotAllowed, match="no socket"):
        find(clusters, "mine", here="here")
    record = clusters / "mine" / "dashboard.json"
    record.chmod(0o644)
    with pytest.raises(NotAllowed):
        find(clusters, "mine", here="here")
    record.chmod(0o600)
    for text in ("", "[]", '{"format": 2}', '{"format": 1}'):
        record.write_text(text)
        with pytest.raises(UnknownName):
            find(clusters, "mine", here="here")
    os.unlink(record)
    with pytest.raises(UnknownName):
        find(clusters, "mine", here="here")
