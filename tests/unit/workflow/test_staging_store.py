"""Copies in a real S3 server on loopback: killed, taken up again, damaged, and refused."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import xarray as xr

from pangeo_hpc.errors import NotAllowed, UsageError
from pangeo_hpc.workflow.staging import places
from pangeo_hpc.workflow.staging.begin import THREADS, Choices
from pangeo_hpc.workflow.staging.out import stage_out
from tests.unit.workflow.conftest import Begin, Scripts, put

BUCKET = "alpha-archive"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of moto's S3, a program of its own."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    log = (tmp_path_factory.mktemp("moto") / "log").open("wb")
    argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    url = f"http://127.0.0.1:{port}"
    with log, subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT) as process:
        try:
            end = time.monotonic() + 90
            while True:
                try:
                    urllib.request.urlopen(f"{url}/moto-api/", timeout=5).close()
                    break
                except OSError:
                    assert process.poll() is None
                    assert time.monotonic() < end
                    time.sleep(0.05)
            yield url
        finally:
            process.kill()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The filesystem of the site's store `archive`, an empty bucket."""
    from fsspec.implementations.dirfs import DirFileSystem
    from s3fs import S3FileSystem

    urllib.request.urlopen(
        urllib.request.Request(f"{server}/moto-api/reset", method="POST"), timeout=20
    ).close()
    options = {"endpoint_url": server, "key": "AKIA", "secret": "secret"}
    fs = S3FileSystem(**options, skip_instance_cache=True, use_listings_cache=False)
    fs.mkdir(BUCKET)
    room = ModuleType("pangeo_hpc.data")
    room.object_store = lambda name, site=None: DirFileSystem(BUCKET, fs)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pangeo_hpc.data", room)
    return DirFileSystem(BUCKET, fs)


@pytest.fixture
def store(attempt: Begin, tmp_path: Path) -> Path:
    path = tmp_path / "scratch" / "out.zarr"
    ds = xr.Dataset({"tas": (("time", "x"), np.arange(48.0).reshape(12, 4))})
    with attempt() as now:
        put(now, ds, path, along="time", unit=1, encoding={"tas": {"chunks": (1, 4)}})
    return path


def out(attempt: Any, path: Path, **more: Any) -> str:
    choices = Choices(**more)
    return stage_out(attempt, path, "archive", "a/out.zarr", choices, lambda: None)  # type: ignore[arg-type, return-value]


def there(bucket: Any) -> dict[str, bytes]:
    return {path: bucket.cat_file(path) for path in bucket.find("a")}


def here(store: Path) -> dict[str, bytes]:
    return {
        f"a/out.zarr/{path.relative_to(store).as_posix()}": path.read_bytes()
        for path in store.rglob("*")
        if path.is_file()
    }


def test_a_store_in_the_sites_archive(
    bucket: Any, server: str, attempt: Begin, store: Path
) -> None:
    """Every byte; Xarray reads it there; a second time nothing is sent, and damage is repaired."""
    with attempt() as now:
        assert out(now, store) == "archive:a/out.zarr"
    assert there(bucket) == here(store)
    options = {"endpoint_url": server, "key": "AKIA", "secret": "secret"}
    address = f"s3://{BUCKET}/a/out.zarr"
    with xr.open_zarr(address, chunks=None, storage_options=options) as ds:
        assert float(ds.tas.sum()) == sum(range(48))
    with attempt() as now:
        out(now, store)
        (place,) = now.staged[str(store)].values()
        assert place["copied"] == 0
        bucket.pipe_file("a/out.zarr/tas/c/3/0", b"x" * len((store / "tas/c/3/0").read_bytes()))
        out(now, store, verify=True)
    assert there(bucket) == here(store)


def test_something_else_in_the_archive(bucket: Any, attempt: Begin, store: Path) -> None:
    """It stays unless it is to be replaced, and then nothing of it is left."""
    bucket.pipe_file("a/out.zarr/zarr.json", b"{}")
    bucket.pipe_file("a/out.zarr/old/c/0", b"old")
    bucket.pipe_file("a/out.zarr2/zarr.json", b"{}")
    with attempt() as now:
        with pytest.raises(UsageError, match="archive:a/out.zarr is there already and differs"):
            out(now, store)
        out(now, store, overwrite=True)
    assert there(bucket) == {**here(store), "a/out.zarr2/zarr.json": b"{}"}


