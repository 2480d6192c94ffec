"""Where the socket of a dashboard is: private, short enough, and wherever there is a place."""

import stat
import tempfile
from pathlib import Path

import pytest

from pangeo_hpc.dask import dashboard
from pangeo_hpc.server.boards import LONGEST, check


def test_a_private_place() -> None:
    """Nobody else can enter its directory."""
    path, listening = dashboard.listen()
    with listening:
        check(path)
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.lstat().st_mode) == 0o700
    path.unlink()
    path.parent.rmdir()


@pytest.mark.parametrize("name", ["x" * 200, "not-there"])
def test_another_where_the_usual_one_is_none(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A temporary directory with a long path, or one that is gone, is not insisted on."""
    usual = tmp_path / name
    if name.startswith("x"):
        usual.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(usual))
    path, listening = dashboard.listen()
    listening.close()
    assert path.parent.parent == Path("/tmp")
    assert len(str(path)) <= LONGEST
    path.unlink()
    path.parent.rmdir()


def test_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is told, and nothing is left."""
    made: list[Path] = []
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)

    def refuse(path: Path) -> None:
        made.append(path.parent)
        raise OSError("no sockets here")

    monkeypatch.setattr(dashboard, "bind", refuse)
    with pytest.raises(OSError, match="no sockets here"):
        dashboard.listen()
    assert made and not any(each.exists() for each in made)


def test_ports_and_origins() -> None:
    """Each cluster has its own port on the person's computer, and believes that one only."""
    port = dashboard.local_port("dask-1a2b")
    assert 8787 <= port < 9787
    assert dashboard.origins("dask-1a2b") == [f"localhost:{port}", f"127.0.0.1:{port}"]
