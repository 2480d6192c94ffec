"""What makes units stale: the script, its repository, the environment, the inputs, or a key."""

from pathlib import Path
from typing import Any

import pytest

from pangeo_hpc.run import Command, run
from pangeo_hpc.workflow.writing import digest as module
from pangeo_hpc.workflow.writing.digest import Digest, changes, digest, installed, repository


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A Git repository with a script."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "script.py").write_text("1")
    (folder / "notes.md").write_text("1")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    commit(folder)
    return folder


def git(folder: Path, *words: str) -> None:
    result = run(Command(("git", "-C", str(folder), *words)))
    assert result.returncode == 0, result.words


def commit(folder: Path) -> None:
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qam", "notes")


def made(folder: Path, key: str | None = None, **inputs: str) -> Digest:
    repository.cache_clear()
    return digest(folder / "script.py", "code", inputs, key)


def test_a_commit_and_changes_of_tracked_files_count(project: Path) -> None:
    """And the person reads which files differ; what Git does not know is not looked at."""
    first = made(project)
    assert first.parts["git"]["dirty"] is None
    (project / "out.log").write_text("untracked")
    assert made(project).text == first.text
    (project / "notes.md").write_text("2")
    dirty = made(project)
    assert dirty.text != first.text
    (told,) = changes(first.dump(), dirty, project / "script.py")
    assert told == "files of the script's repository differ from what was there: notes.md"
    commit(project)
    clean = made(project)
    assert clean.text not in (first.text, dirty.text)
    (told,) = changes(first.dump(), clean, project / "script.py")
    assert told.startswith(f"the script's repository was at {first.parts['git']['commit'][:10]}")
    assert told.endswith(": notes.md")
    assert changes(clean.dump(), made(project), project / "script.py") == []


def test_git_starts_nothing_that_a_repository_names(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its monitor nor its converters; and variables of another repository are not taken."""
    first = made(project)
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(0o755)
    for name in ("core.fsmonitor", "diff.external", "diff.x.textconv", "core.pager"):
        git(project, "config", name, str(program))
    (project / ".git" / "info" / "attributes").write_text("* diff=x\n")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    (project / "notes.md").write_text("3")
    now = made(project)
    assert now.parts["git"]["commit"] == first.parts["git"]["commit"]
    assert now.parts["git"]["dirty"] is not None
    assert changes(first.dump(), now, project / "script.py")[0].endswith(": notes.md")
    assert not (tmp_path / "started").exists()


def test_without_git_there_is_no_repository(project: Path, tmp_path: Path) -> None:
    """Neither is in a notebook, nor where Git is missing."""
    (tmp_path / "alone").mkdir()
    assert made(tmp_path / "alone").parts["git"] is None
    assert digest(None, None, {}, None).parts["git"] is None
    (told,) = changes(made(project).dump(), made(tmp_path / "alone"), None)
    assert told == "the script's Git repository is gone"


def test_a_key_stands_for_script_repository_and_environment(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inputs count all the same."""
    first = made(project, key="v1")
    (project / "notes.md").write_text("2")
    monkeypatch.setattr(module, "installed", lambda: {"numpy": "1"})
    assert made(project, key="v1").text == first.text
    assert made(project, key="v2").text != first.text
    assert made(project, key="v1", a="1").text != first.text
    assert changes(first.dump(), made(project, key="v2"), None) == ["key was 'v1' and is 'v2'"]


def test_packages_that_changed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first few, with both versions; those that only talk to a person do not count."""
    assert "numpy" in installed()
    assert "python" in installed()
    assert not {"pip", "ipykernel"} & set(installed())

    def having(**packages: str) -> Digest:
        monkeypatch.setattr(module, "installed", lambda: packages)
        return digest(None, "code", {}, None)

    old = having(numpy="1.0", a="1", **{f"p{i}": "1" for i in range(6)})
    new = having(numpy="2.0", b="1", **{f"p{i}": "2" for i in range(6)})
    (told,) = changes(old.dump(), new, None)
    assert told.startswith("the environment has changed: a 1 → none, b none → 1, numpy 1.0 → 2.0")
    assert told.endswith("4 more")


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ({"a": "1"}, {"a": "2"}, "input a has changed"),
        ({"a": "1"}, {}, "input a is no longer read"),
        ({}, {"a": "1"}, "input a is new"),
    ],
)
def test_inputs_are_named(was: dict[str, str], now: dict[str, str], told: str) -> None:
    """By their paths."""
    old: dict[str, Any] = digest(None, "code", was, None).dump()
    assert changes(old, digest(None, "code", now, None), None) == [told]
