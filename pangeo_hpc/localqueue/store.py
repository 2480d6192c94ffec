"""The queue on the disk: one folder per job, records that are whole or not there.

    lock  next.json  daemon.json  daemon.log  pulse
    active/17/job.json     what was asked; its rename into place is the submission
    active/17/script       a copy, as it was when submitted
    active/17/state.json   where it stands, `state-3.json` for element 3; absent: pending
    active/17/cancel       somebody wants it ended, `cancel-3` for element 3
    ended/17/              the same folder, once every element has ended

Only who holds the lock changes a pending job; a running one is written by its supervisor alone.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pangeo_hpc import private
from pangeo_hpc.errors import NotAllowed, SchedulerUnreachable
from pangeo_hpc.files import lock, read_json, refusals, write_atomic, write_json
from pangeo_hpc.localqueue.records import Element, Job, Standing, parse_id
from pangeo_hpc.schedulers.base import JobState


class Store:
    """The folder of one queue. Raise NotAllowed if it is not ours alone."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        try:
            private.ensure_directory(self.root)
            self.active_folder.mkdir(mode=0o700, exist_ok=True)
            self.ended_folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            message = f"{self.root} cannot hold a queue: {error.strerror}"
            hint = "set user_state in the site YAML to a folder that you may write"
            raise NotAllowed(message, hint=hint) from error

    @property
    def active_folder(self) -> Path:
        """Where jobs are that have not ended."""
        return self.root / "active"

    @property
    def ended_folder(self) -> Path:
        """Where jobs are that have ended."""
        return self.root / "ended"

    @contextmanager
    def locked(self, timeout: float = 20.0) -> Iterator[None]:
        """Keep every other process from changing the queue.

        Raise SchedulerUnreachable if somebody holds the lock too long, or there can be none.
        """
        try:
            held = lock(self.root / "lock", timeout=timeout)
            held.__enter__()
        except TimeoutError:
            message = f"the queue in {self.root} is busy: its lock was not free in {timeout:.0f} s"
            raise SchedulerUnreachable(message, hint="try again in a moment") from None
        except OSError as error:
            message = f"the queue in {self.root} cannot be locked: {error.strerror}"
            hint = "set user_state in the site YAML to a folder on a local disk"
            raise SchedulerUnreachable(message, hint=hint) from error
        try:
            yield
        finally:
            held.__exit__(None, None, None)

    def submit(self, make: Callable[[int], Job], script: bytes) -> Job:
        """Store a new job, made for the number it gets; the caller holds the lock.

        The number is used up before anything else is written, so that no crash can give it twice.
        """
        number = self._next_number()
        job = make(number)
        write_json(self.root / "next.json", {"format": 1, "next": number + 1}, mode=0o600)
        folder = self.active_folder / str(number)
        with refusals(folder):
            folder.mkdir(mode=0o700)
        write_atomic(folder / "script", script, mode=0o600)
        write_json(folder / "job.json", job.to_json(), mode=0o600)
        return job

    def folder(self, number: int) -> Path | None:
        """Return the folder of a job, or None if there is no such job."""
        for above in (self.active_folder, self.ended_folder):
            if (above / str(number) / "job.json").exists():
                return above / str(number)
        return None

    def active(self) -> list[Element]:
        """Return the elements of every job that has not wholly ended, in the order of the queue."""
        return self._elements(self.active_folder)

    def ended(self) -> list[Element]:
        """Return the elements of every job that has wholly ended."""
        return self._elements(self.ended_folder)

    def look(self, text: str) -> list[Element]:
        """Return the element an id names, all elements for the id of an array, or nothing."""
        parsed = parse_id(text)
        folder = self.folder(parsed[0]) if parsed else None
        if parsed is None or folder is None:
            return []
        # An ended job may move between two looks; its records are then in the other folder.
        found = self._read(folder) or self._read(self.ended_folder / folder.name)
        if parsed[1] is None:
            return found
        return [element for element in found if element.index == parsed[1]]

    def standing(self, element: Element) -> Standing:
        """Read again where an element stands."""
        folder = self.folder(element.job.number)
        return _read_standing(folder, element.index) if folder else Standing()

    def write(self, element: Element, standing: Standing) -> Element:
        """Write where an element stands, whole or not at all, and return it standing there."""
        folder = self.folder(element.job.number) or self.active_folder / str(element.job.number)
        write_json(folder / _name("state", element.index, ".json"), standing.to_json(), mode=0o600)
        return element.now(standing)

    def request_cancel(self, element: Element) -> None:
        """Ask the supervisor of a running element to end it."""
        folder = self.active_folder / str(element.job.number)
        write_atomic(folder / _name("cancel", element.index), b"", mode=0o600)

    def cancel_requested(self, element: Element) -> bool:
        """Tell whether somebody wants an element ended."""
        folder = self.active_folder / str(element.job.number)
        return (folder / _name("cancel", element.index)).exists()

    def script(self, job: Job) -> Path:
        """Return where the copy of a job's script is."""
        return self.active_folder / str(job.number) / "script"

    def retire(self, number: int) -> None:
        """Move a job that has wholly ended out of the way; the caller holds the lock."""
        with refusals(self.ended_folder):
            (self.active_folder / str(number)).rename(self.ended_folder / str(number))

    def sweep(self, *, keep: float, now: float) -> list[int]:
        """Forget jobs that ended more than `keep` seconds ago, and what crashes left behind.

        The caller holds the lock. Jobs that a waiting one depends on stay. Return the numbers.
        """
        waiting = self.active()
        needed = {parse_id(i) for element in waiting for i in element.job.before}
        numbers = {parsed[0] for parsed in needed if parsed}
        gone = []
        for number in _numbers(self.ended_folder):
            folder = self.ended_folder / str(number)
            if number not in numbers and now - _last_change(folder) > keep:
                shutil.rmtree(folder, ignore_errors=True)
                gone.append(number)
        for number in _numbers(self.active_folder):
            folder = self.active_folder / str(number)
            if not (folder / "job.json").exists() and now - _last_change(folder) > 3600:
                shutil.rmtree(folder, ignore_errors=True)
        return gone

    def _elements(self, above: Path) -> list[Element]:
        found = [e for number in _numbers(above) for e in self._read(above / str(number))]
        return sorted(found, key=lambda element: element.order)

    def _read(self, folder: Path) -> list[Element]:
        number = int(folder.name)
        try:
            job = Job.from_json(number, read_json(folder / "job.json"))
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            job = Job(number=number, damage=f"its record cannot be read: {error}")
        if job.damage:
            ended = _last_change(folder)
            return [Element(job, None, Standing().end(JobState.LOST, job.damage, now=ended))]
        return [Element(job, index, _read_standing(folder, index)) for index in job.indices()]

    def _next_number(self) -> int:
        highest = max([0, *_numbers(self.active_folder), *_numbers(self.ended_folder)])
        try:
            stored = read_json(self.root / "next.json")["next"]
        except (OSError, ValueError, KeyError, TypeError):
            return highest + 1
        return max(stored if isinstance(stored, int) else 0, highest + 1)


def default_root(home: Path) -> Path:
    """Return where the queue of a user is unless the site says otherwise."""
    return home / ".local/state/pangeo-hpc/localqueue"


def read_record(path: Path) -> Any:
    """Return what a JSON file holds, or None if it is not there or damaged."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def _read_standing(folder: Path, index: int | None) -> Standing:
    try:
        return Standing.from_json(read_json(folder / _name("state", index, ".json")))
    except FileNotFoundError:
        return Standing()
    except (OSError, ValueError):
        return Standing(state=JobState.UNKNOWN, reason="its record is damaged")


def _name(word: str, index: int | None, ending: str = "") -> str:
    return f"{word}{ending}" if index is None else f"{word}-{index}{ending}"


def _numbers(folder: Path) -> list[int]:
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError as error:
        message = f"{folder} cannot be read: {error.strerror}"
        raise NotAllowed(message) from error
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def _last_change(folder: Path) -> float:
    """Return when the newest file in a folder was written, in seconds of the epoch."""
    times = [0.0]
    try:
        times += [entry.lstat().st_mtime for entry in folder.iterdir()]
        times.append(folder.lstat().st_mtime)
    except OSError:
        return time.time()
    return max(times)
