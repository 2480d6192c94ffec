"""What the program that acts as users rests on can be changed by root only."""

import os
from pathlib import Path

import pytest

from pangeo_hpc.errors import NotAllowed
from pangeo_hpc.hub import owned

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of root's")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a file of root's in a folder of root's, below the sticky folder for everybody."""
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o755)
    file = folder / "site.yaml"
    file.write_text("x")
    file.chmod(0o644)
    return file


def test_what_is_roots_is_taken(place: Path) -> None:
    """A file of root's below a sticky folder for everybody is safe, also through root's links."""
    owned.check(place)
    link = place.parent / "link.yaml"
    link.symlink_to("../etc/site.yaml")
    owned.check(link)


def _others_file(place: Path) -> Path:
    os.chown(place, 1234, 0)
    return place


def _group_writes(place: Path) -> Path:
    place.chmod(0o664)
    return place


def _everybody_writes(place: Path) -> Path:
    place.chmod(0o646)
    return place


def _others_folder(place: Path) -> Path:
    os.chown(place.parent, 1234, 0)
    return place


def _open_folder(place: Path) -> Path:
    place.parent.chmod(0o775)
    return place


def _link_of_others(place: Path) -> Path:
    link = place.parent / "link.yaml"
    link.symlink_to(place)
    os.lchown(link, 1234, 1234)
    return link


def _link_in_open_folder(place: Path) -> Path:
    """The file itself is safe, and the folder of the link that leads there is not."""
    folder = place.parent.parent / "open"
    folder.mkdir()
    folder.chmod(0o777)
    link = folder / "link.yaml"
    link.symlink_to(place)
    return link


def _folder_is_a_link_of_others(place: Path) -> Path:
    link = place.parent.parent / "linked"
    link.symlink_to(place.parent)
    os.lchown(link, 1234, 1234)
    return link / "site.yaml"


def _endless(place: Path) -> Path:
    (place.parent / "a").symlink_to("b")
    (place.parent / "b").symlink_to("a")
    return place.parent / "a"


@pytest.mark.parametrize(
    "spoil",
    [
        _others_file,
        _group_writes,
        _everybody_writes,
        _others_folder,
        _open_folder,
        _link_of_others,
        _link_in_open_folder,
        _folder_is_a_link_of_others,
        _endless,
    ],
)
def test_what_others_can_change_is_refused(place: Path, spoil: object) -> None:
    """One that can write the file, a folder or a link on the way to it could put another there."""
    assert callable(spoil)
    path = spoil(place)
    with pytest.raises(NotAllowed):
        owned.check(path)
