"""`demo`: the main job end to end, with something new on the screen at each stage."""

import sys
import time
from pathlib import Path
from typing import Any

import click

from pangeo_hpc.cli.context import here
from pangeo_hpc.cli.output import Face, json_option, printable
from pangeo_hpc.cli.request import request_options
from pangeo_hpc.errors import Exit


@click.command()
@request_options
@click.option("--generated", is_flag=True, help="Use generated data instead of the sample data.")
@click.option("--fresh", is_flag=True, help="Do not go on where an interrupted demo stopped.")
@click.option(
    "--output",
    "-o",
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where picture and report go (default: beside the output, on scratch).",
)
@json_option
@click.pass_context
def demo(
    context: click.Context,
    /,
    generated: bool,
    fresh: bool,
    output: Path | None,
    environment: str | None,
    **asked: Any,
) -> int:
    """Compute a multi-model ensemble of real CMIP6 data in a batch job, and draw it.

    Sample data, their months as Zarr on scratch, a batch job with Dask workers, a picture and a
    report. Interrupted, the job goes on; the same command finds it again.
    """
    our = here(context, node_type=asked["node_type"], account=asked["account"])
    tell = Lines(our.face) if our.face.quiet or not sys.stderr.isatty() else Drawn()
    tell.say(f"pangeo-hpc demo on site {our.site.name}")
    from pangeo_hpc.demo import report, steps
    from pangeo_hpc.jobs import Ask

    choices = steps.Choices(
        ask=Ask(**asked),
        environment=environment,
        generated=generated,
        fresh=fresh,
        folder=output,
    )
    with tell:
        told = steps.run(our.site, our.person, choices, tell)
    if our.face.json:
        our.face.data(told)
    else:
        our.face.out(report.text(told))
    return Exit.DONE


class Lines:
    """Plain lines with the seconds since the beginning, for logs and pipes."""

    # Seconds between two lines about the same stage.
    SELDOM = 2.0

    def __init__(self, face: Face) -> None:
        self._face = face
        self._began = self._last = time.monotonic()

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind."""

    def say(self, text: str) -> None:
        """Print one line."""
        self._last = time.monotonic()
        self._face.say(f"{self._last - self._began:6.1f} s  {text}")

    def bar(self, text: str, done: int, total: int) -> None:
        """Print how far a stage is, not more often than every two seconds."""
        if done == total or time.monotonic() - self._last >= self.SELDOM:
            self.say(f"{text}: {done} of {total}")


class Drawn:
    """The same lines above a bar that moves, on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
        )

        self._began = time.monotonic()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, count="")

    def __enter__(self) -> "Drawn":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        self._progress.stop()

    def say(self, text: str) -> None:
        """Print one line above the bar, which then shows that the next stage is at work."""
        seconds = time.monotonic() - self._began
        self._progress.console.print(
            f"{seconds:6.1f} s  {printable(text)}", markup=False, highlight=False, soft_wrap=True
        )
        # a bar that knows no total cannot be made from one that does
        self._progress.remove_task(self._task)
        self._task = self._progress.add_task("", total=None, count="")

    def bar(self, text: str, done: int, total: int) -> None:
        """Move the bar."""
        self._progress.update(
            self._task, description=text, completed=done, total=total, count=f"{done} of {total}"
        )
