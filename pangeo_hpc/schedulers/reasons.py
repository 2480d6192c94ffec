"""Why a job waits, and what its owner could change: as texts of the catalogue.

The scheduler's own words are kept beside them. What is not in a table is told as it is.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pangeo_hpc.texts import Phrase, phrase

KEYS = "reasons"
# What PBS calls what people have another word for, and who holds a job by what `pbs_parse` says.
_THINGS = {"ncpus": "cores", "mem": "memory", "vmem": "memory", "ngpus": "gpus"} | {
    name: name for name in ("nodes", "walltime")
}
_WHO = {
    "its owner": "owner",
    "an operator": "operator",
    "the system": "system",
    "somebody": "somebody",
}


@dataclass(frozen=True)
class Reason:
    """Why a job waits or was not taken.

    `sentence` is for people, None where only the scheduler's own `words` are known; `advice` says
    what they could change, None if nothing. `lasting` says that waiting alone does not help.
    """

    sentence: Phrase | None = None
    advice: Phrase | None = None
    lasting: bool = False
    words: str = ""


@dataclass(frozen=True)
class Rule:
    """One line of a table: a pattern searched for in the words, and what it means.

    `name` is the sentence's in its table's part of the catalogue, `step` that of an advice. The
    sentence may have the pattern's named groups as placeholders; of ``thing`` and ``thing_`` one
    counts.
    """

    pattern: str
    name: str
    step: str = ""
    lasting: bool = False

    def match(self, keys: str, words: str) -> Reason | None:
        """Return the reason if the words are of this kind; `keys` is the table's part."""
        found = re.search(self.pattern, words, re.IGNORECASE)
        if found is None:
            return None
        values = {
            name.rstrip("_"): _value(name.rstrip("_"), value)
            for name, value in found.groupdict().items()
            if value is not None
        }
        sentence = phrase(f"{keys}.{self.name}", **values)
        return Reason(sentence, advice(self.step), self.lasting, words)


def explain(kind: str, words: str) -> Reason:
    """Return what a scheduler's reason means; `kind` is the scheduler's, such as ``slurm``.

    A reason that nobody knows has no sentence but its words.
    """
    # each table uses `Rule` from here
    from pangeo_hpc.schedulers import reasons_pbs, reasons_slurm

    tables = {"slurm": reasons_slurm.explain, "pbs": reasons_pbs.explain}
    told = " ".join(words.split())
    known = tables[kind](told) if kind in tables and told else None
    return known or Reason(words=told)


def first(rules: Iterable[Rule], keys: str, words: str) -> Reason | None:
    """Return what the first fitting rule says."""
    return next((found for rule in rules if (found := rule.match(keys, words))), None)


def advice(step: str) -> Phrase | None:
    """Return an advice by its name, None for no name."""
    return phrase(f"{KEYS}.advice.{step}") if step else None


def thing(name: str) -> Phrase:
    """Return what there is not enough of, by its name in the catalogue."""
    return phrase(f"{KEYS}.things.{name}")


def _value(name: str, value: str) -> object:
    """Return a group of a pattern, as a text of the catalogue if it is one."""
    if name == "thing" and value in _THINGS:
        return thing(_THINGS[value])
    if name == "who" and value in _WHO:
        return phrase(f"{KEYS}.who.{_WHO[value]}")
    return value
