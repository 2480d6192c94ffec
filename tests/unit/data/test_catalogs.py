"""Catalogs as Pangeo's are, opened by name, by path, from a store, and with plain libraries."""

import subprocess
import sys
from pathlib import Path

import fsspec
import numpy as np
import pytest
import xarray as xr

import pangeo_hpc
from pangeo_hpc.errors import Exit, UnknownName, UsageError
from tests.unit.data.conftest import stores
from tests.unit.data.s3_server import BUCKET

# As https://github.com/pangeo-data/pangeo-datastore writes them.
MASTER = """
metadata: {version: 1}
sources:
  climate:
    name: climate
    description: 'Climate data'
    driver: yaml_file_cat
    args:
      path: "{{CATALOG_DIR}}/climate.yaml"
    metadata: {}
"""
CLIMATE = """
plugins:
  source:
    - module: intake_xarray
sources:
  gmet_v1:
    description: 'Gridded meteorological ensemble'
    driver: zarr
    args:
      urlpath: "%s/gmet_v1.zarr"
      consolidated: True
    metadata:
      url: https://rda.ucar.edu
      tags: [climate, ensemble]
  stations:
    driver: netcdf
    args:
      urlpath: "%s/stations.nc"
      xarray_kwargs: {decode_times: False}
  tables:
    driver: esm_datastore
    args: {obj: x}
"""
SECOND = """
metadata: {}
version: 2
aliases: {gmet_v1: reader1}
data:
  data1:
    datatype: intake.readers.datatypes:Zarr
    kwargs: {url: "%s/gmet_v1.zarr", storage_options: null}
    metadata: {}
    user_parameters: {}
entries:
  reader1:
    reader: intake.readers.readers:XArrayDatasetReader
    kwargs: {args: ["{data(data1)}"], chunks: {}}
    output_instance: "xarray:Dataset"
    metadata: {}
    user_parameters: {}
user_parameters: {}
"""


def gmet() -> xr.Dataset:
    values = np.arange(24, dtype="f4").reshape(4, 6)
    return xr.Dataset({"t_mean": (("time", "x"), values)}, {"time": np.arange(4)})


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """Catalogs and data in a folder, as one would copy them to a cluster."""
    folder = tmp_path_factory.mktemp("copies")
    write(folder, "{{ CATALOG_DIR }}")
    gmet().to_zarr(folder / "gmet_v1.zarr", zarr_format=2, consolidated=True)
    gmet().to_netcdf(folder / "stations.nc", engine="netcdf4")
    return folder


def write(folder: Path, where: str) -> None:
    (folder / "master.yaml").write_text(MASTER)
    (folder / "climate.yaml").write_text(CLIMATE % (where, where))
    (folder / "second.yaml").write_text(
        SECOND % where.replace("{{ CATALOG_DIR }}", "{CATALOG_DIR}")
    )


@pytest.fixture
def in_store(archive, data, tmp_path) -> str:
    """The same in the bucket, once: entries name it as everybody would, by s3://."""
    fs = pangeo_hpc.object_store("archive")
    if not fs.exists("data/gmet_v1.zarr/.zmetadata"):
        fs.put(str(data / "gmet_v1.zarr"), "data/gmet_v1.zarr", recursive=True)
        fs.put(str(data / "stations.nc"), "data/stations.nc")
        fs.put(f"{data}/", "beside/", recursive=True)
        copies = tmp_path / "for-store"
        copies.mkdir()
        write(copies, f"s3://{BUCKET}/data")
        fs.put(f"{copies}/", "catalogs/", recursive=True)
    return f"s3://{BUCKET}"


def site_yaml(url: str, name: str = "pangeo") -> str:
    return f'catalogs:\n  - {{name: {name}, driver: intake, url: "{url}"}}\n'


def assert_gmet(cat) -> None:
    """What the seed's examples do, down to the numbers."""
    climate = cat["climate"]
    assert list(climate) == ["gmet_v1", "stations", "tables"]
    ds = climate["gmet_v1"].to_dask()
    assert ds.t_mean.chunks is not None
    xr.testing.assert_identical(ds.compute(), gmet())
    xr.testing.assert_identical(cat.climate.gmet_v1.to_dask().compute(), gmet())
    with climate["stations"].to_dask() as ds:
        assert ds.t_mean.chunks is not None
        xr.testing.assert_equal(ds.compute(), gmet())


def test_a_catalog_of_the_site(make_site, data):
    """By its name, which the site YAML gives it, with nested catalogs and local copies."""
    make_site(site_yaml(str(data / "master.yaml")))
    cat = pangeo_hpc.open_catalog("pangeo")
    assert list(cat) == ["climate"]
    assert_gmet(cat)


@pytest.mark.parametrize("how", [str, Path, "relative", "~"])
def test_a_catalog_by_its_path(make_site, data, how, monkeypatch):
    """A path, also a relative one, or one from home, wherever the site's catalogs are."""
    make_site()
    path = data / "master.yaml"
    if how == "relative":
        monkeypatch.chdir(data.parent)
        assert_gmet(pangeo_hpc.open_catalog(f"{data.name}/master.yaml"))
    elif how == "~":
        monkeypatch.setenv("HOME", str(data))
        assert_gmet(pangeo_hpc.open_catalog("~/master.yaml"))
    else:
        assert_gmet(pangeo_hpc.open_catalog(how(path)))


