"""Where a cluster's worker jobs are asked for, many with one submission, and cancelled."""

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from pangeo_hpc import files, jobs
from pangeo_hpc.dask.command import WorkerCommand
from pangeo_hpc.dask.gate import AT_ONCE, gently
from pangeo_hpc.dask.ledger import Ledger
from pangeo_hpc.errors import PangeoHpcError, SchedulerError, SubmitRefused, SubmitUnclear
from pangeo_hpc.run import Runner, converse
from pangeo_hpc.schedulers.base import JobRequest, Room
from pangeo_hpc.schedulers.base import Scheduler as BatchSystem
from pangeo_hpc.site import Person, Site

T = TypeVar("T")

# Jobs in one array where no limit can be read: far below every default that there is.
_SAFE = 100

# An element's worker has the array's first number and its own index in its name.
_ELEMENT = 'exec /bin/bash "$0" --name "$1-$(($2 + PANGEO_HPC_INDEX))"'


@dataclass
class Desk:
    """Where a cluster's jobs are asked for and cancelled.

    `limit` is how many jobs the site allows at once, None for any number. A *unit* is one worker
    job by the name of its workers, which ends in a number.
    """

    site: Site
    person: Person
    ask: jobs.Ask
    name: str
    folder: Path
    command: WorkerCommand
    scheduler: BatchSystem
    limit: int | None = None
    runner: Runner = gently
    ledger: Ledger = field(default_factory=Ledger)
    unclear: dict[Path, list[str]] = field(default_factory=dict)
    _arrays: dict[str, list[str]] = field(default_factory=dict)
    _closing: bool = False
    _hands: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(AT_ONCE, thread_name_prefix="pangeo-hpc-jobs")
    )

    def request(
        self, address: str, unit: str, folder: Path | None = None, array: int | None = None
    ) -> JobRequest:
        """Return one worker job, or an array of them, held to the limits of the site."""
        script = str(self.script(address))
        command: tuple[str, ...] = ("/bin/bash", script, "--name", unit)
        if array is not None:
            stem, _, number = unit.rpartition("-")
            command = ("/bin/bash", "-c", _ELEMENT, script, stem, number)
        return jobs.plan(
            self.site,
            self.ask,
            name=self.name,
            command=command,
            use="dask",
            person=self.person,
            # the job's shell outlives the workers, which are told to end too and clean up then
            setup=(*self.command.setup, "trap : TERM"),
            environment=self.command.environment,
            folder=folder,
            array=array,
        )

    def script(self, address: str) -> Path:
        """Return the shell script that every worker job runs, written when it is first needed."""
        path = self.folder / "worker.sh"
        if not path.exists():
            text = self.command.script(address, in_job_script=True)
            files.write_atomic(path, text, mode=0o700)
        return path

    def close(self) -> None:
        """Submit nothing more."""
        self._closing = True

    @cached_property
    def most(self) -> int:
        """Return how many jobs go into one submission; asked once."""
        probe = jobs.plan(
            self.site, self.ask, name=self.name, command=("true",), use="dask", person=self.person
        )
        try:
            room = converse(self.scheduler.room(probe, self.person.user), self.runner)
        except SchedulerError:
            room = Room()
        told = [limit for limit in (room.elements, room.jobs) if limit]
        return min(told, default=_SAFE)

    def submit(self, address: str, units: Sequence[str]) -> PangeoHpcError | None:
        """Submit units, as few arrays as can be; return why it stopped before the last.

        Of an array that is more than a user may submit now, a half is tried. After another
        refusal nothing more is asked. What was taken stands in the ledger.
        """
        parts = deque(parts_of(units, self.most if len(units) > 1 else 1))
        while parts:
            part = parts.popleft()
            try:
                self._submit(address, part)
            except SubmitRefused as error:
                half = len(part) // 2
                if not error.retry or not half:
                    return error
                parts.extendleft((part[half:], part[:half]))
            except PangeoHpcError as error:
                return error
        return None

    def _submit(self, address: str, units: list[str]) -> None:
        if self._closing:
            raise SchedulerError("the cluster is closing")
        folder = self.folder / "jobs" / units[0]
        array = len(units) if len(units) > 1 else None
        request = self.request(address, units[0], folder, array)
        user = self.person.user
        try:
            job = jobs.submit(self.scheduler, request, folder, user=user, runner=self.runner)
        except SubmitUnclear:
            self.unclear[folder] = units
            raise
        self._took(job, units)

    def _took(self, job: jobs.Job, units: Sequence[str]) -> None:
        elements = job.elements(self.scheduler)
        self.ledger.add(dict(zip(units, elements, strict=True)), time.monotonic())
        if job.array is not None and job.id is not None:
            self._arrays[job.id] = [element.id for element in elements if element.id]

    def find(self) -> list[str]:
        """Look for jobs whose submission had no clear answer; return the units that were found."""
        found = []
        for folder, units in list(self.unclear.items()):
            job = jobs.recover(
                self.scheduler, jobs.Job.read(folder), user=self.person.user, runner=self.runner
            )
            if job.id:
                self._took(job, units)
                found += units
            if job.state != "submitting":
                self.unclear.pop(folder, None)
        return found

    def cancel(self, ids: Iterable[str]) -> dict[str, str]:
        """Cancel jobs with one call, whole arrays by their own id; return what went wrong."""
        left = set(ids)
        self.ledger.cancelled |= left
        over = {job.id for unit, job in self.ledger.jobs.items() if self.ledger.has_ended(unit)}
        whole = []
        for array, elements in self._arrays.items():
            alive = set(elements) - over
            if len(alive) > 1 and alive <= left:
                whole.append(array)
                left -= alive
        return jobs.cancel(self.scheduler, [*whole, *sorted(left)], runner=self.runner)

    def look(self) -> None:
        """See which jobs have left the queue. Raise SchedulerUnreachable without an answer."""
        files_of = self.ledger.exit_files()
        answers = jobs.status(
            self.scheduler, list(files_of), exit_files=files_of, runner=self.runner
        )
        self.ledger.told(answers, leaving=True)

    async def aside(self, action: Callable[[], T]) -> T:
        """Do something that blocks in one of a few threads."""
        try:
            future = self._hands.submit(action)
        except RuntimeError:  # the interpreter is ending, and takes no new work for threads
            return action()
        return await asyncio.wrap_future(future)

    def shut(self) -> None:
        """Let the threads go."""
        self._hands.shutdown(wait=False)


def parts_of(units: Iterable[str], most: int) -> Iterator[list[str]]:
    """Divide units into runs of consecutive numbers, none longer than `most`."""
    part: list[str] = []
    for unit in sorted(units, key=_number):
        if part and (len(part) >= most or _number(unit) != _number(part[-1]) + 1):
            yield part
            part = []
        part.append(unit)
    if part:
        yield part


def _number(unit: str) -> int:
    match = re.search(r"\d+$", unit)
    return int(match[0]) if match else 0
