"""Show how far a run is: progress.json for other processes, a bar or plain lines for people."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from pangeo_hpc import files
from pangeo_hpc.workflow.holder import moment

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_SELDOM = 1.0
# Seconds between two lines on many small items.
_LINES = 10.0


class Progress:
    """Progress of all outputs of a run, in units. Written at most once a second."""

    def __init__(self, folder: Path, stream: TextIO) -> None:
        self._file = folder / "progress.json"
        self._stream = stream
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._written = self._counted = 0.0
        self._barred: str | None = None
        # done and total of each output
        self._outputs: dict[str, tuple[int, int]] = {}

    def begin(self, output: str, done: int, total: int, what: str = "units") -> None:
        """Start to show an output of which some units may be there already."""
        self._outputs[output] = (done, total)
        if done:
            self.say(f"{output}: {done} of {total} {what} are there from an earlier attempt")
        self._write(output, force=True)
        # a terminal has room for one bar
        if self._stream.isatty() and self._bar is None:
            self._barred = output
            self._bar = _bar(self._stream, what)
            self._task = self._bar.add_task(output, total=total, completed=done)
            self._bar.start()

    def unit(self, output: str, seconds: float) -> None:
        """Show one more unit of an output."""
        done, total = self._outputs[output]
        self._outputs[output] = (done + 1, total)
        if self._bar is not None and self._task is not None and self._barred == output:
            self._bar.update(self._task, completed=done + 1)
        else:
            self.say(f"{output}: unit {done + 1} of {total} written, {seconds:.1f} s")
        self._write(output, force=done + 1 == total)

    def count(self, output: str, done: int, words: str) -> None:
        """Show how many items of an output are done, in a log at most every few seconds."""
        _, total = self._outputs[output]
        self._outputs[output] = (done, total)
        now = time.monotonic()
        if self._bar is not None and self._task is not None and self._barred == output:
            self._bar.update(self._task, completed=done)
        elif done == total or now - self._counted >= _LINES:
            self._counted = now
            self.say(f"{output}: {done} of {total} {words}")
        self._write(output, force=done == total)

    def end(self, output: str) -> None:
        """Stop showing an output, and leave its last state in the file."""
        if self._bar is not None and self._barred == output:
            self._bar.stop()
            self._bar = self._task = self._barred = None
        self._write(output, force=True)

    def say(self, text: str) -> None:
        """Tell a person something, in a line of its own."""
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def _write(self, output: str, *, force: bool) -> None:
        now = time.monotonic()
        if not force and now - self._written < _SELDOM:
            return
        self._written = now
        done = sum(done for done, _ in self._outputs.values())
        total = sum(total for _, total in self._outputs.values())
        state = {"format": 1, "done": done, "total": total, "unit": output, "updated": moment()}
        files.write_json(self._file, state)


def _bar(stream: TextIO, what: str) -> "Bar":
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn(what),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left:"),
        progress.TimeRemainingColumn(),
        console=Console(file=stream),
    )
