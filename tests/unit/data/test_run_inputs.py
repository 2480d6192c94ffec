"""Inputs of a run that are not on scratch: in catalogs, in stores, at addresses."""

import os
import subprocess
import sys

import fsspec
import numpy as np
import pytest
import xarray as xr

import pangeo_hpc
from pangeo_hpc import workflow
from pangeo_hpc.errors import BucketMissing, UnknownName, UsageError
from tests.unit.data.conftest import stores
from tests.unit.data.s3_server import BUCKET
from tests.unit.data.test_catalogs import site_yaml
from tests.unit.data.test_object_store import dataset


@pytest.fixture
def site(s3, make_site, write_credentials, tmp_path, monkeypatch):
    """A site with a store and a catalog whose entries lie on disk, in the store, and elsewhere."""
    write_credentials(alpha=s3.full)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(f"""
sources:
  disk: {{driver: zarr, args: {{urlpath: "{{{{ CATALOG_DIR }}}}/disk.zarr"}}}}
  store: {{driver: zarr, args: {{urlpath: "s3://{BUCKET}/inputs/a.zarr"}}}}
  elsewhere:
    driver: zarr
    args:
      urlpath: "s3://{BUCKET}/inputs/a.zarr"
      storage_options: {{key: {s3.full.key}, secret: {s3.full.secret}, endpoint_url: "{s3.url}"}}
  several: {{driver: netcdf, args: {{urlpath: "{{{{ CATALOG_DIR }}}}/*.nc"}}}}
  nested: {{driver: yaml_file_cat, args: {{path: "{{{{ CATALOG_DIR }}}}/c.yaml"}}}}
""")
    site = make_site(f"{stores(s3.url)}\n{site_yaml(str(tmp_path / 'c.yaml'), 'mine')}")
    dataset().to_zarr(tmp_path / "disk.zarr", zarr_format=2)
    mapper = pangeo_hpc.object_store("archive").get_mapper("inputs/a.zarr")
    dataset().to_zarr(mapper, mode="w", zarr_format=2)
    return site


def start():
    return workflow.start("climatology", cluster=False)


def same(place) -> bool:
    return xr.open_zarr(place, consolidated=True).compute().identical(dataset())


def test_entries_of_the_sites_catalogs(site, tmp_path):
    """An entry is where its data are, whatever they lie on, and opens as it is."""
    with start() as run:
        assert run.input("mine/disk") == run.input("mine:disk") == tmp_path / "disk.zarr"
        assert run.input("mine/store") == "pangeohpc://archive/inputs/a.zarr"
        assert run.input("mine/nested/store") == run.input("mine/store")
        for name in ("mine/disk", "mine/store", "mine/elsewhere"):
            assert same(run.input(name))


def test_scratch_comes_first(site):
    """A folder of one's own is not hidden by a catalog of its name."""
    own = pangeo_hpc.scratch.path("mine/disk")
    own.mkdir(parents=True)
    with start() as run:
        assert run.input("mine/disk") == own


def test_entries_that_are_no_input(site):
    """Each is told what to do instead."""
    with start() as run:
        with pytest.raises(UnknownName, match=r"no entry dis\nhint: did you mean disk"):
            run.input("mine/dis")
        with pytest.raises(UsageError, match=r"mine/nested is a catalog\nhint: add one .*disk"):
            run.input("mine/nested")
        with pytest.raises(UsageError, match=r"is not one file or store\nhint: open it with"):
            run.input("mine/several")
        with pytest.raises(UsageError, match=r"your scratch directory, then as CATALOG/ENTRY"):
            run.input("other/disk")


def test_addresses_in_a_store_of_the_site(site):
    """s3:// needs no options where the site knows the bucket; what is missing is told at once."""
    with start() as run:
        place = run.input(f"s3://{BUCKET}/inputs/a.zarr")
        assert place == run.input("pangeohpc://archive/inputs/a.zarr")
        assert same(place)
        with pytest.raises(UsageError, match=r"inputs/no\.zarr is not there"):
            run.input(f"s3://{BUCKET}/inputs/no.zarr")


def test_a_bucket_that_is_not_there(site, s3, make_site):
    """The store's own error, not that the input is missing."""
    make_site(stores(s3.url, bucket="no-such-bucket"))
    with start() as run, pytest.raises(BucketMissing):
        run.input("s3://no-such-bucket/a.zarr")


