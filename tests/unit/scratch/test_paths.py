"""Where a user's scratch is."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pangeo_hpc import scratch
from pangeo_hpc.errors import UnknownName, UsageError
from pangeo_hpc.site import Person, Site, load_site

SITE = """\
name: alpha
scheduler: local
node_types:
  one: {{cores: 1, memory: 1 GiB, walltime: "01:00:00"}}
scratch:
  fast:
    path: "{root}/fast/{{user}}"
    default: true
    purge: {{after: 60 days, by: newest, enforced_by: site}}
  slow: {{path: "{root}/slow/{{user}}"}}
  ours:
    root: "{root}/ours"
    path: "{root}/ours/{{user}}"
    purge: {{after: 30 days, grace: 7 days, enforced_by: pangeo-hpc}}
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    path = tmp_path / "site.yaml"
    path.write_text(SITE.format(root=tmp_path))
    return load_site(path, environ={"HOME": str(tmp_path), "PATH": ""})


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person("alice", 1001, 1001, "science", tmp_path)


def test_roots(site: Site, person: Person, tmp_path: Path) -> None:
    """The default filesystem, or another by its name."""
    assert scratch.root(site, person) == tmp_path / "fast" / "alice"
    assert scratch.root(site, person, "slow") == tmp_path / "slow" / "alice"
    told = scratch.variable(site, person)
    assert told["PANGEO_SCRATCH"] == str(tmp_path / "fast" / "alice")
    with pytest.raises(UnknownName, match="did you mean slow"):
        scratch.root(site, person, "slwo")


def test_a_path_below(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative names lie below scratch, whose directory is made; absolute ones stay."""
    monkeypatch.setenv("PANGEO_SCRATCH", str(tmp_path / "given"))
    assert scratch.path("a/b.zarr") == tmp_path / "given" / "a" / "b.zarr"
    assert (tmp_path / "given").stat().st_mode & 0o777 == 0o700
    assert not (tmp_path / "given" / "a").exists()
    assert scratch.path("/elsewhere/x") == Path("/elsewhere/x")
    assert scratch.path() == tmp_path / "given"


def test_a_named_site_comes_before_the_job(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who names a site gets its scratch, whatever the job was given."""
    monkeypatch.setenv("PANGEO_SCRATCH", str(tmp_path / "given"))
    assert scratch.path("x", site=site).parent.parent == tmp_path / "fast"


@pytest.mark.parametrize("name", ["..", "a/../../b", "../x"])
def test_no_way_out(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative name does not leave scratch by mistake."""
    monkeypatch.setenv("PANGEO_SCRATCH", str(tmp_path))
    with pytest.raises(UsageError, match="leaves your scratch"):
        scratch.path(name)


def test_a_site_without_scratch(tmp_path: Path, person: Person) -> None:
    """There is a place in the user's home then, and nothing is purged."""
    path = tmp_path / "bare.yaml"
    path.write_text(SITE.partition("scratch:")[0].replace("{{", "{").replace("}}", "}"))
    bare = load_site(path, environ={"HOME": str(tmp_path), "PATH": ""})
    assert scratch.root(bare, person) == tmp_path / "pangeo-scratch"
    assert scratch.keep_until(bare) is None


def test_when_it_may_be_purged(site: Site) -> None:
    """So many days after it was written, by the site's own rule."""
    written = datetime(2026, 1, 1, tzinfo=UTC)
    assert scratch.keep_until(site, written) == written + timedelta(days=60)
    assert scratch.keep_until(site, written, "slow") is None
    assert scratch.keep_until(site, written, "ours") == written + timedelta(days=37)
