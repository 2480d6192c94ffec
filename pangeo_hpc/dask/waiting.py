"""What to tell a person who waits for workers: how many are here, and why the others are not."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from pangeo_hpc.dask.place import announce, in_kernel, quiet
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.schedulers.reasons import explain
from pangeo_hpc.texts import english

# Whoever waits for less is told nothing.
_PATIENCE = 2.0


def describe(kind: str, here: int, wanted: int, missing: Iterable[JobStatus]) -> str:
    """Return one line: `missing` are the jobs whose workers have not come, `kind` their scheduler.

    The reasons are in plain words, the most frequent one first.
    """
    jobs = list(missing)
    text = f"{here} of {wanted} workers {'is' if here == 1 else 'are'} here"
    waiting = [job for job in jobs if job.state.waiting]
    starting = [job for job in jobs if job.state in (JobState.STARTING, JobState.RUNNING)]
    if waiting:
        text += f"; {_jobs(len(waiting))} {'waits' if len(waiting) == 1 else 'wait'} in the queue"
        told = Counter(explain(kind, job.reason).sentence for job in waiting if job.reason)
        said = [english().say(sentence) for sentence, _ in told.most_common() if sentence]
        if said:
            text += f": {' '.join(said)}"
    if starting:
        verb = "is" if len(starting) == 1 else "are"
        text += f"{' ' if text.endswith('.') else '; '}{_jobs(len(starting))} {verb} starting"
    return text


def _jobs(number: int) -> str:
    return f"{number} {'job' if number == 1 else 'jobs'}"


class Progress:
    """Shows a line that changes while somebody waits: in a notebook or on a terminal in place.

    Elsewhere, such as in a log, each new line is said once.
    """

    def __init__(
        self,
        notebook: bool | None = None,
        stream: Any = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._notebook = in_kernel() if notebook is None else notebook
        self._clock, self._begun = clock, clock()
        self._last = ""
        self._handle: Any = None

    def show(self, text: str) -> None:
        """Show a line, if it is a new one and there was some waiting."""
        if text in ("", self._last) or self._clock() - self._begun < _PATIENCE or quiet():
            return
        self._last, before = text, self._last
        if self._notebook:
            self._display(text)
        elif self._stream.isatty():
            self._stream.write(f"\r{text.ljust(len(before))}")
            self._stream.flush()
        else:
            announce(text)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the line behind."""
        if self._last and not self._notebook and self._stream.isatty():
            self._stream.write("\n")

    def _display(self, text: str) -> None:
        from IPython.display import display

        shown = {"text/plain": text}
        if self._handle is None:
            self._handle = display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)
