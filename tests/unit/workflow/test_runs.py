"""A run is known by user, site and name; its folder remembers what it is."""

import threading
from pathlib import Path

import pytest

from pangeo_hpc.errors import RequestRefused, UnknownName, UsageError
from pangeo_hpc.jobs import Job
from pangeo_hpc.site import Person, Site, load_site
from pangeo_hpc.workflow import runs


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return load_site("local", environ={"HOME": str(tmp_path), "PATH": ""})


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person("alice", 1001, 1001, "science", tmp_path)


def opened(site: Site, person: Person, name: str = "ndvi", **more: object) -> runs.RunFolder:
    given = {"script": Path("/home/alice/ndvi.py"), "arguments": ["1990"], **more}
    return runs.open_run(site, person, name, **given)  # type: ignore[arg-type]


def test_the_same_name_goes_on(site: Site, person: Person) -> None:
    """Opened twice, it is the same run, and it keeps when it was made."""
    first = opened(site, person)
    created = first.record["created"]
    assert opened(site, person) == first
    assert first.record["created"] == created
    assert first.path.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("other", "word"),
    [({"script": Path("/tmp/ndvi.py")}, "script"), ({"arguments": ["1991"]}, "arguments")],
)
def test_another_script_is_refused(
    site: Site, person: Person, other: dict[str, object], word: str
) -> None:
    """Another script or other arguments under a name are a mistake, unless forced."""
    folder = opened(site, person)
    with pytest.raises(UsageError, match=rf"(?s)another {word}|other {word}.*--force"):
        opened(site, person, **other)
    assert folder.record["arguments"] == ["1990"]
    assert opened(site, person, force=True, **other) == folder
    opened(site, person, **other)


def test_the_effective_site_is_kept(site: Site, person: Person) -> None:
    """The job reads the site as it was when the run was opened."""
    folder = opened(site, person)
    kept = load_site(folder.site_file, environ={"HOME": str(person.home), "PATH": ""})
    assert kept.node_types == site.node_types


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "-x", ".hidden"])
def test_bad_names(site: Site, person: Person, name: str) -> None:
    """A name is one plain word, so that it can be a folder and part of a job's name."""
    with pytest.raises(RequestRefused, match="cannot be the name"):
        opened(site, person, name)


def test_attempts_are_numbered_once(site: Site, person: Person) -> None:
    """Eight at the same time get eight different numbers."""
    folder, got = opened(site, person), []
    threads = [
        threading.Thread(target=lambda: got.append(folder.new_attempt()[0])) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(1, 9))


def test_found_by_name_and_by_job(site: Site, person: Person) -> None:
    """A person may say the run's name, the job's id, or a PBS id without its server."""
    folder = opened(site, person)
    _, place = folder.new_attempt()
    Job(name="ndvi-x7k2", folder=place, id="131.pbs-login", state="taken").write()
    for reference in ("ndvi", "131.pbs-login", "131"):
        assert runs.find(site, person, reference) == folder
    with pytest.raises(UnknownName, match="did you mean ndvi"):
        runs.find(site, person, "nvdi")
    with pytest.raises(UnknownName, match="runs list"):
        runs.find(site, person, "13")


def test_nobody_has_runs_yet(site: Site, person: Person) -> None:
    """Before the first run there is no folder, and that is no error."""
    assert runs.all_runs(site, person) == []


def test_the_environment_tells_the_run(tmp_path: Path) -> None:
    """Inside a job the run is told; outside there is none."""
    assert runs.current({}) is None
    assert runs.current({"PANGEO_HPC_RUN": str(tmp_path / "x")}) == runs.RunFolder(tmp_path / "x")
