"""Find recorded calls of Slurm's programs by what was asked, or by their label."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.run import Result, converse
from pangeo_hpc.testing import Replay, Step, read_transcript

RECORDINGS = Path(__file__).with_name("slurm")
FILES = sorted(RECORDINGS.glob("*.txt"))


@cache
def steps(case: str) -> list[Step]:
    """Return the steps of the file whose name begins with a number."""
    return read_transcript(next(RECORDINGS.glob(f"{case}-*.txt")))


def asked(case: str, words: str, number: int = 0) -> Result:
    """Return what a command that contains these words was answered, the first time or a later."""
    return [step.result for step in steps(case) if words in step.command][number]


def noted(case: str, label: str) -> Result:
    """Return what was recorded under a label."""
    return next(step.result for step in steps(case) if step.note == label)


def ids(case: str) -> dict[str, str]:
    """Return the ids of a case's jobs by the labels they were submitted under."""
    found = [step for step in steps(case) if step.command.startswith("sbatch") and step.note]
    return {step.note: step.result.stdout.strip() for step in found}


def replay(case: str, conversation: Any, *, after: str = "") -> Any:
    """Carry out a conversation over a case; the calls must be those that were recorded.

    `after` is the label of a step before which nothing is used.
    """
    found = steps(case)
    start = [step.note for step in found].index(after) if after else 0
    return converse(conversation, Replay(found[start:]))


def failure(act: Callable[[], object]) -> PangeoHpcError:
    """Return the error that a call raises."""
    try:
        act()
    except PangeoHpcError as error:
        return error
    raise AssertionError("no error")
