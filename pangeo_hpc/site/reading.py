"""How a value is read: from the raw text of a file, or as Python already typed it.

Each reader takes one value and returns what the field wants, or raises `Wrong`.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic_core.core_schema import ValidationInfo

from pangeo_hpc.site.people import SESSION_VARIABLE
from pangeo_hpc.site.tree import Scalar


class Wrong(ValueError):
    """A value that cannot be used, with the next step as its hint."""

    def __init__(self, text: str, hint: str | None = None) -> None:
        super().__init__(text)
        self.text, self.hint = text, hint


def shown(value: object) -> str:
    """Return a value as a person wrote it, short enough for a message."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple | set | frozenset):
        return "a list"
    text = str(value)
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def raw_text(value: object, what: str) -> str:
    """Return text as it was typed. Raise Wrong for lists, mappings and Python's own numbers."""
    if isinstance(value, Path):
        return str(value)
    if not isinstance(value, str):
        raise Wrong(f"{shown(value)} is not {what}", f"write {what} here")
    return str.__str__(value)


def read_text(value: object) -> str:
    """Return text that is not empty."""
    text = raw_text(value, "text").strip()
    if not text:
        raise Wrong("the text is empty", "write something, or remove the key")
    return text


def read_remark(value: object) -> str:
    """Return text for people on one line; it may be empty."""
    text = " ".join(raw_text(value, "text").split())
    if not text.isprintable():
        raise Wrong("there are control characters in it", "write plain text")
    return text


def read_line(value: object) -> str:
    """Return one line of text without control characters."""
    text = read_text(value)
    if not text.isprintable():
        raise Wrong("this must be one line without control characters", "write it as one line")
    return text


def read_word(value: object) -> str:
    """Return a name that can stand on a command line and in a path."""
    text = read_line(value)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", text):
        hint = "use letters, digits, dot, dash and underscore, a letter or digit first, at most 63"
        raise Wrong(f"{shown(text)} is not a name", hint)
    return text


def read_token(value: object) -> str:
    """Return text without blanks: names that the scheduler knows."""
    text = read_line(value)
    if re.search(r"\s", text) or text.startswith("-"):
        hint = "write it without blanks, a letter or digit first"
        raise Wrong(f"{shown(text)} is not one word", hint)
    return text


def read_choice(value: object) -> str:
    """Return a word of a fixed list as it was typed; the list itself is checked after this."""
    return raw_text(value, "a word").strip()


def read_variable(value: object) -> str:
    """Return the name of an environment variable."""
    text = read_line(value)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        hint = "use letters, digits and underscore"
        raise Wrong(f"{shown(text)} is not the name of an environment variable", hint)
    return text


def read_option(value: object) -> str:
    """Return a short option of a command, such as -A."""
    text = read_line(value)
    if not re.fullmatch(r"-[A-Za-z]", text):
        raise Wrong(f"{shown(text)} is not an option", "write a dash and one letter, as in -A")
    return text


def read_account(value: object) -> str:
    """Return a rule for accounts, and refuse what YAML readers take for true and false."""
    text = read_token(value)
    plain = not isinstance(value, Scalar) or value.plain
    if plain and text.lower() in ("yes", "no", "true", "false", "on", "off"):
        hint = "write required, optional or none; quote it if an account has that name"
        raise Wrong(f"{shown(text)} is no rule for accounts", hint)
    return text


def read_module(value: object) -> str:
    """Return the name of a module, which a shell reads as one plain word."""
    text = read_token(value)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+/:=@-]*", text):
        hint = "write what follows `module load`, one module per item"
        raise Wrong(f"{shown(text)} is not the name of a module", hint)
    return text


def read_bucket(value: object) -> str:
    """Return a bucket, and perhaps a folder in it; it may hold placeholders."""
    text = read_token(value)
    if not re.fullmatch(r"[A-Za-z0-9{][A-Za-z0-9._/{}\[\]-]*", text):
        raise Wrong(f"{shown(text)} is not the name of a bucket", "write it without s3://")
    return text


def read_account_name(value: object) -> str:
    """Return an account or a project, which stands in paths and job headers."""
    text = read_token(value)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@+:-]*", text) or ".." in text:
        hint = "use letters, digits, dot, dash, plus, colon, @ and underscore"
        raise Wrong(f"{shown(text)} cannot be an account or a project", hint)
    return text


def read_source(value: object, info: ValidationInfo) -> str:
    """Return an address, or the path of a file."""
    text = read_line(value)
    return text if "://" in text else read_template(text, info)


def _placed(text: str, info: ValidationInfo) -> str:
    """Return a path below the folder of the file it stands in, unless it is absolute."""
    context = info.context or {}
    if text.startswith(("/", "~")) or "base" not in context:
        return text
    return str(_normal(Path(context["base"]) / text))


def _normal(path: Path) -> Path:
    """Return a path without ``..``, symlinks untouched."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts and parts[-1] not in ("/", ".."):
            parts.pop()
        elif part != ".":
            parts.append(part)
    return Path(*parts)


def read_template(value: object, info: ValidationInfo) -> str:
    """Return a path that may hold placeholders; a relative one is below the folder of the file."""
    text = read_line(value)
    if "$" in text:
        hint = "use {user}, {user[0]}, {group}, {project} or ~, which work for everybody"
        raise Wrong(f"{shown(text)} has a shell variable, which is not expanded here", hint)
    if text.startswith("~") and not re.match(r"~(/|$)", text):
        raise Wrong(f"{shown(text)} names another user's home", "write the whole path")
    return _placed(text, info)


def read_user_path(value: object, info: ValidationInfo) -> str:
    """Return a user's path: it may begin with a variable of their session, as in ``$SCRATCH``."""
    text = read_line(value)
    variable = SESSION_VARIABLE.match(text)
    if variable is None:
        return read_template(value, info)
    rest = text[variable.end() :]
    return variable[0] + (read_template(rest, info) if rest else "")


def read_path(value: object, info: ValidationInfo) -> Path:
    """Return a path that is the same for all users; ``~`` is the home of who loads the file."""
    if isinstance(value, Path):
        return value
    text = read_template(value, info)
    if "{" in text:
        raise Wrong(f"{shown(text)} has a placeholder", "this path is the same for all users")
    if text.startswith("~"):
        home = (info.context or {}).get("home")
        text = str(Path(home or Path.home()) / text[1:].lstrip("/"))
    return _normal(Path(text))


def read_url(value: object) -> str:
    """Return the address of a web server, without user, query or fragment."""
    text = read_line(value)
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", text):
        hint = "write http:// or https://, a host, and perhaps a port and a path"
        raise Wrong(f"{shown(text)} is not the address of a web server", hint)
    return text
