"""The words that people see on the hub's pages and in JupyterLab: one catalogue, for all floors.

English is ``texts.json`` beside this module. A site's file has the same shape and holds what it
says otherwise; whatever it leaves out stays English. Whoever knows what is to be said, but not in
which language, hands a `Phrase` on.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

from pangeo_hpc.errors import Problem, SiteError

ENGLISH = Path(__file__).with_suffix(".json")
# What pages are marked with, and browsers write times by.
LANGUAGE = "form.language"
_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_UNITS = {"day": 86400, "hour": 3600, "minute": 60, "second": 1}


@dataclass(frozen=True)
class Phrase:
    """A text that is not said yet: its key, and what its placeholders stand for.

    A value may be a phrase itself.
    """

    key: str
    values: Mapping[str, object] = field(default_factory=dict, hash=False)


def phrase(key: str, /, **values: object) -> Phrase:
    """Return a text of the catalogue that somebody else will say."""
    return Phrase(key, values)


class Unreadable(ValueError):
    """What somebody typed is no such value; the text is one of the catalogue, in English."""

    def __init__(self, key: str, /, **values: str) -> None:
        super().__init__(english()(key, **values))
        self.key, self.values = key, values


def problem(path: str, key: str, hint_key: str = "", /, **values: str) -> Problem:
    """Return a problem whose text and hint are of the catalogue: in English, until it is shown."""
    text = english()(key, **values)
    hint = english()(hint_key, **values) if hint_key else None
    return Problem(path, text, hint, key=key, hint_key=hint_key, values=values)


class Texts:
    """Say a text of the catalogue: ``texts("form.title")``, with values for its placeholders.

    What is said is plain text: templates escape it, as they escape the values.
    """

    def __init__(self, words: Mapping[str, str]) -> None:
        self._words = dict(words)

    def __call__(self, key: str, /, **values: object) -> str:
        """Return one text. Raise KeyError for a text or a value that is not there."""
        return self._words[key].format_map(values)

    def say(self, what: Phrase) -> str:
        """Return what a phrase says. Raise KeyError for a text or a value that is not there."""
        values = {
            name: self.say(value) if isinstance(value, Phrase) else value
            for name, value in what.values.items()
        }
        return self(what.key, **values)

    def problem(self, what: Problem) -> Problem:
        """Return a problem in the words of this catalogue; as it is, if it is none of its texts."""
        try:
            text = self(what.key, **what.values)
            hint = self(what.hint_key, **what.values) if what.hint_key else what.hint
        except KeyError:
            return what
        return replace(what, text=text, hint=hint)

    def duration(self, time: timedelta) -> str:
        """Return a duration in its two largest units: ``2 days 3 hours``."""
        rest, parts = round(time.total_seconds()), list[str]()
        for name, seconds in _UNITS.items():
            number, rest = divmod(rest, seconds)
            if number or (name == "second" and not parts):
                form = "one" if number == 1 else "many"
                parts.append(self(f"units.{name}_{form}", number=number))
        return " ".join(parts[:2])

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

    Raise SiteError with every key that is not one of ours, and every text whose placeholders are
    not those of the English one.
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


@cache
def english() -> Texts:
    """Return the catalogue as it is, for what is said on a command line."""
    return load()


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield prefix, value
        return
    for key, each in value.items():
        yield from _flat(each, f"{prefix}.{key}" if prefix else str(key))


def _problems(theirs: Mapping[str, Any], english: Mapping[str, str]) -> Iterator[Problem]:
    for key, text in theirs.items():
        path = f"hub.texts: {key}"
        if key not in english:
            yield Problem(path, "there is no such text")
            continue
        if not isinstance(text, str):
            yield Problem(path, "is not text")
            continue
        if key == LANGUAGE and not _TAG.fullmatch(text):
            yield Problem(path, f"{text!r} names no language", "write it as de or pt-BR")
        ours, found = fields_of(english[key]), fields_of(text)
        if not found <= ours:
            hint = f"it has {_listed(ours)}" if ours else "it has none; write {{ for a brace"
            yield Problem(path, "has a placeholder that is not known here", hint)
        elif found != ours:
            yield Problem(path, f"lacks {_listed(ours - found)}", f"it has {_listed(ours)}")


def _listed(names: set[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names))


def fields_of(text: str) -> set[str]:
    """Return the placeholders of a text; one that cannot be read is one that nobody has."""
    try:
        return {
            f"{name}{mark or ''}{detail}"
            for _, name, detail, mark in Formatter().parse(text)
            if name is not None
        }
    except ValueError:
        return {"\0"}
