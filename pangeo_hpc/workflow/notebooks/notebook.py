"""Notebooks as programs of runs: what is checked before one is submitted, and its parameters.

The format is nbformat 4; a parameter is a name assigned in the cell with the tag ``parameters``, as
papermill has it. Nothing here needs papermill or a kernel.
"""

import ast
import hashlib
import json
import keyword
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pangeo_hpc import files
from pangeo_hpc.errors import Problem, RequestRefused, UsageError

SUFFIX = ".ipynb"
# Tells the kernel which notebook it computes: there is no script in a kernel.
NOTEBOOK = "PANGEO_HPC_NOTEBOOK"
PROGRAM = "pangeo_hpc.workflow.notebooks.job"
NEEDED = ("papermill", "ipykernel")
TAG = "parameters"
INSTALL = "install them in that environment: pip install 'pangeo-hpc[notebooks]'"

_WORDS = {"True": True, "False": False, "None": None, "true": True, "false": False, "null": None}
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def is_notebook(path: Path) -> bool:
    """Tell whether a file is a notebook, by its name."""
    return path.suffix == SUFFIX


def read(path: Path) -> dict[str, Any]:
    """Return a notebook as plain JSON.

    Raise UsageError if it is no JSON, no notebook of format 4, or not for Python.
    """
    with files.refusals(path):
        text = path.read_bytes()
    try:
        notebook: dict[str, Any] = json.loads(text)
    except ValueError as error:
        hint = "is it whole? open and save it in JupyterLab"
        raise UsageError(f"{path} is not valid JSON: {error}", hint=hint) from error
    lacking = _lacking(notebook)
    if lacking:
        hint = "notebooks of format 3 and older: open and save it in JupyterLab"
        raise UsageError(f"{path} is not a notebook of format 4: {lacking}", hint=hint)
    language = _language(notebook)
    if language not in (None, "python"):
        text_ = f"{path} is a notebook for {language}"
        raise UsageError(text_, hint="runs compute in Python, the one of their environment")
    return notebook


def _lacking(notebook: Any) -> str:
    """Return what keeps JSON from being a notebook; empty if nothing that matters here does."""
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        return "it has no cells"
    if notebook.get("nbformat") != 4 or not isinstance(notebook.get("nbformat_minor"), int):
        return "nbformat and nbformat_minor do not say so"
    if not isinstance(notebook.get("metadata", {}), dict):
        return "its metadata are none"
    if not all(isinstance(each, dict) and "source" in each for each in notebook["cells"]):
        return "one of its cells has no source"
    return ""


def _language(notebook: Mapping[str, Any]) -> str | None:
    """Return the language a notebook says it is in, None if it does not say."""
    metadata = notebook.get("metadata") or {}
    told = (metadata.get("kernelspec") or {}).get("language")
    told = told or (metadata.get("language_info") or {}).get("name")
    return str(told).lower() if told else None


def digest(path: Path) -> str:
    """Return a digest of the source of a notebook's code cells.

    Outputs, text and metadata do not count: running a notebook in JupyterLab does not change it.
    """
    sources = [source(cell) for cell in read(path)["cells"] if cell.get("cell_type") == "code"]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def source(cell: Mapping[str, Any]) -> str:
    """Return the source of a cell, which JSON may keep as lines."""
    kept = cell.get("source", "")
    return "".join(kept) if isinstance(kept, list) else str(kept)


def parameters(arguments: Sequence[str]) -> dict[str, Any]:
    """Return parameters from words such as ``year=1990``; values are typed by `value_of`.

    Raise RequestRefused with everything that is wrong in them.
    """
    found: dict[str, Any] = {}
    problems = []
    for word in arguments:
        name, equals, text = word.partition("=")
        if not equals:
            hint = "write parameters of a notebook as name=value"
            problems.append(Problem("", f"{word!r} is not a parameter", hint))
        elif not name.isidentifier() or keyword.iskeyword(name):
            hint = "use a name that Python can assign to"
            problems.append(Problem("", f"{name!r} cannot be the name of a parameter", hint))
        elif name in found:
            problems.append(Problem("", f"parameter {name} is given twice", "give it once"))
        else:
            found[name] = value_of(text)
    if problems:
        raise RequestRefused(problems)
    return found


def value_of(text: str) -> Any:
    """Return the value a word stands for: a number, a truth value, none, JSON, else the text.

    Numbers with leading zeros are text: ``007`` names a member.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and not re.match(r"[+-]?0[0-9]", text):
        return float(text)
    if text[:1] in ('"', "[", "{"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def word_of(name: str, value: Any) -> str:
    """Return the word that `parameters` reads as this name and value.

    Raise UsageError for a value that is neither plain nor JSON.
    """
    if isinstance(value, str) and value_of(value) == value:
        return f"{name}={value}"
    try:
        return f"{name}={json.dumps(value)}"
    except (TypeError, ValueError) as error:
        hint = "parameters are numbers, text, truth values, and lists or dictionaries of these"
        raise UsageError(f"parameter {name}: {value!r} cannot be told", hint=hint) from error


def check(path: Path, arguments: Sequence[str]) -> list[str]:
    """Check a notebook and its parameters; return warnings about names that it does not have.

    Raise UsageError for something that is not a Python notebook, or has parameters but no cell
    that takes them, and RequestRefused for words that are no parameters.
    """
    notebook = read(path)
    given = parameters(arguments)
    if not given:
        return []
    cells = [cell for cell in notebook["cells"] if TAG in _tags(cell)]
    if not cells:
        text = f"{path} has no cell that takes parameters"
        hint = f"give the cell with their defaults the tag {TAG!r} (JupyterLab: property inspector)"
        raise UsageError(text, hint=hint)
    known = _assigned(source(cells[0]))
    if known is None:
        return []
    warnings = []
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, 1)
            guess = f"did you mean {near[0]}?" if near else f"it has {', '.join(known) or 'none'}"
            warnings.append(f"the notebook has no parameter {name}; {guess}")
    return warnings


def _tags(cell: Mapping[str, Any]) -> list[str]:
    return list((cell.get("metadata") or {}).get("tags") or [])


def _assigned(code: str) -> list[str] | None:
    """Return the names that code assigns to at its top level, None if it is not plain Python."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return None
    found = []
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        for target in targets:
            found += [each.id for each in ast.walk(target) if isinstance(each, ast.Name)]
    return found


def executed(attempt: Path) -> Path | None:
    """Return the executed notebook of an attempt, None if it has none."""
    return next(iter(sorted(attempt.glob(f"[!.]*{SUFFIX}"))), None)
