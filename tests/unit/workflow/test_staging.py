"""Copies of outputs on a POSIX filesystem: whole or not there, checked, and taken up again."""

import errno
import json
import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from pangeo_hpc.errors import NotAllowed, RunBusy, StoppedInTime, UsageError
from pangeo_hpc.site import Site
from pangeo_hpc.workflow import lease
from pangeo_hpc.workflow.attempt import Attempt, Written, summarize
from pangeo_hpc.workflow.deadline import Deadline
from pangeo_hpc.workflow.staging import places
from pangeo_hpc.workflow.staging.begin import Choices
from pangeo_hpc.workflow.staging.out import stage_out
from tests.unit.workflow.conftest import Begin, put, stamps


def no_site() -> Site:
    raise AssertionError


def out(attempt: Attempt, path: Path, to: str | Path, name: str = "a/out.zarr", **more: Any) -> str:
    return stage_out(attempt, path, to, name, Choices(**more), no_site)


def content(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def said(attempt: Attempt) -> str:
    return attempt.progress._stream.getvalue()  # type: ignore[attr-defined]


@pytest.fixture
def store(attempt: Begin, tmp_path: Path) -> Path:
    """A store that a run wrote: 12 units."""
    path = tmp_path / "scratch" / "out.zarr"
    ds = xr.Dataset({"tas": (("time", "x"), np.arange(48.0).reshape(12, 4))})
    with attempt() as now:
        put(now, ds, path, along="time", unit=1, encoding={"tas": {"chunks": (1, 4)}})
    return path


def test_a_copy_is_equal_and_told_of(attempt: Begin, store: Path, tmp_path: Path) -> None:
    """Every byte; the run's outputs say where it is; a second time nothing is copied."""
    target = tmp_path / "archive" / "a" / "out.zarr"
    for copied in (len(content(store)), 0):
        with attempt() as now:
            assert out(now, store, tmp_path / "archive") == str(target)
            summarize(now, time.monotonic())
        assert content(target) == content(store)
        outputs = json.loads((now.folder / "outputs.json").read_text())["outputs"]
        (told,) = [each for each in outputs if each["path"] == str(store)]
        place = told["staged_to"][str(target)]
        assert place["copied"] == copied
        assert place["files"] == len(content(store))
        assert len(place["sha256"]) == 64
    assert sorted(path.name for path in target.parent.iterdir()) == ["out.zarr"]
    # an attempt that does not come to it still knows
    with attempt() as now:
        now.outputs.append(Written(store, 12, skipped=12, complete=True))
        summarize(now, time.monotonic())
        outputs = json.loads((now.folder / "outputs.json").read_text())["outputs"]
        assert str(target) in outputs[0]["staged_to"]
        now.outputs[0].written = 3
        summarize(now, time.monotonic())
        outputs = json.loads((now.folder / "outputs.json").read_text())["outputs"]
        assert "staged_to" not in outputs[0]


def test_single_files_and_folders_are_copied_too(attempt: Begin, tmp_path: Path) -> None:
    """Pictures and tables are outputs as well."""
    file = tmp_path / "plot.png"
    file.write_bytes(os.urandom(100_000))
    folder = tmp_path / "tables"
    (folder / "b").mkdir(parents=True)
    (folder / "a.csv").write_text("1")
    (folder / "b" / "empty.csv").write_text("")
    with attempt() as now:
        for source in (file, folder):
            target = Path(out(now, source, f"file://{tmp_path}/archive", source.name))
            assert target == tmp_path / "archive" / source.name
    assert (tmp_path / "archive" / "plot.png").read_bytes() == file.read_bytes()
    assert content(tmp_path / "archive" / "tables") == {"a.csv": b"1", "b/empty.csv": b""}


def test_an_interrupted_copy_is_invisible_and_goes_on(
    attempt: Begin, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was copied and checked is not sent again, and the root metadata is the last."""
    archive = tmp_path / "archive"
    sent: list[str] = []
    real = places.Folder.put

    def fails(self: Any, key: str, source: Path, watch: Any) -> Any:
        if len(sent) == 7:
            raise OSError(errno.ENOSPC, "No space left on device", str(source))
        sent.append(key)
        return real(self, key, source, watch)

    monkeypatch.setattr(places.Folder, "put", fails)
    with attempt() as now, pytest.raises(OSError, match="No space"):
        out(now, store, archive, threads=1)
    (draft,) = (archive / "a").iterdir()
    assert draft.name.endswith(".partial")
    before = stamps(draft)
    first = sent.copy()
    monkeypatch.setattr(places.Folder, "put", real)
    again: list[str] = []

    def notes(self: Any, key: str, source: Path, watch: Any) -> Any:
        again.append(key)
        return real(self, key, source, watch)

    monkeypatch.setattr(places.Folder, "put", notes)
    with attempt() as now:
        target = Path(out(now, store, archive))
    assert not set(first) & set(again)
    assert sorted(first + again) == sorted(content(store))
    assert again[-1] == "zarr.json"
    assert content(target) == content(store)
    assert {key: stamps(target)[key] for key in before} == before


def test_a_full_disk_and_missing_permission(
    attempt: Begin, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are told before a byte is sent, or in words where they are met: exit code 5."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    with attempt() as now, pytest.raises(NotAllowed, match="are to come"):
        out(now, store, tmp_path / "archive")
    monkeypatch.undo()

    def full(*_: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as patch:
        patch.setattr(places, "_read", full)
        with attempt() as now, pytest.raises(NotAllowed, match="Disk quota exceeded"):
            out(now, store, tmp_path / "archive")
    (tmp_path / "file").write_text("")
    with attempt() as now, pytest.raises(NotAllowed):
        out(now, store, tmp_path / "file")


def test_what_is_unfinished_is_not_copied(attempt: Begin, store: Path, tmp_path: Path) -> None:
    """Neither a store that says so nor an output that this attempt has not finished."""
    with attempt() as now:
        now.outputs.append(Written(store, 12, written=3))
        with pytest.raises(UsageError, match="is unfinished: 3 of 12 are there"):
            out(now, store, tmp_path / "archive")
    root = json.loads((store / "zarr.json").read_text())
    root["attributes"]["pangeo_hpc_state"] = "unfinished"
    (store / "zarr.json").write_text(json.dumps(root))
    with attempt() as now:
        with pytest.raises(UsageError, match="is unfinished: run climatology writes it"):
            out(now, store, tmp_path / "archive")
        with pytest.raises(UsageError, match="is not there"):
            out(now, tmp_path / "no", tmp_path / "archive")
        (tmp_path / "links").mkdir()
        (tmp_path / "links" / "a").symlink_to(store)
        with pytest.raises(UsageError, match="holds links or special files: a"):
            out(now, tmp_path / "links", tmp_path / "archive")
        with pytest.raises(UsageError, match="leaves your scratch directory"):
            out(now, tmp_path / "runs", tmp_path / "archive", "../x")
    assert not (tmp_path / "archive").exists()


def test_something_else_is_not_replaced(attempt: Begin, store: Path, tmp_path: Path) -> None:
    """Unless it is asked for; what is the same already counts as a copy."""
    target = tmp_path / "archive" / "a" / "out.zarr"
    target.mkdir(parents=True)
    (target / "zarr.json").write_text("of others")
    with attempt() as now:
        with pytest.raises(UsageError, match=r"is there already and differs: .*tas"):
            out(now, store, tmp_path / "archive")
        assert content(target) == {"zarr.json": b"of others"}
        out(now, store, tmp_path / "archive", overwrite=True)
    assert content(target) == content(store)
    assert [path.name for path in target.parent.iterdir()] == ["out.zarr"]
    shutil.rmtree(now.folder / "staged")
    before = stamps(target)
    with attempt() as now:
        out(now, store, tmp_path / "archive")
    assert stamps(target) == before


def test_damage_is_found_and_repaired(attempt: Begin, store: Path, tmp_path: Path) -> None:
    """A lost file at once; changed bytes when everything is read again (`verify`)."""
    with attempt() as now:
        target = Path(out(now, store, tmp_path / "archive"))
    (target / "tas/c/3/0").unlink()
    with attempt() as now:
        out(now, store, tmp_path / "archive")
        assert "1 files are damaged or missing, and are copied again: tas/c/3/0" in said(now)
    damaged = target / "tas/c/4/0"
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    with attempt() as now:
        out(now, store, tmp_path / "archive", verify=True)
        assert "1 files are damaged or missing, and are copied again: tas/c/4/0" in said(now)
    assert content(target) == content(store)


def test_storage_that_damages_what_it_is_given(
    attempt: Begin, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each copy is read again: one bad bit is noticed, and the copy never gets its name."""
    real = places.Folder.put

    def bad(self: Any, key: str, source: Path, watch: Any) -> Any:
        sums = real(self, key, source, watch)
        if key == "tas/c/5/0":
            path = self._path(key)
            data = path.read_bytes()
            path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        return sums

    monkeypatch.setattr(places.Folder, "put", bad)
    with attempt() as now, pytest.raises(NotAllowed, match=r"tas/c/5/0 at .* is not what was sent"):
        out(now, store, tmp_path / "archive")
    assert not (tmp_path / "archive" / "a" / "out.zarr").exists()


def test_a_source_that_changes(
    attempt: Begin, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is copied it is refused; later it is another output; a touch changes nothing."""
    real = places.Folder.put

    def writes(self: Any, key: str, source: Path, watch: Any) -> Any:
        sums = real(self, key, source, watch)
        if key == "tas/c/5/0":
            (store / "tas/c/5/0").write_bytes(b"new")
        return sums

    old = (store / "tas/c/5/0").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(places.Folder, "put", writes)
        with attempt() as now, pytest.raises(UsageError, match="was changed while it was copied"):
            out(now, store, tmp_path / "archive")
    (store / "tas/c/5/0").write_bytes(old)
    with attempt() as now:
        target = Path(out(now, store, tmp_path / "archive"))
    before = stamps(target)
    for path in store.rglob("*"):
        os.utime(path)
    with attempt() as now:
        out(now, store, tmp_path / "archive")
        assert stamps(target) == before
        (store / "tas/c/5/0").write_bytes(old[:-1] + b"x")
        with pytest.raises(UsageError, match=r"a copy of an earlier out.zarr, which differs: tas"):
            out(now, store, tmp_path / "archive")
        out(now, store, tmp_path / "archive", overwrite=True)
    assert content(target) == content(store)


def test_it_stops_before_the_walltime_and_when_it_is_overtaken(
    attempt: Begin, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """75 as everywhere, and a stale attempt sends nothing more."""
    words = r"of \d+ files of out.zarr to .* are copied"
    over = Deadline(datetime.now(UTC))
    with attempt(deadline=over) as now, pytest.raises(StoppedInTime, match=words):
        out(now, store, tmp_path / "archive", threads=1)
    with attempt() as now:
        assert lease.claim(
            now.folder / "leases", lease.replace(now.lease.holder, number=99, released_at="now")
        )
        with pytest.raises(RunBusy, match="was taken over"):
            out(now, store, tmp_path / "archive")
    assert not (tmp_path / "archive" / "a" / "out.zarr").exists()
