"""Secrets: only the owner reads them, once, and none is left behind."""

import os
import stat
import time
from pathlib import Path

import pytest

from pangeo_hpc import private
from pangeo_hpc.errors import NotAllowed


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_put_and_take(tmp_path: Path) -> None:
    """A secret is 0600 in 0700, has a name nobody guesses, and is gone once it was taken."""
    before = os.umask(0)
    try:
        first = private.put(tmp_path / "keys", "token", "s3cret")
        second = private.put(tmp_path / "keys", "token", b"other")
    finally:
        os.umask(before)
    assert first != second
    assert (mode(first), mode(first.parent)) == (0o600, 0o700)
    assert private.read(first) == b"s3cret"
    assert private.take(first) == b"s3cret"
    assert not first.exists()
    with pytest.raises(FileNotFoundError):
        private.take(first)


def test_an_open_directory_is_refused(tmp_path: Path) -> None:
    """A directory that others can enter is never used, and the message says how to mend it."""
    place = tmp_path / "open"
    place.mkdir(mode=0o755)
    place.chmod(0o755)
    with pytest.raises(NotAllowed, match="can be read by others") as caught:
        private.put(place, "token", "x")
    assert "chmod 0700" in str(caught.value)
    assert list(place.iterdir()) == []


def test_a_link_is_refused(tmp_path: Path) -> None:
    """Neither directory nor file is followed through a link."""
    real = private.ensure_directory(tmp_path / "real")
    (tmp_path / "link").symlink_to(real)
    with pytest.raises(NotAllowed, match="not a plain directory"):
        private.put(tmp_path / "link", "token", "x")
    secret = private.put(real, "token", "x")
    (real / "alias").symlink_to(secret)
    with pytest.raises(OSError, match="symbolic links"):
        private.read(real / "alias")


def test_a_readable_file_is_refused(tmp_path: Path) -> None:
    """A secret that others could have read is no secret any more."""
    secret = private.put(tmp_path / "keys", "token", "x")
    secret.chmod(0o644)
    with pytest.raises(NotAllowed, match="can be read by others"):
        private.take(secret)


def test_somebody_elses_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only our own files are read."""
    secret = private.put(tmp_path / "keys", "token", "x")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(NotAllowed, match="belongs to user id"):
        private.read(secret)


def test_sweep_removes_what_nobody_read(tmp_path: Path) -> None:
    """Old secrets go, young ones stay, and a missing directory is no error."""
    place = tmp_path / "keys"
    assert private.sweep(place, older_than=1) == []
    old, young = private.put(place, "old", "x"), private.put(place, "young", "y")
    past = time.time() - 3600
    os.utime(old, (past, past))
    assert private.sweep(place, older_than=60) == [old]
    assert young.exists()
