"""Slurm's short forms, written out: hosts such as ``c[1-3,7]``, array tasks such as ``0-9:2``."""

import re
from collections.abc import Iterator
from itertools import product

_RANGE = re.compile(r"(\d+)(?:-(\d+))?(?::(\d+))?")
_ARRAY = re.compile(r"(\d+)_\[([^\]]*)\]?")


def expand_hosts(text: str) -> tuple[str, ...]:
    """Return the hosts of a list in its order, each once, zeros in front kept.

    Raise ValueError if it is not a host list, for example one that was cut off.
    """
    if not text:
        return ()
    found: dict[str, None] = {}
    for word in _words(text):
        parts = re.split(r"\[([^\[\]]*)\]", word)
        if not word or re.search(r"[\[\]\s]", "".join(parts[::2])):
            message = f"{text!r} is not a list of hosts"
            raise ValueError(message)
        choices = [
            tuple(_numbers(part, text)) if place % 2 else (part,)
            for place, part in enumerate(parts)
        ]
        found.update(dict.fromkeys("".join(chosen) for chosen in product(*choices)))
    return tuple(found)


def expand_ids(text: str) -> tuple[str, ...]:
    """Return the ids of the array elements that ``12_[0-3,7%2]`` means; a plain id is itself.

    What follows ``%`` is how many may run at once. A long list may end in ``...``: that part is
    unknown and left out.
    """
    match = _ARRAY.fullmatch(text)
    if not match:
        return (text,)
    tasks = match[2].partition("%")[0]
    words = [word for word in tasks.split(",") if _RANGE.fullmatch(word)]
    return tuple(f"{match[1]}_{int(number)}" for number in _numbers(",".join(words), text))


def _words(text: str) -> Iterator[str]:
    """Split at the commas that are outside of brackets."""
    yield from re.split(r",(?![^\[]*\])", text)


def _numbers(ranges: str, whole: str) -> Iterator[str]:
    for word in ranges.split(",") if ranges else ():
        match = _RANGE.fullmatch(word)
        if not match:
            message = f"{whole!r} is not a list of hosts"
            raise ValueError(message)
        first, last, step = match[1], match[2] or match[1], int(match[3] or 1)
        for number in range(int(first), int(last) + 1, step or 1):
            yield f"{number:0{len(first)}}"