@pytest.mark.parametrize("place", ["catalogs", "beside"])
def test_a_catalog_in_a_store(s3, make_site, in_store, place):
    """Entries by s3:// or beside the catalog are read with the store's endpoint and credentials."""
    make_site(f"{stores(s3.url)}\n{site_yaml(f'{in_store}/{place}/master.yaml')}")
    assert_gmet(pangeo_hpc.open_catalog("pangeo"))
    assert_gmet(pangeo_hpc.open_catalog(f"pangeohpc://archive/{place}/master.yaml"))


def test_a_local_catalog_of_data_in_a_store(s3, make_site, in_store, tmp_path):
    """The catalog lies on the cluster, the data do not."""
    write(tmp_path, f"{in_store}/data")
    make_site(f"{stores(s3.url)}\n{site_yaml(str(tmp_path / 'master.yaml'))}")
    assert_gmet(pangeo_hpc.open_catalog("pangeo"))


@pytest.mark.parametrize("where", ["local", "store"])
def test_the_second_format(s3, make_site, in_store, data, tmp_path, where):
    """Intake 2 writes other files; their readers read."""
    folder = data
    if where == "store":
        write(tmp_path, f"{in_store}/data")
        folder = tmp_path
    make_site(stores(s3.url))
    cat = pangeo_hpc.open_catalog(folder / "second.yaml")
    xr.testing.assert_identical(cat["gmet_v1"].read().compute(), gmet())


def test_plain_libraries_read_the_same_copies(s3, in_store, data, archive):
    """What users have in their notebooks works on local copies and on the store."""
    import intake
    import s3fs

    local = intake.open_catalog(str(data / "master.yaml"))
    xr.testing.assert_identical(local.climate.gmet_v1.to_dask().compute(), gmet())
    mapper = fsspec.get_mapper(str(data / "gmet_v1.zarr"))
    xr.testing.assert_identical(xr.open_zarr(mapper).compute(), gmet())
    with fsspec.open(str(data / "climate.yaml")) as file:
        assert b"gmet_v1" in file.read()
    options = {"key": s3.full.key, "secret": s3.full.secret, "endpoint_url": s3.url}
    fs = s3fs.S3FileSystem(**options)
    assert f"{BUCKET}/data/gmet_v1.zarr" in fs.ls(f"{BUCKET}/data")
    for mapper in (
        fs.get_mapper(f"{BUCKET}/data/gmet_v1.zarr"),
        fsspec.get_mapper(f"{in_store}/data/gmet_v1.zarr", **options),
        fsspec.get_mapper("pangeohpc://archive/data/gmet_v1.zarr"),
    ):
        xr.testing.assert_identical(xr.open_zarr(mapper, consolidated=True).compute(), gmet())


def test_names_that_are_not_there(make_site, data, tmp_path):
    """A site, a catalog and a folder each say what they have."""
    make_site(site_yaml(str(data / "master.yaml")))
    with pytest.raises(UnknownName, match=r"no catalog pange\nhint: did you mean pangeo\?"):
        pangeo_hpc.open_catalog("pange")
    climate = pangeo_hpc.open_catalog("pangeo")["climate"]
    told = r"catalog climate has no entry gmet_v2\nhint: did you mean gmet_v1\?"
    for kind in (KeyError, UnknownName):
        with pytest.raises(kind, match=told):
            climate["gmet_v2"]
    with pytest.raises(UsageError, match=r"no/such\.yaml is not there\nhint: check catalogs"):
        pangeo_hpc.open_catalog(tmp_path / "no/such.yaml")


def test_a_driver_that_is_not_installed(make_site, data):
    """The error names the package."""
    make_site()
    climate = pangeo_hpc.open_catalog(data / "climate.yaml")
    told = "entry tables needs the driver esm_datastore.*\nhint: pip install intake-esm"
    with pytest.raises(UsageError, match=told) as caught:
        climate["tables"]
    assert caught.value.exit_code == Exit.USAGE


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "cannot be read as YAML"),
        ("", "is no catalog"),
        ("sources: [a]", "is no catalog"),
        ("other: 1", "is no catalog"),
    ],
)
def test_a_file_that_is_no_catalog(make_site, tmp_path, text, told):
    """Whatever it is, it is one error with a hint."""
    make_site()
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UsageError, match=told) as caught:
        pangeo_hpc.open_catalog(tmp_path / "c.yaml")
    assert "sources:" in caught.value.hint


def test_a_catalog_that_is_not_in_the_store(s3, make_site, archive):
    """The address is told."""
    make_site(f"{stores(s3.url)}\n{site_yaml(f's3://{BUCKET}/no.yaml')}")
    with pytest.raises(UsageError, match=r"catalog pangeohpc://archive/no\.yaml is not there"):
        pangeo_hpc.open_catalog("pangeo")


def test_nobody_sees_warnings_of_libraries(make_site, data):
    """A user's program with warnings as they come prints what it prints, and nothing else."""
    make_site(site_yaml(str(data / "master.yaml")))
    entry = "pangeo_hpc.open_catalog('pangeo')['climate']['gmet_v1']"
    program = f"import pangeo_hpc; print({entry}.to_dask().sizes['x'])"
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", program],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.stdout, done.returncode) == ("6\n", 0)
    assert "Warning" not in done.stderr
    assert done.stderr == ""
