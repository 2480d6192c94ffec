"""Object stores of a site, against a real S3 server."""

import asyncio
import io
import json
import logging
import pickle
import traceback

import fsspec
import numpy as np
import pytest
import xarray as xr

import pangeo_hpc
from pangeo_hpc.errors import UnknownName
from tests.unit.data.conftest import stores
from tests.unit.data.s3_server import BUCKET


def dataset() -> xr.Dataset:
    values = np.arange(24, dtype="f4").reshape(4, 6)
    return xr.Dataset({"tas": (("time", "x"), values)}, {"time": range(4)}, {"title": "sample"})


def test_paths_begin_at_the_bucket(archive):
    """One lists, writes, reads and removes without ever naming the bucket."""
    fs = pangeo_hpc.object_store("archive", archive)
    fs.pipe_file("here/a.txt", b"abc")
    assert fs.ls("here", detail=False) == ["here/a.txt"]
    assert "here" in fs.ls("", detail=False)
    assert fs.cat_file("here/a.txt", start=1, end=2) == b"b"
    assert fs.info("here/a.txt")["size"] == 3
    with fs.open("here/a.txt") as file:
        assert file.read() == b"abc"
    assert dict(fs.get_mapper("here")) == {"a.txt": b"abc"}
    assert fs.exists("here/a.txt")
    assert not fs.exists("here/no.txt")
    with pytest.raises(FileNotFoundError):
        fs.cat_file("here/no.txt")
    fs.rm("here", recursive=True)
    assert not fs.exists("here/a.txt")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_is_written_and_read(archive, zarr_format):
    """A mapper, zarr's own store, and an address give the same dataset."""
    from zarr.storage import FsspecStore

    fs = pangeo_hpc.object_store("archive")
    name = f"zarr{zarr_format}/x.zarr"
    old = zarr_format == 2
    root = ".zattrs" if old else "zarr.json"
    dataset().to_zarr(fs.get_mapper(name), mode="w", zarr_format=zarr_format, consolidated=old)
    for target in (
        fs.get_mapper(name),
        FsspecStore.from_mapper(fs.get_mapper(name), read_only=True),
        f"pangeohpc://archive/{name}",
    ):
        read = xr.open_zarr(target, consolidated=old).compute()
        xr.testing.assert_identical(read, dataset())
    with fsspec.open(f"pangeohpc://archive/{name}/{root}") as file:
        assert b"sample" in file.read()


def test_it_works_while_an_event_loop_runs(archive):
    """Notebooks run one, and fsspec has its own."""

    async def cell() -> bytes:
        fs = pangeo_hpc.object_store("archive")
        fs.pipe_file("loop/a.txt", b"abc")
        return fs.cat_file("loop/a.txt")

    assert asyncio.run(cell()) == b"abc"


def test_no_secret_travels_or_is_told(archive, s3, caplog):
    """What is pickled, written as JSON, shown or logged is where the credentials are."""
    caplog.set_level(logging.DEBUG)
    fs = pangeo_hpc.object_store("archive")
    fs.pipe_file("secret/a.txt", b"abc")
    mapper = fs.get_mapper("secret")
    seen = [repr(fs), repr(mapper), fs.to_json(), str(fs.storage_options), str(fs.fs)]
    seen += [str(vars(fs)), fs.fs.to_json(), str(fs.fs.storage_options)]
    for each in (fs, mapper, fs.fs):
        data = pickle.dumps(each)
        assert s3.full.secret.encode() not in data
        assert s3.full.key.encode() not in data
        assert pickle.loads(data) is not None
    assert pickle.loads(pickle.dumps(fs)).cat_file("secret/a.txt") == b"abc"
    assert pickle.loads(pickle.dumps(mapper))["a.txt"] == b"abc"
    try:
        pangeo_hpc.object_store("archive").fs.call_s3("list_objects_v2", Bucket="no-such-bucket")
    except pangeo_hpc.errors.BucketMissing:
        told = io.StringIO()
        traceback.print_exc(file=told)
        seen.append(told.getvalue())
    else:
        pytest.fail("there is no such bucket")
    for text in (*seen, caplog.text):
        assert s3.full.secret not in text


def test_dask_workers_read_the_credentials_themselves(archive, s3, tmp_path):
    """Another process opens what was sent to it, in threads and more than once."""
    from distributed import Client, LocalCluster

    mapper = pangeo_hpc.object_store("archive").get_mapper("d.zarr")
    dataset().to_zarr(mapper, mode="w", zarr_format=2)
    ds = xr.open_zarr(mapper)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, dashboard_address=None, local_directory=tmp_path
        ) as cluster,
        Client(cluster),
    ):
        assert float(ds.tas.sum().compute()) == 276
    assert s3.full.secret.encode() not in pickle.dumps(dict(ds.__dask_graph__()))


def test_corrected_credentials_are_read_again(s3, make_site, write_credentials):
    """fsspec keeps what it opened; a changed file is another store."""
    from tests.unit.data.s3_server import Keys

    write_credentials(alpha=Keys("AKIAWRONGWRONG", "wrong"))
    make_site(stores(s3.url))
    with pytest.raises(pangeo_hpc.errors.CredentialsRefused):
        pangeo_hpc.object_store("archive").ls("")
    write_credentials(alpha=s3.full)
    pangeo_hpc.object_store("archive").ls("")


def test_a_store_that_is_a_directory(make_site, tmp_path):
    """POSIX storage is used in the same way; placeholders are filled in."""
    import getpass

    make_site(f'object_stores: {{tape: {{protocol: file, path: "{tmp_path}/tape/{{user}}"}}}}')
    fs = pangeo_hpc.object_store("tape")
    dataset().to_zarr(fs.get_mapper("a/x.zarr"), zarr_format=2)
    assert (tmp_path / "tape" / getpass.getuser() / "a/x.zarr/.zmetadata").is_file()
    xr.testing.assert_identical(xr.open_zarr("pangeohpc://tape/a/x.zarr").compute(), dataset())
    assert pickle.loads(pickle.dumps(fs)).ls("a", detail=False) == ["a/x.zarr"]


def test_a_store_that_is_a_web_server(make_site, tmp_path):
    """What a THREDDS or plain file server offers is read by name."""
    import threading
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            return

    dataset().to_zarr(tmp_path / "web" / "x.zarr", zarr_format=2)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "web")))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        make_site(f"object_stores: {{web: {{protocol: http, endpoint_url: {url}}}}}")
        fs = pangeo_hpc.object_store("web")
        assert json.loads(fs.cat_file("x.zarr/.zattrs"))["title"] == "sample"
        xr.testing.assert_identical(xr.open_zarr(fs.get_mapper("x.zarr")).compute(), dataset())
    finally:
        server.shutdown()
        server.server_close()


def test_an_unknown_name_gets_a_guess(archive):
    """A site knows its stores; one that has none says so."""
    told = r"site alpha has no object store archiv\nhint: did you mean archive"
    with pytest.raises(UnknownName, match=told):
        pangeo_hpc.object_store("archiv")
    assert BUCKET in repr(pangeo_hpc.object_store("archive"))
