"""Files are whole or not there."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pangeo_hpc import files
from pangeo_hpc.errors import Exit, NotAllowed


def test_a_write_is_whole_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk fills up, the old content stays and nothing half-written is left."""
    path = tmp_path / "record"
    files.write_atomic(path, "old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NotAllowed, match="No space left") as caught:
        files.write_atomic(path, "new")
    assert caught.value.exit_code is Exit.NOT_ALLOWED
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_mode_is_as_asked(tmp_path: Path) -> None:
    """The umask does not change it."""
    before = os.umask(0o077)
    try:
        files.write_atomic(tmp_path / "a", b"x", mode=0o644)
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_json_round_trip(tmp_path: Path) -> None:
    """What is written is read back."""
    files.write_json(tmp_path / "a.json", {"ä": [1, None]})
    assert files.read_json(tmp_path / "a.json") == {"ä": [1, None]}


def test_a_real_full_disk(tmp_path: Path) -> None:
    """A full device is named, with what to do."""
    with (
        pytest.raises(NotAllowed, match="disk is full"),
        files.refusals(tmp_path / "x"),
        open("/dev/full", "wb", buffering=0) as file,
    ):
        file.write(b"x")


def test_one_holder_of_a_lock(tmp_path: Path) -> None:
    """Another process waits, and says so when it waited too long."""
    path = tmp_path / "lock"
    code = (
        "import sys\nfrom pathlib import Path\nfrom pangeo_hpc import files\n"
        "try:\n  with files.lock(Path(sys.argv[1]), timeout=0.1): print('held')\n"
        "except TimeoutError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(path)]
    with files.lock(path):
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "held by another process" in said
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "held\n"
