"""The Dask graph of a reduction: a partial result for each block, added up in a tree."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pangeo_hpc.units import MIB
from pangeo_hpc.workflow.reduce import kernels
from pangeo_hpc.workflow.reduce.blocks import Blocks, Index, read

# How many partial results are added at once.
FAN_IN = 8

# Spatial means of about so much data are one chunk: a file for each block would be tiny, and one
# for all could not be written in units.
SPATIAL = 512 * MIB

# Groups that follow each other in time are cut into outputs of about this size: small enough that
# the first ones are packed and written while later ones are read.
OUTPUT = 8 * MIB

# Blocks of so much data in all are kept from the mean to what is less than it, and not read again.
HELD_AT_MOST = 512 * MIB


@dataclass(frozen=True)
class Groups:
    """Which group each step along an axis is in, or -1 for none; the groups are numbered."""

    axis: int
    codes: NDArray[np.intp]
    number: int


@dataclass(frozen=True)
class How:
    """How values become a mean: without what is missing; `only` one group, which has no axis."""

    skipna: bool = True
    min_count: int | None = None
    only: bool = False


def grouped_means(blocks: Blocks, groups: Groups, dtype: np.dtype[Any], how: How) -> Any:
    """Return a Dask array of the means of groups, with the groups where the axis was."""
    axis = groups.axis
    starts = blocks.starts[axis]
    codes = [groups.codes[starts[i] : starts[i + 1]] for i in range(len(blocks.chunks[axis]))]

    def partial(index: Index) -> tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]:
        return kernels.group_sums, (codes[index[axis]], axis), {"skipna": how.skipna}

    ranges = _ranges(blocks, groups, codes, dtype)
    holders = [_holders(codes, first, last) for first, last in ranges]
    others = [range(len(lengths)) for i, lengths in enumerate(blocks.chunks) if i != axis]
    outputs = {}
    for position, place in itertools.product(range(len(ranges)), itertools.product(*others)):
        members = [(*place[:axis], i, *place[axis:]) for i in holders[position]]
        outputs[(position, *place)] = (members, ranges[position])
    kept = [lengths for i, lengths in enumerate(blocks.chunks) if i != axis]
    chunks = (tuple(last - first for first, last in ranges), *kept)
    what = (axis, groups.codes, groups.number)
    array = _reduced(blocks, partial, outputs, chunks, dtype, how, what)
    return array if how.only or axis == 0 else np.moveaxis(array, 0, axis)


def weighted_means(
    blocks: Blocks,
    weight: NDArray[np.float64],
    axes: tuple[int, ...],
    dtype: np.dtype[Any],
    how: How,
) -> Any:
    """Return a Dask array of the weighted means over some axes; `weight` has just these."""
    parts: dict[Index, NDArray[np.float64]] = {}

    def partial(index: Index) -> tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]:
        here = tuple(index[axis] for axis in axes)
        if here not in parts:  # blocks that follow each other in time share their weights
            where = blocks.slices(index)
            parts[here] = np.ascontiguousarray(weight[tuple(where[axis] for axis in axes)])
        return kernels.weighted_sums, (parts[here], axes), {"skipna": how.skipna}

    kept = [axis for axis in range(len(blocks.chunks)) if axis not in axes]
    outputs: dict[Index, tuple[list[Index], tuple[int, int]]] = {}
    for index in blocks.indices():
        place = (0, *(index[axis] for axis in kept))
        outputs.setdefault(place, ([], (0, 1)))[0].append(index)
    chunks = ((1,), *(blocks.chunks[axis] for axis in kept))
    array = _reduced(blocks, partial, outputs, chunks, dtype, how, (axes, weight))
    along = next((i for i, lengths in enumerate(array.chunks) if len(lengths) > 1), None)
    if along is None:
        return array
    number = max(1, SPATIAL // max(1, blocks.nbytes // sum(1 for _ in blocks.indices())))
    lengths = array.chunks[along]
    runs = (lengths[start : start + number] for start in range(0, len(lengths), number))
    return array.rechunk({along: tuple(map(sum, runs))}, method="tasks")


def subtracted(blocks: Blocks, mean: Any, groups: Groups, dtype: np.dtype[Any]) -> Any:
    """Return a Dask array of the blocks less the mean of each step's group, in the input's chunks.

    The blocks that the mean was made of are kept for it if they are few, and else read again in the
    very task that uses them, so that none is held in between. Chunks of the input that lie within
    a block are cut out of it afterwards, since a shard is read faster than its chunks one by one.
    """
    import dask.array
    from dask._task_spec import Task, TaskRef
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    axis = groups.axis
    again = blocks if blocks.hold(blocks.as_given) else blocks.again()
    kept = blocks.nbytes <= HELD_AT_MOST and again is blocks
    one = {i: -1 if i == axis else sizes for i, sizes in enumerate(again.chunks)}
    mean = mean.rechunk(one, method="tasks")
    name = f"reduce-less-{tokenize(again.name, mean.name, groups.codes, dtype)}"
    layers, dependencies = dict(mean.dask.layers), dict(mean.dask.dependencies)
    needs = {mean.name}
    if kept:
        needs.add(blocks.name)
    elif blocks.source is None:
        again = _after(blocks, mean)
        layers |= again.dask.dask.layers
        dependencies |= again.dask.dask.dependencies
        needs.add(again.name)
    tasks: dict[Any, Any] = {}
    for index in again.indices():
        where = again.slices(index)
        key = (mean.name, *(0 if i == axis else k for i, k in enumerate(index)))
        arguments = (TaskRef(key), groups.codes[where[axis]], axis, dtype)
        if kept or again.source is None:
            block = TaskRef(again.key(index))
            tasks[(name, *index)] = Task((name, *index), kernels.subtract, block, *arguments)
        else:
            source = TaskRef(again.source.key)
            needs.add(again.source.key)
            tasks[(name, *index)] = Task((name, *index), _read_less, source, where, *arguments)
    graph = HighLevelGraph({**layers, name: tasks}, {**dependencies, name: needs})
    array = dask.array.Array(graph, name, again.chunks, dtype=dtype)
    return array.rechunk(blocks.as_given, method="tasks")


def _after(blocks: Blocks, mean: Any) -> Blocks:
    """Return the blocks of a Dask array that is computed once more, when the mean is known."""
    from dask.graph_manipulation import bind

    array = bind(blocks.dask, mean)
    return replace(blocks, name=array.name, dask=array)


def _read_less(source: Any, where: tuple[slice, ...], *arguments: Any) -> NDArray[Any]:
    return kernels.subtract(read(source, where), *arguments)


def _reduced(
    blocks: Blocks,
    partial: Callable[[Index], tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]],
    outputs: Mapping[Index, tuple[Sequence[Index], tuple[int, int]]],
    chunks: tuple[tuple[int, ...], ...],
    dtype: np.dtype[Any],
    how: How,
    what: Any,
) -> Any:
    """Return the Dask array of all outputs, each made of some groups of some blocks.

    `what` is all that `partial` uses besides the block, from which the array is named.
    """
    import dask.array
    from dask._task_spec import List, Task, TaskRef
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    calls = {index: partial(index) for index in blocks.indices()}
    token = tokenize(blocks.name, what, chunks, dtype, how)
    name = f"reduce-means-{token}"
    part, tree = f"reduce-part-{token}", f"reduce-add-{token}"
    tasks: dict[Any, Any] = {}
    for index, (function, arguments, options) in calls.items():
        key, block = (part, *index), TaskRef(blocks.key(index))
        tasks[key] = Task(key, function, block, *arguments, **options)
    # an output of only one group has no axis for it
    first_axis = 1 if how.only else 0
    for place, (members, (first, last)) in outputs.items():
        keys: list[Any] = [(part, *index) for index in members]
        for level in itertools.count():
            if len(keys) <= FAN_IN:
                break
            runs = [keys[start : start + FAN_IN] for start in range(0, len(keys), FAN_IN)]
            keys = [(tree, level, *place, number) for number in range(len(runs))]
            for key, run in zip(keys, runs, strict=True):
                given = List(*map(TaskRef, run))
                tasks[key] = Task(key, kernels.combine, given, first, last)
        finish = kernels.Finish(first, last, dtype, how.min_count, how.only)
        key = (name, *place[first_axis:])
        tasks[key] = Task(key, kernels.means, List(*map(TaskRef, keys)), finish)
    layers, dependencies = _reading(blocks)
    graph = HighLevelGraph({**layers, name: tasks}, {**dependencies, name: {blocks.name}})
    return dask.array.Array(graph, name, chunks[first_axis:], dtype=dtype)


def _reading(blocks: Blocks) -> tuple[dict[str, Any], dict[str, set[str]]]:
    """Return the layers that give the blocks, and what they depend on."""
    from dask._task_spec import Task, TaskRef

    if blocks.source is None:
        graph = blocks.dask.dask
        return dict(graph.layers), dict(graph.dependencies)
    source = blocks.source
    keys = {index: blocks.key(index) for index in blocks.indices()}
    tasks = {
        key: Task(key, read, TaskRef(source.key), blocks.slices(index))
        for index, key in keys.items()
    }
    layers = {source.key: {source.key: source.array}, blocks.name: tasks}
    return layers, {source.key: set(), blocks.name: {source.key}}


def _holders(codes: Sequence[NDArray[np.intp]], first: int, last: int) -> list[int]:
    """Return which blocks along the axis have a step of these groups."""
    return [i for i, some in enumerate(codes) if ((some >= first) & (some < last)).any()] or [0]


def _ranges(
    blocks: Blocks, groups: Groups, codes: Sequence[NDArray[np.intp]], dtype: np.dtype[Any]
) -> list[tuple[int, int]]:
    """Return the groups of each output along the axis: all in one, if a block has many of them.

    Groups that follow each other, such as years, are cut where an output would become large.
    """
    others = [
        max(lengths, default=0) for i, lengths in enumerate(blocks.chunks) if i != groups.axis
    ]
    per_group = dtype.itemsize
    for length in others:
        per_group *= max(1, length)
    run = max(1, OUTPUT // per_group)
    spans = [
        int(some[some >= 0].max() - some[some >= 0].min()) + 1
        for some in codes
        if (some >= 0).any()
    ]
    if run >= groups.number or max(spans, default=0) > run:
        return [(0, groups.number)]
    return [(first, min(first + run, groups.number)) for first in range(0, groups.number, run)]
