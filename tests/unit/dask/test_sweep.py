"""What a killed cluster left is taken away, and what a living one has is not."""

import os
import socket
from pathlib import Path

import pytest

from pangeo_hpc.dask import dashboard, sweep
from pangeo_hpc.dask.security import make_keys
from pangeo_hpc.server.boards import Board

NOW = 1_000_000.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a cluster of this process, with keys."""
    path = tmp_path / "clusters" / "one"
    path.mkdir(parents=True)
    sweep.own(path)
    os.utime(path / sweep.OWNER, (NOW, NOW))
    make_keys(path / sweep.KEYS)
    (path / "worker.log").touch()
    return path


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_living_keep_their_keys(folder: Path) -> None:
    """This process lives."""
    assert sweep.sweep(folder.parent, now=NOW + 10 * sweep.SILENT) == []
    assert left(folder) == ["process.json", "tls", "worker.log"]


def test_the_dead_lose_them(folder: Path) -> None:
    """Keys go at once, logs stay."""
    assert sweep.sweep(folder.parent, now=NOW, alive=lambda process: False) == [folder]
    assert left(folder) == ["worker.log"]
    assert sweep.sweep(folder.parent, now=NOW, alive=lambda process: False) == []


def test_another_host_s_are_dead_after_a_day_of_silence(folder: Path) -> None:
    """Where nobody can look, signs of life count."""

    def swept(later: float) -> list[Path]:
        return sweep.sweep(folder.parent, now=NOW + later, alive=lambda process: None)

    assert swept(sweep.SILENT - 1) == []
    sweep.sign(folder)
    seen = (folder / sweep.OWNER).stat().st_mtime
    assert swept(seen - NOW + sweep.SILENT - 1) == []
    assert swept(seen - NOW + sweep.SILENT + 1) == [folder]


def test_a_container_sees_no_other_s_processes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Process ids of another namespace say nothing."""
    monkeypatch.setattr(sweep, "_namespace", lambda: "pid:[another]")
    assert sweep.sweep(folder.parent, now=NOW, alive=lambda process: False) == []


def test_the_place_of_a_dead_dashboard_goes(folder: Path) -> None:
    """Its directory goes if it is ours; what a record of another host names does not."""
    path, listening = dashboard.listen()
    listening.close()
    place = path.parent
    Board("another", str(path)).write(folder)
    sweep.sweep(folder.parent, now=NOW, alive=lambda process: False)
    assert place.exists()
    assert left(folder) == ["dashboard.json", "process.json", "worker.log"]
    Board(socket.gethostname(), str(path)).write(folder)
    sweep.sweep(folder.parent, now=NOW, alive=lambda process: False)
    assert not place.exists()
    assert left(folder) == ["worker.log"]


def test_no_other_directory_is_removed(folder: Path, tmp_path: Path) -> None:
    """A record that names a socket of something else takes nothing away from it."""
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(other / "s"))
    Board(socket.gethostname(), str(other / "s")).write(folder)
    sweep.sweep(folder.parent, now=NOW, alive=lambda process: False)
    assert (other / "s").exists()


def test_what_is_no_record_is_left(folder: Path) -> None:
    """A folder of an earlier version is not ours to judge."""
    for text in ("", "[]", "{}"):
        (folder / sweep.OWNER).write_text(text)
        assert sweep.sweep(folder.parent, now=NOW, alive=lambda process: False) == []
    assert sweep.sweep(folder.parent / "none") == []
