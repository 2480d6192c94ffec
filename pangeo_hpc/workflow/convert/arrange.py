"""Decide how files are joined: their order, overlaps and gaps. Nothing is read here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc.errors import Problem
from pangeo_hpc.workflow.convert.agree import disagreements
from pangeo_hpc.workflow.convert.order import Overlaps
from pangeo_hpc.workflow.convert.survey import Piece

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# A step longer than so many usual ones is a gap; months are up to 1.11 of one another.
_GAP = 1.6


@dataclass(frozen=True)
class Part:
    """What is taken of one file: its steps `start` to `stop`."""

    piece: Piece
    start: int
    stop: int

    @property
    def steps(self) -> int:
        """Return how many steps are taken."""
        return self.stop - self.start


@dataclass(frozen=True)
class Gap:
    """Steps that are in no file, between two values of the coordinate."""

    after: Any
    before: Any
    path: Path
    steps: int


@dataclass(frozen=True)
class Overlap:
    """Steps that are in two files."""

    earlier: Path
    later: Path
    first: Any
    last: Any
    steps: int


@dataclass(frozen=True)
class Arrangement:
    """The parts in the order in which they are joined, and what a person should know of it."""

    along: str
    parts: tuple[Part, ...] = ()
    gaps: tuple[Gap, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """Return the length of what is joined."""
        return sum(part.steps for part in self.parts)


def arrange(
    pieces: Sequence[Piece], along: str, overlaps: Overlaps, problems: list[Problem]
) -> Arrangement:
    """Return how files are joined along a dimension; what does not fit is added to `problems`.

    They are sorted by their coordinate. Without one they stay in the order in which they are named.
    """
    found = len(problems)
    problems += disagreements(pieces, along)
    problems += [problem for piece in pieces for problem in _disorder(piece, along)]
    if len(problems) > found:
        return Arrangement(along)
    if any(piece.values is None for piece in pieces):
        told = f"{along} has no coordinate: the files stay in the order in which they are named"
        whole = tuple(Part(piece, 0, piece.steps) for piece in pieces)
        return Arrangement(along, whole, notes=(told,) if len(pieces) > 1 else ())
    ordered = sorted((piece for piece in pieces if piece.steps), key=lambda piece: piece.first)
    notes = tuple(f"{piece.path} has no steps" for piece in pieces if not piece.steps)
    met = _overlaps(ordered)
    if met and overlaps is Overlaps.REFUSE:
        problems += [_refused(each, along) for each in met]
        return Arrangement(along, overlaps=tuple(met))
    parts = _cut(ordered, overlaps, along, problems)
    gaps = tuple(_gaps(parts))
    return Arrangement(along, tuple(parts), gaps, tuple(met), notes)


def _disorder(piece: Piece, along: str) -> Iterator[Problem]:
    import numpy as np

    if piece.values is None or piece.steps < 2:
        return
    values = _values(piece)
    wrong = np.flatnonzero(~(values[1:] > values[:-1]))
    if wrong.size:
        at = int(wrong[0])
        text = (
            f"{along} does not increase: {show(piece.values[at])} is followed by "
            f"{show(piece.values[at + 1])} (step {at + 1})"
        )
        yield Problem(str(piece.path), text, "sort the file, or remove what is there twice")


def _overlaps(ordered: Sequence[Piece]) -> list[Overlap]:
    """Return what each file shares with the one that reached furthest before it."""
    met = []
    furthest = ordered[0] if ordered else None
    for later in ordered[1:]:
        if furthest is not None and later.first <= furthest.last:
            last = min(later.last, furthest.last)
            steps = int((_values(later) <= last).sum())
            met.append(Overlap(furthest.path, later.path, later.first, last, steps))
        if furthest is None or later.last > furthest.last:
            furthest = later
    return met


def _refused(each: Overlap, along: str) -> Problem:
    text = (
        f"begins before {each.earlier} ends: {along} {show(each.first)} to {show(each.last)} "
        "is in both"
    )
    hint = "leave one out, or choose whose steps count: --overlaps first, or last"
    return Problem(str(each.later), text, hint)


def _cut(
    ordered: Sequence[Piece], overlaps: Overlaps, along: str, problems: list[Problem]
) -> list[Part]:
    """Return the parts without what another file has already.

    What is cut off must be in the other file: steps that alternate between files are refused.
    """
    import numpy as np

    parts = [Part(piece, 0, piece.steps) for piece in ordered]
    if overlaps is Overlaps.LAST:
        parts.reverse()
    kept: list[Part] = []
    for part in parts:
        values = _values(part.piece)
        new = part
        if kept and overlaps is Overlaps.LAST:
            new = replace(part, stop=int((values < _bound(kept, overlaps)).sum()))
            lost = values[new.stop :]
        elif kept:
            new = replace(part, start=int((values <= _bound(kept, overlaps)).sum()))
            lost = values[: new.start]
        else:
            lost = values[:0]
        there = np.concatenate([_values(each.piece) for each in kept]) if lost.size else lost
        alone = [value for value in lost if value not in there]
        if alone:
            text = (
                f"its steps alternate with those of other files: {along} {show(alone[0])} "
                "lies among theirs and is in none of them"
            )
            problems.append(Problem(str(part.piece.path), text, "merge these files first"))
        if new.steps:
            kept.append(new)
    return kept[::-1] if overlaps is Overlaps.LAST else kept


def _bound(kept: Sequence[Part], overlaps: Overlaps) -> Any:
    last = kept[-1]
    return last.piece.first if overlaps is Overlaps.LAST else _values(last.piece)[last.stop - 1]


def _gaps(parts: Sequence[Part]) -> Iterator[Gap]:
    """Yield where a step is longer than usual; numbers and times alike."""
    import numpy as np

    joined = [_values(part.piece)[part.start : part.stop] for part in parts]
    steps = [_lengths(values) for values in joined]
    between = [_lengths(np.array([a[-1], b[0]], a.dtype))[0] for a, b in pairwise(joined)]
    every = np.concatenate([*steps, np.array(between)]) if parts else np.array([])
    usual = float(np.median(every)) if every.size else 0.0
    if not usual > 0:
        return
    for index, values in enumerate(joined):
        for at in np.flatnonzero(steps[index] > _GAP * usual):
            yield _gap(values[at], values[at + 1], steps[index][at], usual, parts[index])
        if index < len(between) and between[index] > _GAP * usual:
            yield _gap(values[-1], joined[index + 1][0], between[index], usual, parts[index])


def _gap(after: Any, before: Any, length: float, usual: float, part: Part) -> Gap:
    return Gap(after, before, part.piece.path, max(1, round(length / usual) - 1))


def _lengths(values: "npt.NDArray[Any]") -> "npt.NDArray[np.float64]":
    """Return the lengths of steps, in seconds for times; none for texts."""
    import numpy as np

    if values.dtype.kind in "mM":
        return np.diff(values) / np.timedelta64(1, "s")
    if values.dtype.kind == "O":
        return np.array([each.total_seconds() for each in np.diff(values)], float)
    if values.dtype.kind in "iuf":
        return np.diff(values.astype(float))
    return np.zeros(max(0, values.size - 1))


def _values(piece: Piece) -> "npt.NDArray[Any]":
    assert piece.values is not None  # noqa: S101, files without a coordinate are not cut
    return piece.values


def show(value: Any) -> str:
    """Return a value of the coordinate as a person writes it."""
    text = str(value)
    return text.removesuffix(".000000000").removesuffix("T00:00:00").removesuffix(" 00:00:00")