def test_stores_that_damage_objects_are_noticed(
    bucket: Any, attempt: Begin, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the ETag, or by reading the object where the ETag is no checksum; the root never comes."""
    real = places.Store.put

    def bad(self: Any, key: str, source: Path, watch: Any) -> Any:
        sums = real(self, key, source, watch)
        if key == "tas/c/5/0":
            bucket.pipe_file(f"a/out.zarr/{key}", source.read_bytes()[:-1] + b"?")
        return sums

    monkeypatch.setattr(places.Store, "put", bad)
    with attempt() as now, pytest.raises(NotAllowed, match="is not what was sent"):
        out(now, store)
    assert "a/out.zarr/zarr.json" not in there(bucket)


def test_large_objects_are_sent_in_parts(
    bucket: Any, attempt: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their ETag is no checksum, so they are read again."""
    monkeypatch.setattr(places, "WHOLE", 5 << 20)
    file = tmp_path / "large.bin"
    file.write_bytes(os.urandom(12 << 20))
    with attempt() as now:
        out(now, file)
    assert bucket.cat_file("a/out.zarr") == file.read_bytes()
    assert "-" in bucket.info("a/out.zarr")["ETag"]


def test_a_folder_says_when_it_is_complete(bucket: Any, attempt: Begin, tmp_path: Path) -> None:
    """It has no root metadata, so an object READY is the last."""
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "a.csv").write_text("1")
    for _ in range(2):
        with attempt() as now:
            out(now, folder)
    assert set(there(bucket)) == {"a/out.zarr/a.csv", "a/out.zarr/READY"}


SCRIPT = """
    import sys, time
    from pangeo_hpc import workflow
    from pangeo_hpc.workflow.staging import places

    real = places.Store.put

    def slow(self, key, source, watch):
        with open(LOG, "a") as log:
            log.write(f"{key}\\n")
        time.sleep(0.1)
        return real(self, key, source, watch)

    places.Store.put = slow
    with workflow.start("climatology", cluster=False) as run:
        print(run.stage_out("out.zarr", "s3://alpha-archive/b"))
"""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_in_mid_copy(
    bucket: Any, server: str, scripts: Scripts, store: Path, tmp_path: Path
) -> None:
    """The copy cannot be opened before all of it is there; checked files are not sent again."""
    log = tmp_path / "sent"
    path = scripts.write(SCRIPT.replace("LOG", repr(str(log))))
    access = {
        "FSSPEC_S3_ENDPOINT_URL": server,
        "FSSPEC_S3_KEY": "AKIA",
        "FSSPEC_S3_SECRET": "secret",
        "PYTHONWARNINGS": "default",
    }
    done: list[Path] = []
    with scripts.start(path, **access) as process:
        end = time.monotonic() + 180
        while not done or len(done[0].read_text().split("\n\n")) < 3:
            assert time.monotonic() < end and process.poll() is None
            done = list((tmp_path / "runs").glob("*/staged/*/done.jsonl"))
            time.sleep(0.005)
        process.kill()
        process.communicate()
    assert not bucket.exists("b/out.zarr/zarr.json")
    import json

    checked = {json.loads(line)["key"] for line in done[0].read_text().splitlines() if line}
    first = log.read_text().split()
    log.unlink()
    with scripts.start(path, **access) as process:
        printed, err = process.communicate(timeout=300)
    code = process.returncode
    assert code == 0, err
    assert printed == "s3://alpha-archive/b/out.zarr\n"
    again = log.read_text().split()
    assert not checked & set(again)
    assert len(first) + len(again) <= len(here(store)) + THREADS
    copy = {path.removeprefix("b/"): bucket.cat_file(path) for path in bucket.find("b")}
    assert copy == {key.removeprefix("a/"): data for key, data in here(store).items()}
