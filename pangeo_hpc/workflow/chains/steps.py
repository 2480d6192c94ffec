"""The steps of a chain, and the runs they are made of: one, or one for each item."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pangeo_hpc import jobs
from pangeo_hpc.workflow.launch import Script
from pangeo_hpc.workflow.notebooks import notebook as notebooks
from pangeo_hpc.workflow.until_done.decide import ATTEMPTS, Limits

ITEM = "{item}"
LONGEST_NAME = 60

_ODD = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step: a script or a notebook, what its jobs ask for, and the steps it follows.

    `over` are the items that each get a run of their own, None for a single run. With `until_done`
    each run goes on in further jobs until it is complete, within the limits.
    """

    name: str
    script: Path
    arguments: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    over: tuple[Any, ...] | None = None
    after: tuple[str, ...] = ()
    environment: str | None = None
    ask: jobs.Ask = field(default_factory=jobs.Ask)
    until_done: bool = False
    attempts: int | None = None
    core_hours: float | None = None

    @property
    def limits(self) -> Limits | None:
        """Return how far its runs may go on in further jobs, None if each is one job."""
        if not self.until_done:
            return None
        most = ATTEMPTS if self.attempts is None else self.attempts
        return Limits(attempts=most, core_hours=self.core_hours)


@dataclass(frozen=True)
class Work:
    """One run of a step: the program, whose name is the run's, and its item in words."""

    step: str
    program: Script
    item: str | None = None

    @property
    def run(self) -> str:
        """Return the name of the run."""
        return self.program.run_name


def names_of(after: "Step | str | Iterable[Step | str]") -> tuple[str, ...]:
    """Return the names of steps that are given themselves, by name, or as several of these."""
    several = (after,) if isinstance(after, Step | str) else after
    return tuple(each.name if isinstance(each, Step) else each for each in several)


def works(chain: str, step: Step) -> list[Work]:
    """Return the runs of a step. Raise UsageError for a parameter that cannot be told to a job."""
    stem = f"{chain}.{step.name}"
    if step.over is None:
        return [Work(step.name, _program(step, stem, step.arguments, step.parameters))]
    labels = labels_of(step.over, LONGEST_NAME - len(stem) - 1)
    made = []
    for item, label in zip(step.over, labels, strict=True):
        arguments, parameters = _with_item(step, item)
        program = _program(step, f"{stem}.{label}", arguments, parameters)
        made.append(Work(step.name, program, _text(item)))
    return made


def labels_of(items: Sequence[Any], longest: int) -> list[str]:
    """Return a name for each item that a run can have; the same item always gets the same.

    An item whose text is too long, or not a name, is told apart by a digest of the text.
    """
    labels = []
    for item in items:
        text = _text(item)
        clean = _ODD.sub("_", text)
        if clean != text or not text or len(text) > longest:
            mark = hashlib.sha256(text.encode()).hexdigest()[:8]
            clean = f"{clean[: max(longest - 9, 0)]}-{mark}"
        labels.append(clean)
    return labels


def _program(
    step: Step, name: str, arguments: tuple[str, ...], parameters: Mapping[str, Any]
) -> Script:
    words = tuple(notebooks.word_of(key, value) for key, value in parameters.items())
    return Script(
        path=step.script,
        arguments=(*arguments, *words),
        environment=step.environment,
        name=name,
    )


def _with_item(step: Step, item: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return arguments and parameters with an item in them.

    It takes the place of ``{item}``. Without one it is a script's last argument, and a notebook's
    parameter `item`, or several if it is a mapping.
    """
    text = _text(item)
    arguments = tuple(word.replace(ITEM, text) for word in step.arguments)
    parameters = {
        name: item
        if value == ITEM
        else value.replace(ITEM, text)
        if isinstance(value, str)
        else value
        for name, value in step.parameters.items()
    }
    if arguments != step.arguments or parameters != dict(step.parameters):
        return arguments, parameters
    if not notebooks.is_notebook(step.script):
        return (*arguments, text), parameters
    more = dict(item) if isinstance(item, Mapping) else {"item": item}
    return arguments, {**parameters, **more}


def _text(item: Any) -> str:
    """Return an item as a word; of a mapping its values tell it apart."""
    if isinstance(item, Mapping):
        return "-".join(str(value) for value in item.values())
    return str(item)
