"""Where steps belong in a record: known by their values; gaps and disorder are named."""

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pangeo_hpc.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

# A month may be longer than another, but not by this.
_GAP = 1.5


def fit(there: "np.ndarray", given: "np.ndarray", dim: str) -> int:
    """Return at which step of a record the given values begin; len(there) if right after it.

    Raise UsageError, naming the place, for values in disorder, values that the record has
    otherwise, and a gap.
    """
    import numpy as np

    if not len(given):
        return len(there)
    _check_order(there, given, dim)
    same = np.flatnonzero(there == given[0]) if len(there) else np.array([], int)
    if not len(same):
        _check_follows(there, given, dim)
        return len(there)
    offset = int(same[0])
    for index, (old, new) in enumerate(zip(there[offset:], given, strict=False)):
        if old != new:
            text = f"{dim}: step {index} is {new}, where the record has {old}"
            raise UsageError(text, hint="give the steps of the record, and those after it")
    return offset


def _check_order(there: Any, given: Any, dim: str) -> None:
    if not _ordered(given):
        if len(set(given.tolist())) < len(given):
            raise UsageError(f"{dim}: a value is there twice", hint=f"drop_duplicates({dim!r})")
        return
    ends = there if len(there) > 1 else given
    up = bool(ends[-1] >= ends[0])
    steps = _steps(given)
    for index, step in enumerate(steps):
        nothing = 0 * step
        if step == nothing or bool(step > nothing) is not up:
            text = f"{dim}: step {index + 1} ({given[index + 1]}) comes after {given[index]}"
            raise UsageError(text, hint=f"sortby({dim!r}) and drop_duplicates({dim!r})")
    if len(there) > 1:
        longest = max(abs(step) for step in _steps(there))
        for index, step in enumerate(steps):
            if abs(step) > _GAP * longest:
                raise _gap(dim, given[index], given[index + 1])


def _check_follows(there: Any, given: Any, dim: str) -> None:
    """Raise UsageError unless what is given comes right after what is there."""
    if not len(there):
        return
    if not _ordered(given):
        return
    ends = there if len(there) > 1 else given
    up = bool(ends[-1] >= ends[0])
    if (given[0] > there[-1]) != up:
        text = f"{dim}: {given[0]} is no step of the record, which goes from {there[0]} to "
        hint = "give steps of the record, or those after it"
        raise UsageError(f"{text}{there[-1]}", hint=hint)
    known = _steps(there) or _steps(given)
    if known and abs(given[0] - there[-1]) > _GAP * max(abs(step) for step in known):
        raise _gap(dim, there[-1], given[0])


def _gap(dim: str, before: Any, after: Any) -> UsageError:
    text = f"{dim}: there is a gap between {before} and {after}"
    return UsageError(text, hint="give the steps between them too, in order")


def _ordered(values: Any) -> bool:
    """Tell whether values are numbers or times, of which one comes after the other."""
    if values.dtype.kind in "iufmM":
        return True
    return bool(values.dtype.kind == "O" and hasattr(values[0], "calendar"))


def _steps(values: Any) -> list[Any]:
    return [after - before for before, after in pairwise(values)]
