"""Chains: several steps submitted as one, of which only what failed or changed runs again."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from graphlib import CycleError
from pathlib import Path
from typing import Any

from pangeo_hpc import files, jobs
from pangeo_hpc.errors import (
    PangeoHpcError,
    PartlyDone,
    Problem,
    RequestRefused,
    SubmitUnclear,
)
from pangeo_hpc.run import Runner, run
from pangeo_hpc.schedulers import registry
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.site import Site, current_person, load_site
from pangeo_hpc.workflow.chains import check as chain_check
from pangeo_hpc.workflow.chains import plan as chain_plan
from pangeo_hpc.workflow.chains.look import Look
from pangeo_hpc.workflow.chains.plan import Decision
from pangeo_hpc.workflow.chains.status import ChainStatus, row_of, table
from pangeo_hpc.workflow.chains.steps import Step, Work, names_of, works
from pangeo_hpc.workflow.chains.store import Batch, ChainFolder
from pangeo_hpc.workflow.chains.submit import Submitter
from pangeo_hpc.workflow.ending import Words

# What `jobs.alone` locks.
LOCK = ".submit"


@dataclass(frozen=True)
class ChainPlan:
    """What `submit` would do, with each run and why. As text it is a table."""

    decisions: Mapping[str, Decision]

    def as_dict(self) -> dict[str, Any]:
        """Return the same as JSON-able values."""
        return {"format": 1, "runs": chain_plan.rows(self.decisions)}

    def __str__(self) -> str:
        rows = [(each.run, each.action, each.why) for each in self.decisions.values()]
        return table(("run", "action", "why"), rows)


class Chain:
    """Steps that follow one another, each a job or an array of jobs.

    `name` is the first part of the names of its runs: ``chain.step`` or ``chain.step.item``. From
    here on an uncaught error of ours ends the program with its exit code.
    """

    def __init__(
        self, name: str, *, site: Site | str | Path | None = None, runner: Runner = run
    ) -> None:
        Words().install()
        self.name = name
        self._site = (
            site if isinstance(site, Site) else load_site(site, schedulers=registry.names())
        )
        self._person = current_person()
        self._runner = runner
        self._steps: list[Step] = []
        self._folder = ChainFolder.of(self._site, self._person, name)
        self._look = Look(self._site, self._person, self._folder, runner)

    def step(
        self,
        script: str | Path,
        *,
        name: str | None = None,
        arguments: Sequence[object] = (),
        parameters: Mapping[str, Any] | None = None,
        over: Iterable[Any] | None = None,
        after: Step | str | Iterable[Step | str] = (),
        environment: str | None = None,
        node_type: str | None = None,
        nodes: int | None = None,
        cores: int | None = None,
        memory: int | str | None = None,
        gpus: int | None = None,
        walltime: timedelta | str | None = None,
        account: str | None = None,
        options: Mapping[str, str] | None = None,
        until_done: bool = False,
        attempts: int | None = None,
        core_hours: float | None = None,
    ) -> Step:
        """Add a step and return it; its name is the script's unless given.

        `script` is a Python file with `arguments` or a notebook with `parameters`. Each item of
        `over` gets a run of its own: it takes the place of ``{item}``, else it is a script's last
        argument or a notebook's parameter `item`. The step starts once all runs of the steps in
        `after` succeeded. With `until_done` each run goes on in further jobs until it is complete,
        in at most so many `attempts` (default 10) and `core_hours`. Nothing is checked or submitted
        yet.
        """
        path = Path(script).absolute()
        made = Step(
            name=name or path.stem,
            script=path,
            arguments=tuple(str(each) for each in arguments),
            parameters=dict(parameters or {}),
            over=None if over is None else tuple(over),
            after=names_of(after),
            environment=environment,
            ask=jobs.Ask(
                node_type=node_type,
                nodes=nodes,
                cores=cores,
                memory=memory,
                gpus=gpus,
                walltime=walltime,
                account=account,
                options=dict(options or {}),
            ),
            until_done=until_done,
            attempts=attempts,
            core_hours=core_hours,
        )
        self._steps.append(made)
        return made

    @property
    def folder(self) -> Path:
        """Return the folder in which the chain remembers what it submitted."""
        return self._folder.path

    def check(self) -> list[Problem]:
        """Return everything that is wrong with the chain; submit refuses with the same."""
        return chain_check.check(self._site, self._person, self.name, self._steps)

    def plan(self) -> ChainPlan:
        """Return what `submit` would do. Raise RequestRefused with every problem."""
        self._refuse_problems()
        self._settle()
        return ChainPlan(self._decide()[0])

    def submit(self) -> ChainStatus:
        """Submit what is new, failed or changed, and what follows it; return how things stand.

        All is checked first. If a submission fails in between, what was submitted goes on, is
        remembered, and the next call submits the rest. Raise RequestRefused with every problem, the
        scheduler's error if nothing was submitted, else PartlyDone.
        """
        self._refuse_problems()
        files.make_directory(self.folder, mode=0o700)
        with self._alone():
            self._look.settle()
            decisions, wishes, made = self._decide()
            self._refuse_running(decisions)
            self._cancel_replaced(decisions)
            submitter = Submitter(self._site, self._person, self._folder, self._runner)
            done: list[Batch] = []
            try:
                for step in chain_check.in_order(self._steps):
                    chosen = [w for w in made[step.name] if decisions[w.run].submits]
                    if not chosen:
                        continue
                    before = [w.run for name in step.after for w in made[name]]
                    upstream, after = self._look.before(before)
                    made_now = submitter.submit(step, chosen, decisions, wishes, upstream, after)
                    for batch in made_now:
                        done.append(batch)  # noqa: PERF402, those before an error count
            except PangeoHpcError as error:
                if not done:
                    raise
                raise _partly(self.name, done, error) from error
        return self.status()

    def status(self) -> ChainStatus:
        """Return the state of every run, with one question to each scheduler.

        An array of which it is not clear whether it was taken counts as not submitted yet.
        """
        with suppress(SubmitUnclear):
            self._settle()
        made = {step.name: works(self.name, step) for step in self._steps}
        found = self._look.standing(work.run for each in made.values() for work in each)
        rows = []
        for work in (work for step in self._ordered() for work in made[step.name]):
            if work.run in found:
                job, status = found[work.run]
                more = {"job": job.id, "attempt": int(job.folder.name)}
                rows.append(row_of(work.step, work.run, work.item, status, **more))
            else:
                rows.append(row_of(work.step, work.run, work.item, None))
        return ChainStatus(self.name, tuple(rows))

    def wait(self, *, timeout: float | None = None) -> ChainStatus:
        """Wait until nothing of the chain waits or runs, and say each change; seconds limit it.

        Return the state of every run: `complete` tells whether all went well.
        """
        told: ChainStatus | None = None

        def ask() -> JobStatus:
            nonlocal told
            told = self.status()
            # what the scheduler has just forgotten may still be found
            self._look.see_on()
            unsure = any(row.state is JobState.LOST for row in told.rows)
            state = JobState.COMPLETED if told.complete else JobState.FAILED
            state = JobState.LOST if unsure and told.ended else state
            state = state if told.ended else JobState.RUNNING
            return JobStatus(id="", state=state, reason=told.summary())

        def say(status: JobStatus) -> None:
            sys.stderr.write(f"chain {self.name}: {status.reason}\n")
            sys.stderr.flush()

        jobs.wait(ask, on_change=say, timeout=timeout)
        return told or self.status()

    def cancel(self) -> list[str]:
        """Cancel every job of the chain that waits or runs; return the names of their runs.

        Runs of items and steps that are no longer in the chain are cancelled too. Raise
        SchedulerError with the scheduler's words if one was not cancelled.
        """
        self._settle()
        names = [work.run for step in self._steps for work in works(self.name, step)]
        names += self._folder.newest()
        alive = {
            name: job
            for name, (job, status) in self._look.standing(dict.fromkeys(names)).items()
            if not status.state.ended and job.id
        }
        self._look.cancel(alive.values())
        return list(alive)

    def _ordered(self) -> list[Step]:
        try:
            return chain_check.in_order(self._steps)
        except CycleError:
            raise RequestRefused(self.check()) from None

    def _refuse_problems(self) -> None:
        problems = self.check()
        if problems:
            raise RequestRefused(problems)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        hint = "wait for that one; chain.status() shows what it did"
        with jobs.alone(self.folder, f"chain {self.name}", hint):
            yield

    def _settle(self) -> None:
        """Find out what became of submissions, unless somebody is just making one."""
        if all(batch.settled for batch in self._folder.batches()):
            return
        try:
            with files.lock(self.folder / LOCK, timeout=0):
                self._look.settle()
        except TimeoutError:
            return

    def _decide(
        self,
    ) -> tuple[dict[str, Decision], dict[str, chain_plan.Wish], dict[str, list[Work]]]:
        """Return what is done with each run, what each is to compute, and the runs of each step."""
        steps = chain_check.in_order(self._steps)
        made = {step.name: works(self.name, step) for step in steps}
        after = chain_check.followed(steps, made)
        submitter = Submitter(self._site, self._person, self._folder, self._runner)
        wishes = {
            work.run: submitter.wish(step, work, after[work.run])
            for step in steps
            for work in made[step.name]
        }
        seen = self._look.seen(wishes)
        return chain_plan.decide(list(wishes.values()), seen), wishes, made

    def _refuse_running(self, decisions: Mapping[str, Decision]) -> None:
        problems = [
            Problem(each.run, f"runs, and {each.why}", "wait for its end, or chain.cancel()")
            for each in chain_plan.refused(decisions)
        ]
        if problems:
            raise RequestRefused(problems)

    def _cancel_replaced(self, decisions: Mapping[str, Decision]) -> None:
        """Take back jobs that wait for what is computed again, before anything is submitted."""
        names = [n for n, each in decisions.items() if each.action is chain_plan.Action.REPLACE]
        self._look.cancel(job for job, _ in self._look.standing(names).values())


def _partly(name: str, done: Sequence[Batch], error: PangeoHpcError) -> PartlyDone:
    steps = ", ".join(dict.fromkeys(batch.step for batch in done))
    text = f"chain {name}: submitted so far: {steps}; then: {error.text}"
    hint = "chain.submit() goes on with the rest; chain.cancel() takes back what is there"
    return PartlyDone(text, hint=hint)
