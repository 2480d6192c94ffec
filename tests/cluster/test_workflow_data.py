"""A run on the real Slurm whose data lie in an object store, read by workers on several nodes."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests.cluster.face import Cluster
from tests.cluster.sites import CommandLine
from tests.cluster.users import ClusterUser
from tests.unit.data.s3_server import BUCKET, S3Server

pytestmark = pytest.mark.usefixtures("anew")

SCRIPT = """\
import os
import fsspec
import xarray as xr
import pangeo_hpc
from pangeo_hpc import workflow

with workflow.start() as run:
    ds = xr.open_zarr(run.input("mine/tas"))
    fs = pangeo_hpc.object_store("archive")
    told = run.client.run(lambda: (os.uname().nodename, fs.cat_file("note.txt")))
    print("hosts", *sorted({host for host, _ in told.values()}), flush=True)
    assert {note for _, note in told.values()} == {b"for all"}
    total = (ds.tas * 2).to_dataset()
    run.write_zarr(total, "doubled.zarr", encoding={"tas": {"chunks": (4, 6)}})
    total.to_zarr(fs.get_mapper("doubled.zarr"), mode="w", zarr_format=2)
    mapper = fsspec.get_mapper(f"{os.environ['PANGEO_SCRATCH']}/as/on/cloud.zarr")
    total.to_zarr(mapper, mode="w", zarr_format=2)
"""
CATALOG = f'sources: {{tas: {{driver: zarr, args: {{urlpath: "s3://{BUCKET}/tas.zarr"}}}}}}\n'


def source() -> xr.Dataset:
    values = np.arange(16 * 24.0).reshape(16, 24)
    return xr.Dataset({"tas": (("time", "x"), values)}, {"time": np.arange(16)})


@pytest.fixture(scope="module")
def store(alice: ClusterUser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server that all nodes reach, filled by its owner."""
    server = S3Server(tmp_path_factory.mktemp("s3"))
    try:
        server.wait()
        server.fill()
        options = {
            "key": server.full.key,
            "secret": server.full.secret,
            "endpoint_url": server.url,
        }
        import fsspec

        fs = fsspec.filesystem("s3", **options)
        fs.pipe_file(f"{BUCKET}/note.txt", b"for all")
        mapper = fs.get_mapper(f"{BUCKET}/tas.zarr")
        source().to_zarr(mapper, zarr_format=2, encoding={"tas": {"chunks": (2, 6)}})
        yield server
    finally:
        server.stop()


@pytest.fixture
def user(cli: CommandLine, cluster: Cluster, store: S3Server) -> CommandLine:
    """Alice, at a site with the store and a catalog; her keys are where the nodes see them."""
    keys = cli.script("keys", store.full.section("alpha"))
    keys.chmod(0o600)
    (cluster.directory / "catalog.yaml").write_text(CATALOG)
    (cluster.directory / "catalog.yaml").chmod(0o644)
    settings = f"protocol: s3, bucket: {BUCKET}, endpoint_url: {store.url}"
    more = f"""\
object_stores: {{archive: {{{settings}, credentials: {keys}, profile: alpha}}}}
catalogs: [{{name: mine, url: {cluster.directory}/catalog.yaml}}]
"""
    path = cluster.directory / "data.yaml"
    path.write_text(cli.site.read_text() + more)
    path.chmod(0o644)
    return CommandLine(cli.user, path)


def files_below(folder: Path) -> Iterator[Path]:
    for top, _, names in os.walk(folder):
        # other tests leave a FIFO there, the local queue's, whose open would wait for a writer
        yield from (path for name in names if (path := Path(top, name)).is_file())


def test_workers_on_three_nodes_use_a_store(
    user: CommandLine, alice: ClusterUser, store: S3Server
) -> None:
    """They read, write and find scratch as on Pangeo Cloud; no file of ours has the secret."""
    script = str(user.script("doubled.py", SCRIPT))
    user("submit", script, "--name", "doubled", "--nodes", "3", "--wait")
    hosts = user("runs", "logs", "doubled").stdout.partition("hosts ")[2].splitlines()[0].split()
    assert len(hosts) == 3
    expected = source() * 2
    options = {"key": store.full.key, "secret": store.full.secret, "endpoint_url": store.url}
    in_store = xr.open_zarr(f"s3://{BUCKET}/doubled.zarr", storage_options=options)
    xr.testing.assert_equal(in_store.compute(), expected)
    for name in ("doubled.zarr", "as/on/cloud.zarr"):
        with xr.open_zarr(alice.scratch / name) as ds:
            xr.testing.assert_equal(ds.compute(), expected)
    written = [*files_below(user.here), *files_below(alice.scratch)]
    told = [path for path in written if store.full.secret.encode() in path.read_bytes()]
    assert told == [user.here / "keys"]


def test_keys_that_others_can_read_are_not_used(user: CommandLine) -> None:
    """The job ends with 5 and says what to do; nothing was asked of the store."""
    (user.here / "keys").chmod(0o644)
    script = str(user.script("refused.py", SCRIPT))
    user("submit", script, "--name", "refused", "--wait", code=1)
    told = user("runs", "logs", "refused").stdout
    assert "others can read it (mode 0644)" in told
    assert f"hint: chmod 600 {user.here / 'keys'}" in told
    attempt = user.json("runs", "show", "refused")["attempts"][-1]
    assert attempt["exit_code"] == 5
