"""What a job asks of the queue: ``#LOCAL --cores=2`` lines of its script, and the command line."""

import argparse
import shlex
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import PurePath
from typing import NoReturn, TypeVar

from pangeo_hpc.errors import UsageError
from pangeo_hpc.units import parse_memory, parse_walltime

T = TypeVar("T")

MARK = "#LOCAL"
LONGEST_ARRAY = 10_000


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What was asked; None where nothing was. `memory` is in bytes, `walltime` in seconds."""

    name: str | None = None
    cores: int | None = None
    memory: int | None = None
    walltime: float | None = None
    output: str | None = None
    after: tuple[str, ...] | None = None
    after_failure: tuple[str, ...] | None = None
    after_end: tuple[str, ...] | None = None
    array: int | None = None
    nodes: int | None = None
    gpus: int | None = None
    queue: str | None = None
    exclusive: bool | None = None
    requeue: bool | None = None

    def over(self, other: "Wish") -> "Wish":
        """Return this wish, completed by another one."""
        mine = {field.name: getattr(self, field.name) for field in fields(self)}
        return Wish(
            **{
                name: getattr(other, name) if value is None else value
                for name, value in mine.items()
            }
        )


class Parser(argparse.ArgumentParser):
    """A parser that raises UsageError instead of ending the program."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{self.prog}: {message}", hint=f"{self.prog} --help tells the options")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that a header and a command line share."""
    add = parser.add_argument
    add("--name", type=_name, help="name of the job; default: the name of the script")
    add("--cores", type=_count, help="cores; default 1")
    add("--memory", type=_told(parse_memory), help="memory, such as 4GiB; default 1 GiB")
    add("--walltime", type=_walltime, help="longest time, such as 01:30:00; default 1 hour")
    add("--output", type=_line, help="file for what the job prints; {id} and {index} are filled in")
    add("--after", type=_ids, help="ids of jobs that must have completed before, with commas")
    failed = "ids of jobs that must have ended otherwise than completed, with commas"
    add("--after-failure", type=_ids, help=failed)
    add("--after-end", type=_ids, help="ids of jobs that must have ended in any way, with commas")
    add("--array", type=_array, help="how many equal elements to run, counted from 0")
    add("--nodes", type=_count, help=argparse.SUPPRESS)
    add("--gpus", type=_whole, help=argparse.SUPPRESS)
    add("--queue", help=argparse.SUPPRESS)
    add("--exclusive", action="store_true", default=None, help="run alone on the machine")
    add("--requeue", action="store_true", default=None, help="run again after a restart")


def wish_of(options: argparse.Namespace) -> Wish:
    """Return the wish that parsed options hold."""
    return Wish(**{field.name: getattr(options, field.name) for field in fields(Wish)})


def read_header(script: bytes, name: str) -> Wish:
    """Read the ``#LOCAL`` lines at the head of a script, up to its first command.

    Raise UsageError, naming the line, for one that cannot be understood.
    """
    wish = Wish()
    for number, raw in enumerate(script.split(b"\n"), start=1):
        line = raw.decode(errors="replace").strip()
        if line and not line.startswith("#"):
            break
        if line.split(None, 1)[:1] == [MARK]:
            parser = Parser(prog=f"{name}:{number}", add_help=False, allow_abbrev=False)
            add_options(parser)
            try:
                words = shlex.split(line.removeprefix(MARK))
                wish = wish_of(parser.parse_args(words)).over(wish)
            except (UsageError, ValueError) as error:
                text = error.text if isinstance(error, UsageError) else f"{parser.prog}: {error}"
                hint = f"correct the line {line!r}"
                raise UsageError(text, hint=hint) from None
    return wish


def interpreter(script: bytes) -> tuple[str, ...]:
    """Return the program and option that run a script, from its ``#!`` line.

    The script itself is only read, so that its file system may be mounted noexec. Bash is always a
    login shell, as batch systems have it, so that `module` is there.
    """
    first = script.partition(b"\n")[0]
    if not first.startswith(b"#!") or not first[2:].strip():
        return ("/bin/bash", "-l")
    words = first[2:].decode(errors="surrogateescape").strip().split(None, 1)
    if PurePath(words[-1] if words[0].endswith("/env") else words[0]).name == "bash":
        return (*words, "-l") if "-l" not in words[1:] else tuple(words)
    return tuple(words)


def is_script(content: bytes) -> bool:
    """Tell whether a file is text that an interpreter can read."""
    return b"\0" not in content[:4096] and bool(content.strip())


def _told(parse: Callable[[object], T]) -> Callable[[str], T]:
    """Let argparse repeat what a parser of ours says, not only that it failed."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def _walltime(text: str) -> float:
    return _told(parse_walltime)(text).total_seconds()


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        message = f"{text!r} is not a whole number"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _count(text: str) -> int:
    number = _whole(text)
    if number < 1:
        message = f"{text!r} is less than 1"
        raise argparse.ArgumentTypeError(message)
    return number


def _array(text: str) -> int:
    number = _count(text)
    if number > LONGEST_ARRAY:
        message = f"an array has at most {LONGEST_ARRAY} elements, not {number}"
        raise argparse.ArgumentTypeError(message)
    return number


def _line(text: str) -> str:
    if not text or not text.isprintable():
        message = f"{text!r} is empty, or holds characters that cannot be printed"
        raise argparse.ArgumentTypeError(message)
    return text


def _name(text: str) -> str:
    if len(text) > 1000:
        message = "a name has at most 1000 characters"
        raise argparse.ArgumentTypeError(message)
    return _line(text)


def _ids(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
