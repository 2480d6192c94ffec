"""The words of the hub's pages: one catalogue, which a site may translate.

English is ``texts.json`` beside this module. A site's file has the same shape and holds what it
says otherwise; whatever it leaves out stays English.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Formatter
from typing import Any

from pangeo_hpc.errors import Problem, SiteError

ENGLISH = Path(__file__).with_suffix(".json")


class Texts:
    """Say a text of the catalogue: ``texts("form.title")``, with values for its placeholders.

    What is said is plain text: templates escape it, as they escape the values.
    """

    def __init__(self, words: Mapping[str, str]) -> None:
        self._words = dict(words)

    def __call__(self, key: str, **values: object) -> str:
        """Return one text. Raise KeyError for a text or a value that is not there."""
        return self._words[key].format_map(values)

    def raw(self, key: str) -> str:
        """Return one text with its placeholders, for a page's own script."""
        return self._words[key]

    def part(self, prefix: str) -> dict[str, str]:
        """Return the texts below a prefix, with their placeholders, for a page's own script."""
        start = f"{prefix}."
        return {
            key.removeprefix(start): text
            for key, text in self._words.items()
            if key.startswith(start)
        }


def load(site_file: Path | None = None) -> Texts:
    """Return the English texts, with those of a site's file over them.

    Raise SiteError with every key that is not one of ours and every placeholder that ours has not.
    """
    english = dict(_flat(json.loads(ENGLISH.read_text())))
    if site_file is None:
        return Texts(english)
    try:
        given = json.loads(site_file.read_text())
    except OSError as error:
        raise SiteError([Problem("hub.texts", f"{site_file}: {error.strerror}")]) from error
    except ValueError as error:
        raise SiteError([Problem("hub.texts", f"{site_file} is not JSON: {error}")]) from error
    theirs = dict(_flat(given))
    problems = list(_problems(theirs, english))
    if problems:
        raise SiteError(problems)
    return Texts(english | theirs)


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield prefix, value
        return
    for key, each in value.items():
        yield from _flat(each, f"{prefix}.{key}" if prefix else str(key))


def _problems(theirs: Mapping[str, Any], english: Mapping[str, str]) -> Iterator[Problem]:
    for key, text in theirs.items():
        if key not in english:
            yield Problem(f"hub.texts: {key}", "there is no such text")
        elif not isinstance(text, str):
            yield Problem(f"hub.texts: {key}", "is not text")
        elif not _fields(text) <= _fields(english[key]):
            allowed = ", ".join(f"{{{name}}}" for name in sorted(_fields(english[key])))
            hint = f"it may have {allowed}" if allowed else "it has none; write {{ for a brace"
            yield Problem(f"hub.texts: {key}", "has a placeholder that is not known here", hint)


def _fields(text: str) -> set[str]:
    """Return the placeholders of a text; one that cannot be read is one that nobody has."""
    try:
        return {
            f"{name}{mark or ''}{detail}"
            for _, name, detail, mark in Formatter().parse(text)
            if name is not None
        }
    except ValueError:
        return {"\0"}
