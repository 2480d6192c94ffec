"""Decide which files can be added to a store that others were converted into; nothing is written.

The store stands for the files that it has with all their steps: they are compared with what was
recorded of them, and need not be there any more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc import files
from pangeo_hpc.errors import Problem, RequestRefused, UsageError
from pangeo_hpc.workflow.convert import agree, sources
from pangeo_hpc.workflow.convert.arrange import Arrangement, arrange, show
from pangeo_hpc.workflow.convert.order import Order, Overlaps
from pangeo_hpc.workflow.convert.prepare import Each, look
from pangeo_hpc.workflow.convert.record import Record
from pangeo_hpc.workflow.convert.sources import Kind
from pangeo_hpc.workflow.convert.survey import Piece
from pangeo_hpc.workflow.inputs import identify
from pangeo_hpc.workflow.writing.fitting import fit

if TYPE_CHECKING:
    import numpy.typing as npt

_AFRESH = "convert all files anew with --force, or into another store"


@dataclass(frozen=True)
class Addition:
    """What is to be added to a store; nothing if `order` has no sources.

    `known` are the files named that the store has already, `steps` those that it has, of which
    `first` and `last` are the ends.
    """

    order: Order
    arrangement: Arrangement
    known: int
    steps: int
    first: Any
    last: Any

    @property
    def notes(self) -> list[str]:
        """Return in words what a person should know before."""
        told = list(self.arrangement.notes)
        for each in self.arrangement.overlaps:
            steps = "1 step is" if each.steps == 1 else f"{each.steps} steps are"
            told.append(f"{steps} in {each.earlier} and in {each.later}: the first counts")
        return told


def add(order: Order, record: Record, target: Path, each: Each = map) -> Addition:
    """Return what of the files of an order is new in the store at `target`, and follows it.

    Raise RequestRefused with everything that does not fit: files that were changed, that belong
    before or between what is there, overlaps, gaps, other grids, types and packing.
    """
    paths, kind = sources.find(order.sources)
    problems = list(_other_order(order, record, kind))
    in_store = {Path(one.path): one for one in record.sources[: record.whole]}
    begun = {Path(one.path): one for one in record.sources[record.whole :]}
    problems += _changed({**in_store, **begun}, [path for path in paths if path in in_store])
    # what an interrupted command began to add is added with the rest
    new = list(dict.fromkeys([*begun, *(path for path in paths if path not in in_store)]))
    problems += _changed(begun, list(begun))
    there = coordinate(target, record)
    store = Piece(target, len(there), there, record.described, record.fixed)
    pieces: list[Piece] = []
    if kind == record.kind:
        found_new = [path for path in new if path.exists()]
        pieces = look(found_new, kind, record.along, record.variables, problems, each)
    following = []
    for piece in pieces:
        found = list(_misplaced(store, piece, record.along))
        problems += [*found, *agree.unlike_the_store(store, piece)]
        if not found:
            following.append(piece)
    arrangement = Arrangement(record.along)
    if len(pieces) == len(new):
        # without a file that cannot be read there would be gaps that are none
        arrangement = arrange([store, *following], record.along, order.overlaps, problems)
        arrangement = _after(arrangement, store, problems)
    if problems:
        raise RequestRefused(problems)
    added = tuple(str(part.piece.path) for part in arrangement.parts)
    ordered = replace(
        order, sources=added, along=record.along, variables=record.variables, append=True
    )
    known = sum(1 for path in paths if path in in_store)
    return Addition(ordered, arrangement, known, len(there), there[0], there[-1])


def coordinate(target: Path, record: Record) -> "npt.NDArray[Any]":
    """Return the values of the coordinate on which a store grows, for all steps that it has.

    Raise UsageError if they cannot be known.
    """
    import numpy as np
    import xarray as xr

    along = record.along
    with files.refusals(target), xr.open_zarr(target, consolidated=False, chunks=None) as ds:
        if along not in ds.coords:
            text = f"{along} has no coordinate in {target}: nobody can tell which files follow"
            raise UsageError(text, hint=_AFRESH)
        values: npt.NDArray[Any] = ds[along].values[: record.steps]
    if len(values) < record.steps or not bool(np.all(values[1:] > values[:-1])):
        text = f"the values of {along} in {target} are no longer those that were written"
        raise UsageError(text, hint="were they purged? convert all files anew with --force")
    return values


def _other_order(order: Order, record: Record, kind: Kind) -> Iterator[Problem]:
    """Yield what is asked otherwise than it was for the store."""
    if kind != record.kind:
        yield Problem("SRC", f"is {kind}, and the store was made of {record.kind}")
    if order.along not in (None, record.along):
        yield Problem("--along", f"is {order.along}, and the store was joined on {record.along}")
    if order.variables and sorted(order.variables) != sorted(record.variables):
        has = ", ".join(record.variables) or "all of them"
        text = f"{', '.join(order.variables)} is asked for, and the store has {has}"
        yield Problem("--variable", text, "leave --variable out: it is taken from the store")
    if order.overlaps is Overlaps.LAST:
        text = "last would change steps that the store has"
        yield Problem("--overlaps", text, f"--overlaps first keeps them; or {_AFRESH}")


def _changed(recorded: dict[Path, Any], paths: Sequence[Path]) -> Iterator[Problem]:
    """Yield the files that are no longer what they were when they were converted."""
    for path in paths:
        if not path.exists():
            text = "was being added when that was interrupted, and is no longer there"
            yield Problem(str(path), text, f"put it back, or {_AFRESH}")
        elif identify(path) != recorded[path].identity:
            text = "was changed since it was converted"
            yield Problem(str(path), text, f"its old values are in the store: {_AFRESH}")


def _misplaced(store: Piece, piece: Piece, along: str) -> Iterator[Problem]:
    """Yield a problem if a file does not come after a store; steps in both are told elsewhere."""
    import numpy as np

    where = str(piece.path)
    if piece.values is None or store.values is None:
        text = f"{along} has no coordinate: nobody can tell whether it follows"
        yield Problem(where, text)
        return
    if not piece.steps or _sort(piece) != _sort(store):
        # calendars and types are compared with all else
        return
    begins = f"begins with {along} {show(piece.first)}"
    if piece.first < store.first:
        text = f"{begins} and belongs before the store, which begins with {show(store.first)}"
        yield Problem(where, text, _AFRESH)
    elif piece.first <= store.last and not np.isin(piece.values, store.values).any():
        text = f"{begins} and belongs between steps of the store, which ends with "
        yield Problem(where, f"{text}{show(store.last)}", _AFRESH)


def _sort(piece: Piece) -> tuple[str, str]:
    assert piece.values is not None  # noqa: S101, files without a coordinate were told of
    kind = piece.values.dtype.kind
    return "number" if kind in "iuf" else kind, getattr(piece.first, "calendar", "")


def _after(found: Arrangement, store: Piece, problems: list[Problem]) -> Arrangement:
    """Return what comes after the store; gaps are added to `problems`."""
    import numpy as np

    parts = tuple(part for part in found.parts if part.piece is not store)
    for gap in found.gaps:
        if gap.before > store.last:
            missing = f"{gap.steps} steps are" if gap.steps > 1 else "a step is"
            text = f"{missing} missing between {show(gap.after)} and {show(gap.before)}"
            hint = f"name the files that have them, too; or {_AFRESH}: it reports gaps and goes on"
            problems.append(Problem(found.along, text, hint))
    if parts and not problems:
        values = [
            part.piece.values[part.start : part.stop]
            for part in parts
            if part.piece.values is not None
        ]
        try:
            # as the writer looks at them
            fit(store.values, np.concatenate(values), found.along)  # type: ignore[arg-type]
        except UsageError as error:
            problems.append(Problem(found.along, error.text, error.hint))
    return replace(found, parts=parts, gaps=())
