"""How results reach a person or a program: tables or JSON to stdout, talk to stderr."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Face:
    """What the global options say, and the two ways to speak."""

    site: str | None = None
    json: bool = False
    quiet: bool = False
    debug: bool = False

    def data(self, value: dict[str, Any]) -> None:
        """Print one JSON document with its format number to stdout."""
        import json

        click.echo(printable(json.dumps({"format": 1, **value}, indent=2, default=str)))

    def out(self, text: str = "") -> None:
        """Print a result to stdout."""
        click.echo(printable(text))

    def say(self, text: str) -> None:
        """Print talk to stderr, unless it is unwanted."""
        if not self.quiet:
            click.echo(printable(text), err=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print a table to stdout: drawn on a terminal, plain columns in a pipe."""
        text = [["" if cell is None else printable(str(cell)) for cell in row] for row in rows]
        if sys.stdout.isatty():
            from rich import box
            from rich.console import Console
            from rich.table import Table
            from rich.text import Text

            drawn = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
            for row in text:
                drawn.add_row(*(Text(cell) for cell in row))
            Console().print(drawn)
            return
        lines = [[column.upper() for column in columns], *text]
        widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
        for line in lines:
            pairs = zip(line, widths, strict=True)
            click.echo("  ".join(cell.ljust(width) for cell, width in pairs).rstrip())


@contextmanager
def live(face: Face) -> Iterator[Callable[[str], None]]:
    """Yield a function that shows the newest line of talk.

    On a terminal each takes the place of the one before; elsewhere they follow one another.
    """
    if face.quiet or not sys.stderr.isatty():
        yield face.say
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status("") as status:
        yield lambda text: status.update(Text(printable(text)))


def printable(text: str) -> str:
    """Return text in which bytes that were not UTF-8 and control characters are made visible."""
    safe = text.encode(errors="backslashreplace").decode()
    return "".join(c if c in "\n\t" or c.isprintable() else f"\\x{ord(c):02x}" for c in safe)


def face(context: click.Context) -> Face:
    """Return the one Face of this call."""
    found = context.find_object(Face)
    if found is None:
        found = context.ensure_object(Face)
    return found


def json_option(command: F) -> F:
    """Let a reading command take --json at its own end, too."""

    def turn_on(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            face(context).json = True

    option = click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=turn_on,
        help="Print JSON instead of a table.",
    )
    return option(command)
