"""The work of one output as a graph of tasks, unit by unit: compute, encode, write, make durable.

Every task that writes has one whole file, so that no two ever write into the same.
"""

import io
import math
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc import files
from pangeo_hpc.workflow.lease import Fence
from pangeo_hpc.workflow.writing.encoded import as_dask, encode
from pangeo_hpc.workflow.writing.layout import STATIC, Unit, is_lazy
from pangeo_hpc.workflow.writing.parts import Part
from pangeo_hpc.workflow.writing.store import DurableStore

if TYPE_CHECKING:
    import dask.array as da
    import zarr


@dataclass
class Job:
    """One unit to be written: the tasks of the cluster, and those of data in our own memory."""

    part: Part
    unit: Unit
    bytes: int = 0
    source: int = 0
    began: float = 0.0
    files: int = 0
    remote: list[Any] = field(default_factory=list)
    local: list[Any] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Return the unit's name in the ledger."""
        return self.part.key(self.unit)


@dataclass(frozen=True)
class _Put:
    """Writes blocks of one array, in its place of the store. Travels to workers."""

    array: "zarr.Array[Any]"
    start: tuple[int, ...]

    def __dask_tokenize__(self) -> Any:
        return secrets.token_hex(8)

    def __call__(self, block: Any, block_info: Any = None) -> Any:
        import numpy as np

        place = block_info[0]["array-location"]
        self.array[
            tuple(slice(a + o, b + o) for (a, b), o in zip(place, self.start, strict=True)) or ...
        ] = block
        return np.full((1,) * block.ndim, block.nbytes)


@dataclass(frozen=True)
class _Keep:
    """Keeps blocks of a gathered variable, one file each, until all are there.

    `place` is the axis of the units, the step at which the array begins, and the steps of a unit.
    """

    folder: Path
    name: str
    prefix: str
    place: tuple[int, int, int]
    fence: Fence

    def __dask_tokenize__(self) -> Any:
        return secrets.token_hex(8)

    def __call__(self, block: Any, block_info: Any = None) -> Any:
        import numpy as np

        axis, first, steps = self.place
        start = first + block_info[0]["array-location"][axis][0]
        data = io.BytesIO()
        np.save(data, block, allow_pickle=False)
        unit = f"{self.prefix}unit-{start // steps:06}"
        path = self.folder / piece(unit, self.name)
        try:
            files.write_atomic(path, data.getvalue(), last=self.fence.check)
        except FileNotFoundError:
            # a draft that is gone was removed by whoever took the run over
            self.fence.check()
            raise
        return np.full((1,) * block.ndim, block.nbytes)


def piece(unit: str, name: str) -> str:
    """Return the file of a unit's piece of a gathered variable."""
    return f"{unit}.{name.replace('/', '%2F')}.npy"


