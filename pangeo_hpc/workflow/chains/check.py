"""Check a whole chain before any of it is submitted: everything that is wrong, at once."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pangeo_hpc.errors import PangeoHpcError, Problem, RequestRefused
from pangeo_hpc.jobs.plan import NAME
from pangeo_hpc.site import Person, Site
from pangeo_hpc.workflow import launch
from pangeo_hpc.workflow.chains.steps import Step, Work, works
from pangeo_hpc.workflow.until_done.submit import check as check_limits


def check(site: Site, person: Person, chain: str, steps: Sequence[Step]) -> list[Problem]:
    """Return every problem of a chain's steps; nothing is written and nothing submitted."""
    problems = []
    if not steps:
        problems.append(Problem("", f"chain {chain} has no steps", "add one: chain.step(…)"))
    problems += _of_names(chain, steps)
    problems += _of_order(steps)
    for step in steps:
        problems += [_within(step, each) for each in _of_step(site, person, chain, step)]
    return problems + _of_runs(chain, steps) + _of_schedulers(site, steps)


def in_order(steps: Sequence[Step]) -> list[Step]:
    """Return the steps so that each comes after those it follows. Raise CycleError for a circle."""
    known = {step.name: step for step in steps}
    sorter = TopologicalSorter({step.name: step.after for step in steps})
    return [known[name] for name in sorter.static_order() if name in known]


def _of_names(chain: str, steps: Sequence[Step]) -> list[Problem]:
    problems = []
    if not NAME.fullmatch(chain):
        hint = "use letters, digits, dot, dash and underscore, at most 60"
        problems.append(Problem("", f"{chain!r} cannot be the name of a chain", hint))
    for name, times in Counter(step.name for step in steps).items():
        if times > 1:
            hint = "give one of them another: chain.step(…, name=…)"
            problems.append(Problem(name, f"{times} steps have this name", hint))
    return problems


def _of_order(steps: Sequence[Step]) -> list[Problem]:
    names = [step.name for step in steps]
    problems = []
    for step in steps:
        for wanted in step.after:
            if wanted not in names:
                near = get_close_matches(wanted, names, 1)
                hint = f"did you mean {near[0]}?" if near else f"steps are {', '.join(names)}"
                problems.append(Problem(step.name, f"follows {wanted!r}, which is no step", hint))
    try:
        in_order(steps)
    except CycleError as error:
        circle = " → ".join(error.args[1])
        problems.append(Problem("", f"steps follow one another in a circle: {circle}"))
    return problems


def _of_step(site: Site, person: Person, chain: str, step: Step) -> list[Problem]:
    """Return what is wrong with one step; of many items with the same fault one is told."""
    if step.over is not None and not step.over:
        return [Problem("over", "there are no items", "leave the step out, or over=None")]
    made: list[Work] = []
    problems = told_by(lambda: made.extend(works(chain, step)))
    for run, times in Counter(work.run for work in made).items():
        if times > 1:
            hint = "items must differ in their text"
            problems.append(Problem("over", f"{times} items would be run {run}", hint))
    for work in made:
        problems += told_by(partial(launch.check, work.program))
        problems += [
            Problem("name", f"{work.run!r} cannot be the name of a run", "use shorter names")
            for _ in range(not NAME.fullmatch(work.run))
        ]
        if problems:
            return problems
    problems += _of_limits(step)
    if made:
        # all items ask for the same
        alone = replace(made[0].program, name="step")
        problems += told_by(lambda: launch.request_for(site, person, alone, step.ask))
    return problems


def _of_limits(step: Step) -> list[Problem]:
    """Return what is wrong with how far the runs of a step may go on in further jobs."""
    limits = step.limits
    if limits is not None:
        return told_by(lambda: check_limits(limits))
    given = [name for name in ("attempts", "core_hours") if getattr(step, name) is not None]
    hint = "add until_done=True, or leave it out"
    return [Problem(name, "limits until_done, which is not asked for", hint) for name in given]


def _of_runs(chain: str, steps: Sequence[Step]) -> list[Problem]:
    """Return the runs that two steps would share, as an item of one may be named like the other."""
    by_run: dict[str, list[str]] = {}
    for step in {step.name: step for step in steps}.values():
        made: list[Work] = []
        told_by(partial(lambda found, each: found.extend(works(chain, each)), made, step))
        for run in {work.run for work in made}:
            by_run.setdefault(run, []).append(step.name)
    return [
        Problem(names[-1], f"shares run {run} with step {names[0]}", "give it another name")
        for run, names in by_run.items()
        if len(names) > 1
    ]


def _of_schedulers(site: Site, steps: Sequence[Step]) -> list[Problem]:
    """Return the steps that follow one of another scheduler, which their own does not know."""
    keys: dict[str, str] = {}
    for step in steps:
        try:
            keys[step.name] = site.scheduler_of(site.node_type(step.ask.node_type))[0]
        except PangeoHpcError:
            continue
    problems = []
    for step in steps:
        for other in step.after:
            mine, theirs = keys.get(step.name), keys.get(other)
            if mine and theirs and mine != theirs:
                text = f"is a job of {mine} and follows {other}, a job of {theirs}"
                hint = "make them two chains, and the second one wait for the first"
                problems.append(Problem(step.name, text, hint))
    return problems


def told_by(action: Callable[[], Any]) -> list[Problem]:
    """Return the problems that an action is refused with."""
    try:
        action()
    except RequestRefused as error:
        return list(error.problems)
    except PangeoHpcError as error:
        return [Problem("", error.text, error.hint)]
    return []


def _within(step: Step, problem: Problem) -> Problem:
    path = f"{step.name}.{problem.path}" if problem.path else step.name
    return replace(problem, path=path)


def followed(steps: Sequence[Step], made: Mapping[str, Sequence[Work]]) -> dict[str, list[str]]:
    """Return, for each run of a chain, the runs it follows: all of the steps before."""
    return {
        work.run: [before.run for name in step.after for before in made[name]]
        for step in steps
        for work in made[step.name]
    }
