"""Why a job waits, in plain words, and what its owner could change.

The scheduler's own words are kept beside ours. What is not in a table is told as it is.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """Why a job waits or was not taken.

    `sentence` is for people; `advice` says what they could change, empty if nothing; `words` are
    the scheduler's own. `lasting` says that waiting alone does not help.
    """

    sentence: str
    advice: str = ""
    lasting: bool = False
    words: str = ""


@dataclass(frozen=True)
class Rule:
    """One line of a table: a pattern searched for in the words, and what it means.

    Sentence and advice may hold the pattern's named groups in braces.
    """

    pattern: str
    sentence: str
    advice: str = ""
    lasting: bool = False

    def match(self, words: str) -> Reason | None:
        """Return the reason if the words are of this kind."""
        found = re.search(self.pattern, words, re.IGNORECASE)
        if found is None:
            return None
        named = {name: value or "" for name, value in found.groupdict().items()}
        return Reason(
            self.sentence.format(**named), self.advice.format(**named), self.lasting, words
        )


def explain(kind: str, words: str) -> Reason:
    """Return what a scheduler's reason means; `kind` is the scheduler's, such as ``slurm``.

    A reason that nobody knows is its own sentence. No reason is an empty sentence.
    """
    # each table uses `Rule` from here
    from pangeo_hpc.schedulers import reasons_pbs, reasons_slurm

    tables = {"slurm": reasons_slurm.explain, "pbs": reasons_pbs.explain}
    told = " ".join(words.split())
    known = tables[kind](told) if kind in tables and told else None
    return known or Reason(told, words=told)


def first(rules: Iterable[Rule], words: str) -> Reason | None:
    """Return what the first fitting rule says."""
    return next((found for rule in rules if (found := rule.match(words))), None)
