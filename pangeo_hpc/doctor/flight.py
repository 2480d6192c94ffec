"""Send canaries through node types, follow them together, and leave none behind."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pangeo_hpc import files, jobs
from pangeo_hpc.doctor import canary as program
from pangeo_hpc.doctor.facts import Canary, Failure
from pangeo_hpc.doctor.question import BRIEF
from pangeo_hpc.errors import PangeoHpcError, RequestRefused, SchedulerError, SchedulerUnreachable
from pangeo_hpc.jobs.follow import HISTORY_DELAY
from pangeo_hpc.run import Runner, run
from pangeo_hpc.schedulers.base import JobRequest, JobState, JobStatus, Scheduler

Say = Callable[[str], object]

# Seconds between two looks at the folders, two questions to a scheduler, two lines of patience.
_LOOK, _ASK, _LONGEST_ASK, _STILL = 0.25, 0.5, 5.0, 15.0


@dataclass
class Flight:
    """One canary on its way: what it is asked, its job, and what is known of it.

    `patience` is how many seconds it is given to start.
    """

    node_type: str
    folder: Path
    ask: Mapping[str, Any]
    plan: Callable[[Path], JobRequest]
    scheduler: Scheduler
    user: str
    patience: float
    request: JobRequest | None = None
    failures: tuple[Failure, ...] = ()
    status: JobStatus | None = None
    answered: bool = False
    lost_since: float | None = None
    given_up: bool = False

    def submit(self, runner: Runner) -> None:
        """Plan and submit the job once; a refusal is a fact."""
        files.make_directory(self.folder, mode=0o700)
        files.write_json(self.folder / program.ASK, self.ask)
        try:
            self.request = self.plan(self.folder)
            jobs.submit(self.scheduler, self.request, self.folder, user=self.user, runner=runner)
        except RequestRefused as error:
            self.failures = tuple(
                Failure(f"{p.path}: {p.text}" if p.path else p.text, p.hint) for p in error.problems
            )
        except PangeoHpcError as error:
            self.failures = (Failure.of(error),)

    @property
    def job(self) -> jobs.Job | None:
        """Return what is remembered of the submission."""
        with suppress(FileNotFoundError, ValueError):
            return jobs.Job.read(self.folder)
        return None

    @property
    def done(self) -> bool:
        """Tell whether nothing more is awaited."""
        ended = self.status is not None and self.status.state.ended
        if ended and self.status and self.status.state is JobState.LOST:
            since = time.monotonic() - (self.lost_since or time.monotonic())
            ended = since > HISTORY_DELAY.total_seconds() or self.holds(program.REPORT)
        return bool(self.failures) or ended or self.given_up

    def holds(self, name: str) -> bool:
        """Tell whether the canary has written a file."""
        with suppress(OSError):
            return program.seen(self.folder, name)
        return False

    def answer(self) -> None:
        """Tell a canary that said hello what time it is here, once."""
        if not self.answered and self.holds(program.HELLO):
            files.write_json(self.folder / program.ANSWER, {"time": time.time()})
            self.answered = True

    def hear(self, status: JobStatus) -> str | None:
        """Take a state and return it in words if it is news."""
        before, self.status = self.status, status
        if status.state is JobState.LOST:
            self.lost_since = self.lost_since or time.monotonic()
            return None
        if before and (before.state, before.reason) == (status.state, status.reason):
            return None
        return f"canary {self.node_type}: job {status.id} {self.words}"

    @property
    def words(self) -> str:
        """Return its state in a few words."""
        if self.status is None:
            return "was submitted"
        where = f" on {self.status.nodes[0]}" if self.status.nodes else ""
        why = f" ({self.status.reason})" if self.status.reason else ""
        return f"is {self.status.state}{where}{why}"

    def landed(self) -> Canary:
        """Return what became of it."""
        found = None
        with suppress(OSError, ValueError):
            found = files.read_json(self.folder / program.REPORT)
        job = self.job
        return Canary(
            node_type=self.node_type,
            failures=self.failures,
            job=job.id if job else None,
            cores=self.request.cores if self.request else None,
            memory=self.request.memory if self.request else None,
            status=self.status,
            traced=any(map(self.holds, (program.HELLO, program.REPORT, "exit"))),
            output=tuple(_tail(self.folder / "output.log")),
            report=found if isinstance(found, dict) else None,
            folder=self.folder,
            waited=self.patience,
        )


def fly(flights: Iterable[Flight], *, say: Say, runner: Runner = run) -> dict[str, Canary]:
    """Submit canaries at once and follow them to their end; return them by node type.

    One that has not started in time is given up. However this ends, with Ctrl-C too, no job of
    ours stays in a queue.
    """
    every = list(flights)
    try:
        for flight in every:
            flight.submit(runner)
        _follow(every, say, runner)
    finally:
        call_back(every, say, runner)
    return {flight.node_type: flight.landed() for flight in every}


def _follow(flights: list[Flight], say: Say, runner: Runner) -> None:
    began = told = time.monotonic()
    pause, next_ask = _ASK, began
    while flying := [flight for flight in flights if not flight.done]:
        for flight in flying:
            flight.answer()
        now = time.monotonic()
        if now >= next_ask:
            for line in _news(flying, runner):
                say(line)
                pause, told = _ASK, now
            pause = min(pause * 1.4, _LONGEST_ASK)
            next_ask = time.monotonic() + pause
        for flight in flying:
            begun = flight.status is not None and not flight.status.state.waiting
            longest = flight.patience + (BRIEF.total_seconds() + 60 if begun else 0)
            flight.given_up = now - began > longest
        if now - told > _STILL:
            told = now
            states = "; ".join(f"canary {flight.node_type} {flight.words}" for flight in flying)
            say(f"after {now - began:.0f} s: {states}")
        time.sleep(_LOOK)


def _news(flights: list[Flight], runner: Runner) -> Iterator[str]:
    """Ask each scheduler once about all its canaries; no answer is no news."""
    for scheduler, group in _by_scheduler(flights):
        known = [(flight, job) for flight in group if (job := flight.job) is not None]
        with suppress(SchedulerUnreachable):
            states = jobs.status_of(scheduler, [job for _, job in known], runner=runner)
            for (flight, _), status in zip(known, states, strict=True):
                line = flight.hear(status)
                if line is not None:
                    yield line


def call_back(flights: list[Flight], say: Say, runner: Runner) -> None:
    """Cancel every canary that may be in a queue, also one whose submission was cut short."""
    for scheduler, group in _by_scheduler(flights):
        ids = []
        for flight in group:
            job = flight.job
            if job is None or job.final is not None or job.state in ("refused", "not taken"):
                continue
            with suppress(SchedulerError):
                job = jobs.recover(scheduler, job, user=flight.user, runner=runner, patience=10.0)
            if job.id is not None:
                ids.append(job.id)
            elif job.state == "submitting":
                say(f"warning: job {job.name} may be in the queue; look for it and cancel it")
        try:
            problems = jobs.cancel(scheduler, ids, runner=runner)
        except SchedulerError as error:
            problems = dict.fromkeys(ids, error.text)
        for job_id, words in problems.items():
            say(f"warning: job {job_id} could not be cancelled: {words}")


def _by_scheduler(flights: list[Flight]) -> list[tuple[Scheduler, list[Flight]]]:
    groups: dict[int, tuple[Scheduler, list[Flight]]] = {}
    for flight in flights:
        groups.setdefault(id(flight.scheduler), (flight.scheduler, []))[1].append(flight)
    return list(groups.values())


def _tail(path: Path, lines: int = 10, most: int = 4096) -> list[str]:
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - most))
        return file.read().decode(errors="replace").splitlines()[-lines:]
    return []
