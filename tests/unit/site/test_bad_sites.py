"""Each file of tests/bad-sites is one mistake; the text beside it is all a person is told."""

from pathlib import Path

import pytest
import yaml

from pangeo_hpc.errors import Exit, SiteError
from pangeo_hpc.site import load_site

FOLDER = Path(__file__).parents[2] / "bad-sites"
FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_message_is_exactly_the_one_beside_the_file(path, environ, monkeypatch):
    """The whole message, with file, line, key and hint, is as it was agreed; the code is 3."""
    monkeypatch.chdir(FOLDER)
    with pytest.raises(SiteError) as caught:
        load_site(Path(path.name), environ=environ)
    assert f"{caught.value}\n" == path.with_suffix(".txt").read_text()
    assert caught.value.exit_code == Exit.SITE == 3


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_problem_is_told_with_place_and_next_step(path, environ):
    """Each problem has a line and a hint, is not a sentence with a full stop, and is ours."""
    with pytest.raises(SiteError) as caught:
        load_site(path, environ=environ)
    lines = [problem.line for problem in caught.value.problems]
    assert lines == sorted(lines)
    for problem in caught.value.problems:
        assert problem.file == str(path)
        assert problem.line
        assert problem.hint
        assert not problem.text.endswith(".")
        for foreign in ("pydantic", "input should", "value error", "validation error"):
            assert foreign not in str(problem).lower()


def test_there_are_many_and_one_tells_several():
    """There are at least thirty mistakes, and nothing in the folder lacks its other half."""
    names = {path.stem for path in FILES}
    assert len(names) >= 30
    assert names == {path.stem for path in FOLDER.glob("*.txt")}
    assert (FOLDER / "several-mistakes.txt").read_text().count("hint:") >= 10


def test_most_of_them_are_seen_by_an_editor_too(schema_check):
    """The JSON Schema refuses what does not need two values to be compared."""
    told = []
    for path in FILES:
        try:
            value = yaml.safe_load(path.read_text())
        except yaml.YAMLError:
            told.append(path.stem)
            continue
        if not schema_check.is_valid(value):
            told.append(path.stem)
    assert len(told) > len(FILES) // 3
    assert {"unknown-key", "memory-without-unit", "walltime-two-fields", "uses-unknown"} <= set(
        told
    )
