"""Object stores and catalogs: each is asked once, and told with its key and a remedy."""

import pytest

from pangeo_hpc.doctor.checks import catalogs, object_stores
from pangeo_hpc.doctor.data import find_data
from pangeo_hpc.doctor.facts import Facts
from pangeo_hpc.doctor.finding import Severity
from pangeo_hpc.site import load_site
from tests.unit.doctor.conftest import ALICE

SITE = """
name: alpha
scheduler: local
node_types: {{one: {{cores: 1, memory: 1 GiB, walltime: "01:00:00"}}}}
object_stores:
  tape: {{protocol: file, path: {folder}/tape}}
  gone: {{protocol: file, path: {folder}/gone}}
  archive: {{protocol: s3, bucket: a, endpoint_url: "http://127.0.0.1:9", credentials: {folder}/no}}
catalogs:
  - {{name: good, url: {folder}/good.yaml}}
  - {{name: lost, url: {folder}/lost.yaml}}
  - {{name: broken, url: {folder}/broken.yaml}}
"""


@pytest.fixture
def facts(tmp_path):
    (tmp_path / "tape").mkdir()
    (tmp_path / "good.yaml").write_text("sources: {a: {driver: zarr, args: {urlpath: x}}}")
    (tmp_path / "broken.yaml").write_text("sources: [")
    (tmp_path / "alpha.yaml").write_text(SITE.format(folder=tmp_path))
    site = load_site(tmp_path / "alpha.yaml")
    said = []
    data = tuple(find_data(site, said.append))
    assert said[0] == "asking object store tape…"
    assert len(said) == len(data) == 6
    return Facts(site=site, person=ALICE, data=data)


def test_stores(facts):
    """A user's own credentials are theirs to get: only a warning."""
    good, gone, archive = object_stores.judge(facts)
    assert (good.severity, good.text) == (Severity.OK, "tape answers alice")
    assert (gone.severity, gone.path) == (Severity.PROBLEM, "object_stores.gone")
    assert "is not there" in gone.text
    assert (archive.severity, archive.path) == (Severity.WARNING, "object_stores.archive")
    assert gone.remedy and archive.remedy


def test_catalogs(facts):
    """What is missing and what is no catalog."""
    good, lost, broken = catalogs.judge(facts)
    assert (good.severity, good.text) == (Severity.OK, "good has 1 entries")
    assert (lost.severity, lost.path) == (Severity.PROBLEM, "catalogs[1].url")
    assert lost.text.startswith("lost: catalog ") and lost.text.endswith("lost.yaml is not there")
    assert broken.severity is Severity.PROBLEM
    assert "cannot be read as YAML" in broken.text
    assert lost.remedy and broken.remedy
