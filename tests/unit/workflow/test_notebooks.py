"""Notebooks before they run: what one is, its parameters, and what of it counts as code."""

import json
from pathlib import Path
from typing import Any

import pytest

from pangeo_hpc.errors import RequestRefused, UsageError
from pangeo_hpc.workflow import origin
from pangeo_hpc.workflow.notebooks import notebook as notebooks


def write(path: Path, *cells: Any, **metadata: Any) -> Path:
    """Write a notebook; a cell that assigns a year takes parameters."""
    made = [
        {
            "cell_type": "code",
            "source": source,
            "metadata": {"tags": ["parameters"]} if "year = 1" in "".join(source) else {},
            "outputs": [],
            "execution_count": None,
        }
        for source in cells
    ]
    about = metadata or {"kernelspec": {"name": "python3", "language": "python"}}
    told = {"nbformat": 4, "nbformat_minor": 4, "metadata": about, "cells": made}
    path.write_text(json.dumps(told))
    return path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1990", 1990),
        ("-3", -3),
        ("0", 0),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("True", True),
        ("false", False),
        ("None", None),
        ("null", None),
        ("tas", "tas"),
        ("007", "007"),
        ("00.5", "00.5"),
        ("1_000", "1_000"),
        ("1990-01-01", "1990-01-01"),
        ("", ""),
        ("[1, 2]", [1, 2]),
        ('{"a": 1}', {"a": 1}),
        ('"1990"', "1990"),
        ("[broken", "[broken"),
    ],
)
def test_values_are_typed(text: str, value: Any) -> None:
    """Numbers, truth values and JSON are what they look like; the rest is text."""
    found = notebooks.value_of(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "value", [1990, 0.25, True, None, "tas", "1990", "007", "", "true", [1, "a"], {"a": [1]}, 1e22]
)
def test_words_and_values_are_one(value: Any) -> None:
    """What a chain tells a notebook is what the notebook gets."""
    name, found = next(iter(notebooks.parameters([notebooks.word_of("p", value)]).items()))
    assert (name, found) == ("p", value)
    assert type(found) is type(value)


def test_every_wrong_word_is_told() -> None:
    """A word without =, a name Python cannot assign, and one given twice, at once."""
    with pytest.raises(RequestRefused) as caught:
        notebooks.parameters(["year", "2x=1", "class=1", "a=1", "a=2"])
    told = [problem.text for problem in caught.value.problems]
    assert told == [
        "'year' is not a parameter",
        "'2x' cannot be the name of a parameter",
        "'class' cannot be the name of a parameter",
        "parameter a is given twice",
    ]


def test_values_that_cannot_be_told() -> None:
    """An object is refused where the chain is written, not in the job."""
    with pytest.raises(UsageError, match="parameter when"):
        notebooks.word_of("when", object())


def test_unknown_names_are_guessed(tmp_path: Path) -> None:
    """A parameter the notebook does not have is a warning; of magic nothing is known."""
    path = write(tmp_path / "a.ipynb", ["year = 1\n", "model: str = 'x'"])
    assert notebooks.check(path, ["year=2", "model=y"]) == []
    (warning,) = notebooks.check(path, ["modl=y"])
    assert "no parameter modl; did you mean model?" in warning
    (warning,) = notebooks.check(path, ["zzz=1"])
    assert "it has year, model" in warning
    magic = write(tmp_path / "magic.ipynb", "%matplotlib inline\nyear = 1")
    assert notebooks.check(magic, ["anything=1"]) == []


def test_no_cell_for_parameters(tmp_path: Path) -> None:
    """Without a cell that takes them, parameters are refused; without parameters it is fine."""
    path = write(tmp_path / "a.ipynb", "print(1)")
    assert notebooks.check(path, []) == []
    with pytest.raises(UsageError, match="no cell that takes parameters") as caught:
        notebooks.check(path, ["a=1"])
    assert "'parameters'" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[]", "no cells"),
        ('{"worksheets": [], "nbformat": 3}', "no cells"),
        ('{"cells": [], "nbformat": 4}', "do not say so"),
        ('{"cells": [3], "nbformat": 4, "nbformat_minor": 5}', "no source"),
        ('{"cells": [], "nbformat": 4, "nbformat_minor": 5, "metadata": []}', "metadata"),
    ],
)
def test_what_is_no_notebook(tmp_path: Path, text: str, words: str) -> None:
    """Half a file, another format, another kind of file: each is told with a hint."""
    path = tmp_path / "a.ipynb"
    path.write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        notebooks.read(path)
    assert caught.value.hint


def test_another_language(tmp_path: Path) -> None:
    """A notebook for R is refused; one that does not say its language is taken."""
    told = {"kernelspec": {"name": "ir", "language": "R"}}
    with pytest.raises(UsageError, match="for r"):
        notebooks.read(write(tmp_path / "r.ipynb", "1", **told))
    plain = write(tmp_path / "plain.ipynb", "1", orig_nbformat=4)
    assert notebooks.read(plain)["cells"]


def test_code_is_the_source_of_cells(tmp_path: Path) -> None:
    """Running a notebook does not change its code; editing a cell does."""
    path = write(tmp_path / "a.ipynb", "x = 1", "x + 1")
    before = origin.digest_of_code(path)
    kept = json.loads(path.read_text())
    kept["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "2"}]
    kept["cells"][1]["execution_count"] = 7
    kept["cells"].insert(0, {"cell_type": "markdown", "source": "# Why", "metadata": {}})
    kept["metadata"]["widgets"] = {}
    path.write_text(json.dumps(kept))
    assert origin.digest_of_code(path) == before
    kept["cells"][2]["source"] = ["x + ", "2"]
    path.write_text(json.dumps(kept))
    assert origin.digest_of_code(path) != before
