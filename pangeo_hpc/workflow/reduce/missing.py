"""Sums without what is missing: what a mask leaves out at all steps, and what only some steps lack.

No value is branched on, since a processor that guesses wrong at each gap takes ten times as long.
"""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

# Values that are looked at together, such that they stay in the cache.
TOGETHER = 1 << 18


def sums_of_valid(
    steps: NDArray[Any], sums: NDArray[np.float64], counts: NDArray[np.float64]
) -> None:
    """Mend the sums over the first axis that are not numbers, and count the valid values of each.

    `sums` are those of all steps, in place; `counts` hold how many steps there are.
    """
    never = np.isnan(sums)
    absent = sum(int(np.count_nonzero(np.isnan(some))) for some in _runs(steps))
    if absent == 0:  # infinite values that cancel each other
        return
    if absent == np.count_nonzero(never) * len(steps):  # a mask, as of land
        sums[...] = _with_zeros(sums)
        counts *= ~never
        return
    sums[...] = 0
    for some in _runs(steps):
        sums += np.add.reduce(_with_zeros(some), axis=0, dtype=np.float64)
        counts -= np.add.reduce(np.isnan(some), axis=0, dtype=_counter(len(some)))


def weighted_sums_of_valid(
    rows: NDArray[Any],
    weight: NDArray[np.float64],
    sums: NDArray[np.float64],
    totals: NDArray[np.float64],
) -> None:
    """Mend the weighted sums of rows that are not numbers, and the weight that each row holds."""
    mended = np.flatnonzero(np.isnan(sums))
    length = max(1, TOGETHER // weight.size)
    mask, held = np.zeros(weight.size, dtype=bool), np.float64(np.add.reduce(weight))
    for start in range(0, mended.size, length):
        which = mended[start : start + length]
        together = int(which[-1]) - int(which[0]) + 1 == which.size
        part = rows[which[0] : which[-1] + 1] if together else rows[which]
        absent = np.isnan(part)
        sums[which] = np.einsum("ij,j->i", _with_zeros(part), weight, dtype=np.float64)
        if not (absent == mask).all():  # most rows lack what the last one did
            valid = np.einsum("ij,j->i", ~absent, weight, dtype=np.float64, casting="unsafe")
            totals[which] = valid
            mask, held = absent[-1], valid[-1]
        else:
            totals[which] = held


def _runs(steps: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Return some steps after each other, always the same ones."""
    length = max(1, TOGETHER // max(1, steps[0].size))
    return (steps[start : start + length] for start in range(0, len(steps), length))


def _with_zeros(values: NDArray[Any]) -> NDArray[Any]:
    """Return values with 0 for what is missing: what is above 0 of each, and what is below."""
    clean = np.fmax(values, 0)
    clean += np.fmin(values, 0)
    return cast("NDArray[Any]", clean)


def _counter(number: int) -> Any:
    return np.uint8 if number < 256 else np.uint16 if number < 65536 else np.int64
