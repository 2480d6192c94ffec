"""Whether files can be joined at all: the same variables, on the same grid, in one calendar."""

from collections.abc import Iterator, Sequence

from pangeo_hpc.errors import Problem
from pangeo_hpc.workflow.convert.survey import Described, Piece


def disagreements(pieces: Sequence[Piece], along: str) -> list[Problem]:
    """Return everything in which files differ from the first one, except in packing."""
    if not pieces:
        return []
    first = pieces[0]
    return [problem for piece in pieces[1:] for problem in _between(first, piece, along)]


def notes(pieces: Sequence[Piece]) -> list[str]:
    """Return what is joined though it differs, and how."""
    return [
        f"{name} is packed differently from file to file: it is stored unpacked"
        for name in mixed_packing(pieces)
    ]


def mixed_packing(pieces: Sequence[Piece]) -> list[str]:
    """Return the variables that files pack with different scales, fill values or types.

    Packed with the scale of the first file, the values of others would lose precision.
    """
    found = []
    for name, described in pieces[0].variables.items() if pieces else ():
        if _sort_of(described.dtype) in ("time", "duration", "object"):
            # times are decoded, and written in units of their own
            continue
        others = (piece.variables.get(name) for piece in pieces[1:])
        if any(repr(each.packing) != repr(described.packing) for each in others if each):
            found.append(name)
    return found


def is_wider(dtype: str, other: str) -> bool:
    """Tell whether a type is another one that holds all values of the other, of the same sort."""
    import numpy as np

    if dtype == other or _sort_of(dtype) != _sort_of(other):
        return False
    return _sort_of(dtype) in ("number", "text") and np.can_cast(np.dtype(other), np.dtype(dtype))


def unlike_the_store(store: Piece, piece: Piece) -> Iterator[Problem]:
    """Yield what of a file's values would not be the same in the store that they are added to."""
    for name, kept in store.variables.items():
        given = piece.variables.get(name)
        if given is None or _sort_of(given.dtype) != _sort_of(kept.dtype):
            # told where files are compared with one another
            continue
        where, sort = str(piece.path), _sort_of(kept.dtype)
        hint = "convert all files into one store with --force"
        if sort in ("number", "text") and given.dtype != kept.dtype:
            if not is_wider(kept.dtype, given.dtype):
                yield Problem(where, f"{name} is {given.dtype}, in the store {kept.dtype}", hint)
        elif sort == "number" and _lossy(kept) and repr(given.packing) != repr(kept.packing):
            text = f"{name} is packed otherwise than in the store: {_words(given)}, not "
            yield Problem(where, f"{text}{_words(kept)}", hint)


def _lossy(kept: Described) -> bool:
    """Tell whether a store packs a variable such that only values like its own fit."""
    packed = kept.packing
    if not packed:
        return False
    return "scale_factor" in packed or "add_offset" in packed or "f" not in str(packed.get("dtype"))


def _words(described: Described) -> str:
    return ", ".join(f"{key} {value}" for key, value in described.packing.items()) or "not at all"


def _between(first: Piece, piece: Piece, along: str) -> Iterator[Problem]:
    where = str(piece.path)
    for name in first.variables.keys() - piece.variables.keys():
        text = f"has no variable {name}, which {first.path} has"
        yield Problem(where, text, "--variable takes only the ones you name")
    for name in piece.variables.keys() - first.variables.keys():
        text = f"has a variable {name}, which {first.path} does not have"
        yield Problem(where, text, "--variable takes only the ones you name")
    for name, described in first.variables.items():
        other = piece.variables.get(name)
        if other is None:
            continue
        if other.dims != described.dims:
            text = f"{name} has the dimensions {other.dims}, in {first.path} {described.dims}"
            yield Problem(where, text)
            continue
        for dim in described.dims:
            if dim != along and other.length(dim) != described.length(dim):
                text = (
                    f"{name} has {other.length(dim)} steps of {dim}, "
                    f"in {first.path} {described.length(dim)}"
                )
                yield Problem(where, text)
        if _sort_of(other.dtype) != _sort_of(described.dtype):
            text = f"{name} is {other.dtype}, in {first.path} {described.dtype}"
            yield Problem(where, text)
    for name in first.fixed.keys() & piece.fixed.keys():
        same_shape = first.variables[name].shape == piece.variables[name].shape
        if same_shape and first.fixed[name] != piece.fixed[name]:
            text = f"{name} has other values than in {first.path}"
            yield Problem(where, text, "they are on another grid: regrid them first")
    yield from _calendar(first, piece, along)


def _calendar(first: Piece, piece: Piece, along: str) -> Iterator[Problem]:
    if (first.values is None) != (piece.values is None):
        here, there = ("no", "a") if piece.values is None else ("a", "no")
        text = f"{along} has {here} coordinate, and {there} one in {first.path}"
        yield Problem(str(piece.path), text)
        return
    sorts = [_time_sort(each) for each in (first, piece)]
    if None not in sorts and sorts[0] != sorts[1]:
        text = f"{along} is {sorts[1]}, in {first.path} {sorts[0]}"
        yield Problem(str(piece.path), text, "files of two calendars cannot be joined")


def _time_sort(piece: Piece) -> str | None:
    if piece.values is None or not piece.steps:
        return None
    if piece.values.dtype.kind != "O":
        return _sort_of(str(piece.values.dtype))
    return f"calendar {getattr(piece.values[0], 'calendar', type(piece.values[0]).__name__)}"


def _sort_of(dtype: str) -> str:
    """Return a type without its width: numbers of several widths are joined in the widest."""
    text = dtype.lstrip("<>|=")
    for sort, starts in (
        ("time", ("datetime64", "M8")),
        ("duration", ("timedelta64", "m8")),
        ("number", ("float", "int", "uint", "f", "i", "u")),
        ("text", ("str", "U", "S", "T")),
    ):
        if text.startswith(starts):
            return sort
    return text