class Work:
    """The tasks of all units of a part that are still to be written."""

    def __init__(
        self,
        part: Part,
        todo: Sequence[Unit],
        had: Mapping[str, int],
        store: DurableStore,
        pieces: Path,
    ) -> None:
        """Build the graph.

        `had` are the steps of a unit that the store has already: where an output grows, the last
        file is written anew with them in front.
        """
        self.part, self._store, self._pieces = part, store, pieces
        self._fence = store.fence
        self.jobs = [Job(part, unit) for unit in todo]
        self._by_key = {job.unit.key: job for job in self.jobs}
        self._graphs: list[tuple[Any, list[Any]]] = []
        ranged = [unit for unit in todo if unit.along is not None]
        if ranged:
            if part.layout.gathered:
                files.make_directory(pieces)
            self._ranged(ranged, had)
        if STATIC in self._by_key:
            self._static()
        self.graph = self._optimized()

    def _ranged(self, units: Sequence[Unit], had: Mapping[str, int]) -> None:
        """Add the tasks of all variables that are written in ranges."""
        layout, offset = self.part.layout, self.part.offset
        along, first = units[0].along or "", units[0].start
        begin = max(first, had.get(units[0].key, first))
        stop = units[-1].stop
        ours = {along: slice(begin - offset, stop - offset)}
        names = layout.by_unit + layout.gathered
        sources = {name: self.part.ds.variables[name].isel(ours) for name in names}
        lazy = {n: as_dask(v, layout.grids[n]) for n, v in sources.items()}
        found = encode(lazy, self._store, self.part, {along: slice(begin, stop)})
        for name, (data, array) in found.items():
            axis = sources[name].dims.index(along)
            start = [0] * data.ndim
            start[axis] = first
            values = _with_rows(data, array, axis, first, begin)
            write = list(layout.grids[name].write)
            put: Any
            if name in layout.gathered:
                write = [max(1, size) for size in array.shape]
                write[axis] = layout.unit
                prefix = self.part.key("")
                place = (axis, first, layout.unit)
                put = _Keep(self._pieces, name, prefix, place, self._fence)
            else:
                put = _Put(array, tuple(start))
            values = _whole_files(values, write)
            self._add(values, put, is_lazy(sources[name]), axis, first, units, data)

    def _static(self) -> None:
        """Add the tasks of the variables that are written once."""
        layout, job = self.part.layout, self._by_key[STATIC]
        sources = {name: self.part.ds.variables[name] for name in layout.static}
        lazy = {n: as_dask(v, layout.grids[n]) for n, v in sources.items()}
        for name, (data, array) in encode(lazy, self._store, self.part).items():
            values = _whole_files(data, layout.grids[name].write)
            puts = _mapped(values, _Put(array, (0,) * data.ndim))
            keys = list(_flat(puts.__dask_keys__()))
            self._note(job, keys, is_lazy(sources[name]), int(values.nbytes), data)
            self._graphs.append((puts, keys))

    def _add(
        self,
        values: "da.Array",
        put: Any,
        lazy: bool,
        axis: int,
        first: int,
        units: Sequence[Unit],
        source: "da.Array",
    ) -> None:
        puts = _mapped(values, put)
        ends = _ends(values.chunks[axis])
        per_step = values.nbytes / max(1, values.shape[axis])
        wanted = []
        by_block = _keys_along(puts, axis)
        for unit in units:
            low, high = unit.start - first, unit.stop - first
            keys = [
                key
                for index, end in enumerate(ends)
                if low < end <= high
                for key in by_block[index]
            ]
            wanted += keys
            job = self._by_key[unit.key]
            self._note(job, keys, lazy, int(per_step * (high - low)), source)
        self._graphs.append((puts, wanted))

    def _note(self, job: Job, keys: list[Any], lazy: bool, size: int, source: "da.Array") -> None:
        (job.remote if lazy else job.local).extend(keys)
        job.bytes += size
        job.files += len(keys)
        largest = math.prod(max(lengths, default=1) for lengths in source.chunks)
        job.source = max(job.source, largest * source.dtype.itemsize if lazy else 0)

    def _optimized(self) -> dict[Any, Any]:
        """Return the tasks of all units, optimized once."""
        import dask.array as da
        from dask.highlevelgraph import HighLevelGraph

        if not self._graphs:
            return {}
        merged = HighLevelGraph.merge(*(puts.__dask_graph__() for puts, _ in self._graphs))
        keys = [key for _, wanted in self._graphs for key in wanted]
        return dict(da.optimize(merged, keys))

    def tasks(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """Return what these keys need of the graph."""
        from dask.core import get_dependencies

        found: dict[Any, Any] = {}
        stack = list(keys)
        while stack:
            key = stack.pop()
            if key not in found:
                found[key] = self.graph[key]
                stack += get_dependencies(self.graph, key)
        return found


def _with_rows(
    data: "da.Array", array: "zarr.Array[Any]", axis: int, first: int, begin: int
) -> Any:
    """Return encoded values with the steps of their first file in front that are there already."""
    import dask.array as da

    if first == begin:
        return data
    rows = array[tuple(slice(first, begin) if i == axis else slice(None) for i in range(data.ndim))]
    return da.concatenate([da.from_array(rows, name=False), data], axis=axis)


def _whole_files(values: "da.Array", write: Sequence[int]) -> "da.Array":
    """Return values whose Dask chunks are files, each made from what it overlaps, in one step."""
    chunks = tuple(
        _lengths(length, max(1, size)) for length, size in zip(values.shape, write, strict=True)
    )
    if chunks == values.chunks:
        return values
    whole: da.Array = values.rechunk(chunks, threshold=1 << 60, method="tasks")
    return whole


def _lengths(length: int, size: int) -> tuple[int, ...]:
    whole, rest = divmod(length, size)
    return (size,) * whole + ((rest,) if rest else ())


def _mapped(values: "da.Array", put: Any) -> "da.Array":
    import dask.array as da
    import numpy as np

    puts: da.Array = da.map_blocks(
        put,
        values,
        dtype="i8",
        chunks=tuple((1,) * len(lengths) for lengths in values.chunks),
        meta=np.empty((0,) * values.ndim, dtype="i8"),
        name=f"put-{secrets.token_hex(8)}",
    )
    return puts


def _keys_along(array: "da.Array", axis: int) -> list[list[Any]]:
    found: list[list[Any]] = [[] for _ in array.chunks[axis]]
    for key in _flat(array.__dask_keys__()):
        found[key[1 + axis]].append(key)
    return found


def _flat(keys: Any) -> Iterable[Any]:
    if isinstance(keys, list):
        for each in keys:
            yield from _flat(each)
    else:
        yield keys


def _ends(lengths: Sequence[int]) -> list[int]:
    total, found = 0, []
    for length in lengths:
        total += length
        found.append(total)
    return found
