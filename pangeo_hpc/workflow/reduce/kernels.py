"""What is done with one block in memory: sums in float64, and how many values they hold.

NumPy alone, so that nothing is compiled first, and no BLAS, whose results depend on its threads.
Values that are missing are looked for only where a sum turned out not to be a number.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pangeo_hpc.workflow.reduce.missing import TOGETHER, sums_of_valid, weighted_sums_of_valid


@dataclass(frozen=True)
class Partial:
    """Sums of some groups over some blocks; the groups are the first axis.

    `weights` says how many values, or how much weight, each sum holds: one number per group where
    no value was missing, else one per sum.
    """

    groups: NDArray[np.intp]
    sums: NDArray[np.float64]
    weights: NDArray[np.float64]

    def within(self, first: int, last: int) -> "Partial":
        """Return what it has of the groups from `first` to before `last`."""
        here = (self.groups >= first) & (self.groups < last)
        if here.all():
            return self
        return Partial(self.groups[here], self.sums[here], self.weights[here])


@dataclass(frozen=True)
class Finish:
    """How sums become means: of which groups, of what type, from how many values at least.

    `only` leaves out the axis of the groups, of which there is one.
    """

    first: int
    last: int
    dtype: np.dtype[Any]
    min_count: int | None = None
    only: bool = False


def group_sums(block: Any, codes: NDArray[np.intp], axis: int, *, skipna: bool) -> Partial:
    """Return the sums of each group of one block along an axis; a code below 0 is in no group."""
    values = np.moveaxis(_plain(block), axis, 0)
    members = list(_members(codes))
    sums = np.empty((len(members), *values.shape[1:]), dtype=np.float64)
    weights = np.empty(len(members), dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        for index, (_, where, number) in enumerate(members):
            np.add.reduce(values[where], axis=0, dtype=np.float64, out=sums[index, ...])
            weights[index] = number
    groups = np.array([code for code, _, _ in members], dtype=np.intp)
    if skipna and values.dtype.kind == "f" and np.isnan(sums).any():
        numbers, weights = weights, np.empty(sums.shape)
        with np.errstate(invalid="ignore", over="ignore"):
            for index, (_, where, _) in enumerate(members):
                weights[index] = numbers[index]
                if np.isnan(sums[index]).any():
                    sums_of_valid(values[where], sums[index, ...], weights[index, ...])
    return Partial(groups, sums, weights)


def weighted_sums(
    block: Any, weight: NDArray[np.float64], axes: tuple[int, ...], *, skipna: bool
) -> Partial:
    """Return the weighted sums of one block over some axes, in one group.

    `weight` has these axes, in this order.
    """
    values = np.moveaxis(_plain(block), axes, range(-len(axes), 0))
    kept = values.shape[: values.ndim - len(axes)]
    groups = np.zeros(1, dtype=np.intp)
    if not weight.size:
        return Partial(groups, np.zeros((1, *kept)), np.zeros(1))
    rows, flat = values.reshape(-1, weight.size), weight.reshape(-1)
    with np.errstate(invalid="ignore", over="ignore"):
        sums = np.einsum("ij,j->i", rows, flat, dtype=np.float64, casting="unsafe")
        total = np.array([np.add.reduce(flat)])
        if skipna and values.dtype.kind == "f" and np.isnan(sums).any():
            totals = np.full(sums.shape, total[0])
            weighted_sums_of_valid(rows, flat, sums, totals)
            total = totals.reshape(1, *kept)
    return Partial(groups, sums.reshape(1, *kept), total)


def combine(parts: Sequence[Partial], first: int, last: int) -> Partial:
    """Add partial sums, always in the order given, so that the result does not vary."""
    chosen = [part.within(first, last) for part in parts]
    if len(chosen) == 1:
        return chosen[0]
    groups = np.unique(np.concatenate([part.groups for part in chosen]))
    sums = np.zeros((groups.size, *chosen[0].sums.shape[1:]))
    one_each = all(part.weights.ndim == 1 for part in chosen)
    weights = np.zeros(groups.size if one_each else sums.shape)
    with np.errstate(invalid="ignore", over="ignore"):
        for part in chosen:
            where = _as_slice(np.searchsorted(groups, part.groups))
            sums[where] += part.sums
            weights[where] += part.weights if one_each else _per_sum(part)
    return Partial(groups, sums, weights)


def means(parts: Sequence[Partial], finish: Finish) -> NDArray[Any]:
    """Return the means of all groups from `first` to before `last`; NaN where nothing is valid."""
    part = combine(parts, finish.first, finish.last)
    weights = _per_sum(part)
    result: NDArray[Any]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        # divided in float64 and rounded once, piece by piece
        result = np.empty(part.sums.shape, dtype=finish.dtype)
        np.divide(part.sums, weights, out=result, casting="same_kind")
        if finish.min_count is not None:
            result[np.broadcast_to(weights < finish.min_count, result.shape)] = np.nan
    number = finish.last - finish.first
    if part.groups.size == number:
        return result[0] if finish.only else result
    every = np.full((number, *result.shape[1:]), np.nan, dtype=finish.dtype)
    every[part.groups - finish.first] = result
    return cast("NDArray[Any]", every[0]) if finish.only else every


def subtract(
    block: Any, mean: NDArray[Any], codes: NDArray[np.intp], axis: int, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Return a block less the mean of each step's group; NaN for a step in no group.

    `mean` has its groups where the block has its steps.
    """
    values = _plain(block)
    result = np.empty(values.shape, dtype=dtype)
    steps, means_, out = (np.moveaxis(a, axis, 0) for a in (values, mean, result))
    with np.errstate(invalid="ignore", over="ignore"):
        if steps.size < TOGETHER or steps[0].size < TOGETHER // 256:
            np.subtract(steps, means_[codes], out=out, casting="same_kind")
        else:
            for index, code in enumerate(codes):
                np.subtract(steps[index], means_[code], out=out[index], casting="same_kind")
        out[codes < 0] = np.nan
    return result


def _plain(block: Any) -> NDArray[Any]:
    """Return a block as a NumPy array; what is masked is missing."""
    if isinstance(block, np.ma.MaskedArray):
        if block.dtype.kind != "f":
            block = block.astype(np.float64)
        block = block.filled(np.nan)
    return np.asarray(block)


def _members(codes: NDArray[np.intp]) -> Iterator[tuple[int, Any, int]]:
    """Return each group in a block, where its steps are, if possible as a slice, and how many."""
    order = np.argsort(codes, kind="stable")
    groups, starts = np.unique(codes[order], return_index=True)
    for group, where in zip(groups, np.split(order, starts[1:]), strict=False):
        if group >= 0:
            yield int(group), _as_slice(where), where.size


def _as_slice(where: NDArray[np.intp]) -> Any:
    """Return rising indices of even distance as a slice, others as they are."""
    if where.size == 1:
        return slice(int(where[0]), int(where[0]) + 1)
    if where.size:
        step = int(where[1] - where[0])
        if step > 0 and (np.diff(where) == step).all():
            return slice(int(where[0]), int(where[-1]) + 1, step)
    return where


def _per_sum(part: Partial) -> NDArray[np.float64]:
    """Return the weights such that they go with the sums."""
    weights = part.weights
    missing = part.sums.ndim - weights.ndim
    return weights.reshape(*weights.shape, *[1] * missing) if missing else weights
