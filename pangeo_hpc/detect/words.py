"""Words of a draft: names, and what a machine says of itself made fit for one line of YAML."""

import re

_YAML_WORDS = ("null", "true", "false", "yes", "no", "on", "off")


def plain_name(text: str, otherwise: str) -> str:
    """Return a name for a key of the YAML that is as near to a text as can be."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:63]
    return plain or otherwise


def quoted(text: str) -> str:
    """Return a name as YAML, in quotes where it could be taken for something else."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", text) and text.lower() not in _YAML_WORDS
    return text if plain else f'"{text}"'


def one_line(text: str) -> str:
    """Return what a program said, on one line and not too long."""
    return printable(" ".join(text.split()))[:200]


def printable(line: str) -> str:
    """Return a line without control characters, which YAML does not take."""
    return "".join(character if character.isprintable() else " " for character in line)
