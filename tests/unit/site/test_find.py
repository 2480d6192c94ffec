"""Where the site is looked for, and in which order."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pangeo_hpc.errors import Exit, SiteError, SiteNotFound
from pangeo_hpc.site import find, load, load_site, shipped


@pytest.fixture
def write(small: Path) -> Callable[[Path, str], Path]:
    text = small.read_text()

    def write(path: Path, name: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("name: alpha", f"name: {name}"))
        return path

    return write


def test_the_first_of_the_usual_places_wins(tmp_path, environ, write):
    """--site, PANGEO_HPC_SITE, the user's file, the system's file, then the built-in site."""
    assert load_site(environ=environ).name == "local"
    write(find.SYSTEM_FILE, "system")
    assert load_site(environ=environ).name == "system"
    write(Path(environ["HOME"]) / ".config/pangeo-hpc/site.yaml", "users")
    assert load_site(environ=environ).name == "users"
    environ["PANGEO_HPC_SITE"] = str(write(tmp_path / "variable.yaml", "variable"))
    assert load_site(environ=environ).name == "variable"
    assert load_site(write(tmp_path / "asked.yaml", "asked"), environ=environ).name == "asked"
    environ["PANGEO_HPC_SITE"] = ""
    assert load_site(environ=environ).name == "users"


@pytest.mark.parametrize("program", ["sbatch", "qsub"])
def test_a_scheduler_without_a_site_is_no_laptop(program, environ):
    """Nothing computes on a login node by accident; local must be asked for by name."""
    path = Path(environ["PATH"]) / program
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    with pytest.raises(SiteNotFound) as caught:
        load_site(environ=environ)
    assert caught.value.exit_code == Exit.SITE
    assert program in caught.value.text
    assert "pangeo-hpc site init" in caught.value.hint
    assert "--site local" in caught.value.hint
    assert load_site("local", environ=environ).name == "local"


def test_a_name_is_one_of_those_that_are_shipped(environ, tmp_path, monkeypatch, write):
    """A bare word is a name first, and a file of the working directory second."""
    monkeypatch.chdir(tmp_path)
    names = [name for name, _ in shipped()]
    assert names == sorted(names)
    for name in names:
        assert load_site(name, environ=environ).name == name
    write(tmp_path / "mine", "mine")
    assert load_site("mine", environ=environ).name == "mine"
    with pytest.raises(SiteNotFound, match="no site named locla") as caught:
        load_site("locla", environ=environ)
    assert caught.value.hint.startswith("did you mean local?")


def test_a_path_that_is_not_there_is_told(environ, tmp_path):
    """So is a directory in place of a file."""
    with pytest.raises(SiteNotFound, match=r"nowhere.yaml does not exist"):
        load_site(tmp_path / "nowhere.yaml", environ=environ)
    with pytest.raises(SiteNotFound, match="is not a file"):
        load_site(f"{tmp_path}/", environ=environ)
    environ["PANGEO_HPC_SITE"] = "nowhere/site.yaml"
    with pytest.raises(SiteNotFound, match=r"nowhere/site.yaml does not exist"):
        load_site(environ=environ)


def test_a_file_that_cannot_be_read_is_a_site_error(environ, tmp_path, monkeypatch):
    """Permission and encoding are told with the name of the file."""
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: alpha\ndescription: Zürich\n".encode("latin-1"))
    with pytest.raises(SiteError, match=r"latin.yaml:2: it is not UTF-8 text"):
        load_site(path, environ=environ)

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(SiteError, match="it cannot be read: Permission denied") as caught:
        load_site(path, environ=environ)
    assert caught.value.exit_code == Exit.SITE


def test_a_byte_order_mark_is_no_mistake(environ, tmp_path, small):
    """Editors of another system write one."""
    path = tmp_path / "site.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + small.read_bytes())
    assert load_site(path, environ=environ).name == "alpha"


def test_the_file_is_named_as_it_was_asked_for(environ, small, monkeypatch):
    """A message about alpha.yaml says alpha.yaml, and relative paths start from its folder."""
    monkeypatch.chdir(small.parent)
    loaded = load("./alpha.yaml", environ=environ)
    assert loaded.source.shown == "./alpha.yaml"
    assert loaded.source.path == small
    assert os.fspath(loaded.source.folder) == str(small.parent)