def test_other_addresses(site, s3):
    """fsspec's options are for the look, and come back in a mapper."""
    url = f"s3://{BUCKET}/inputs/a.zarr"
    options = {"key": s3.full.key, "secret": s3.full.secret, "endpoint_url": s3.url}
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/here/a.csv", b"1")
    with workflow.start("elsewhere", cluster=False, site="local") as run:
        mapper = run.input(url, storage_options=options)
        assert same(mapper)
        assert run.input("memory://here/a.csv") == "memory://here/a.csv"
        with pytest.raises(UsageError, match="no.csv is not there"):
            run.input("memory://here/no.csv")
        with pytest.raises(UsageError, match="cannot be looked at"):
            run.input("nonsense://here/no.csv")


def test_an_unfinished_store_is_refused_in_a_store_too(site):
    """What another run has not written yet would read as missing values."""
    mapper = pangeo_hpc.object_store("archive").get_mapper("inputs/half.zarr")
    told = {"pangeo_hpc_state": "unfinished", "pangeo_hpc_run": "other"}
    xr.Dataset(attrs=told).to_zarr(mapper, mode="w", zarr_format=3, consolidated=False)
    said = r"half\.zarr is unfinished: run other writes it"
    with start() as run, pytest.raises(UsageError, match=said):
        run.input(f"s3://{BUCKET}/inputs/half.zarr")


@pytest.mark.parametrize("name", [f"s3://{BUCKET}/inputs/b.zarr", f"s3://{BUCKET}/inputs/b.csv"])
def test_a_replaced_input_is_noticed(site, name, capsys):
    """Other data at the same address make units stale; the same do not."""
    fs = pangeo_hpc.object_store("archive")
    ds = xr.Dataset({"tas": (("time", "x"), np.zeros((4, 2)))})
    for attempt, same in (("1", True), ("1", True), ("2", False)):
        if name.endswith("zarr"):
            source = dataset().assign_attrs(version=attempt)
            source.to_zarr(fs.get_mapper("inputs/b.zarr"), mode="w", zarr_format=2)
        else:
            fs.pipe_file("inputs/b.csv", attempt.encode())
        with start() as run:
            run.input(name)
            run.write_zarr(ds, "out.zarr")
        told = f"input {name} has changed; 1 unit made before is done again"
        assert (told in capsys.readouterr().err) is not same


def test_an_entry_that_tells_of_other_data_is_another_input(site, tmp_path, capsys):
    """Catalogs are corrected: the same name may mean another version."""
    ds = xr.Dataset({"tas": (("time", "x"), np.zeros((4, 2)))})
    with start() as run:
        run.input("mine/disk")
        run.write_zarr(ds, "out.zarr")
    dataset().to_zarr(tmp_path / "disk2.zarr", zarr_format=2)
    text = (tmp_path / "c.yaml").read_text().replace("/disk.zarr", "/disk2.zarr")
    (tmp_path / "c.yaml").write_text(text)
    with start() as run:
        run.input("mine/disk")
        run.write_zarr(ds, "out.zarr")
    assert "input mine/disk has changed; 1 unit" in capsys.readouterr().err


PROGRAM = """
import os, sys, fsspec, numpy as np, xarray as xr
scratch = sys.argv[1] if len(sys.argv) > 1 else os.environ["PANGEO_SCRATCH"]
ds = xr.Dataset({"tas": ("x", np.arange(3))})
ds.to_zarr(fsspec.get_mapper(f"{scratch}/a/x.zarr"), mode="w", zarr_format=2)
assert xr.open_zarr(fsspec.get_mapper(f"{scratch}/a/x.zarr")).compute().identical(ds)
with fsspec.open(f"{scratch}/b/x.txt", "w") as file:
    file.write("abc")
with fsspec.open(f"{scratch}/b/x.txt") as file:
    print(file.read().decode())
"""


@pytest.mark.parametrize("scratch", [None, "pangeohpc://archive/scratch"])
def test_scratch_as_on_pangeo_cloud(site, scratch):
    """Programs for s3://pangeo-scratch/user work with the path that jobs are given, and a store."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, *([scratch] if scratch else [])],
        env={**os.environ, **pangeo_hpc.scratch.variable(site)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.stdout, done.stderr) == ("abc\n", "")
    assert (pangeo_hpc.scratch.path("a/x.zarr", create=False).is_dir()) == (scratch is None)
