"""Compare the outputs of a replay with the original, bit by bit, in decoded values."""

import filecmp
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc.workflow.origin import PREFIX

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

# How much of each of the two is in memory at once.
BLOCK = 64 << 20


@dataclass
class Comparison:
    """What differs between two outputs; `values` counts what was compared."""

    original: Path
    replay: Path
    differs: list[str] = field(default_factory=list)
    values: int = 0

    @property
    def equal(self) -> bool:
        """Tell whether nothing differs."""
        return not self.differs

    def json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "original": str(self.original),
            "replay": str(self.replay),
            "equal": self.equal,
            "values": self.values,
            "differs": self.differs,
        }


def compare(original: Path, replay: Path) -> Comparison:
    """Return how two outputs differ: Zarr stores by their values, all else by its bytes.

    Attributes that tell of the run itself (``pangeo_hpc_…``) are left out.
    """
    found = Comparison(original, replay)
    for path, what in ((original, "the original"), (replay, "the replay's")):
        if not path.exists():
            found.differs.append(f"{what} is not there: {path}")
    if found.differs:
        return found
    if (original / "zarr.json").is_file() or (original / ".zgroup").is_file():
        _stores(found)
    else:
        _files(found)
    return found


def in_words(found: Sequence[Comparison]) -> str:
    """Return the result of all comparisons in one line."""
    if not found:
        return "there are no outputs to compare"
    if all(each.equal for each in found):
        values = sum(each.values for each in found)
        many = f"{len(found)} output{'s' if len(found) > 1 else ''}"
        return f"equal bit by bit: {many}, {values:,} values"
    wrong = [each for each in found if not each.equal]
    return f"{len(wrong)} of {len(found)} outputs differ: {'; '.join(wrong[0].differs[:3])}"


def _stores(found: Comparison) -> None:
    from pangeo_hpc.workflow.writing.template import stable

    with stable():
        _all_groups(found)


def _all_groups(found: Comparison) -> None:
    ours, theirs = _groups(found.original), _groups(found.replay)
    _names(found, "group", ours, theirs)
    for group in [name for name in ours if name in theirs]:
        with _opened(found.original, group) as one, _opened(found.replay, group) as two:
            _datasets(found, group, one, two)


def _groups(store: Path) -> list[str]:
    import zarr

    root = zarr.open_group(store, mode="r")
    return [
        "",
        *(path for path, item in root.members(max_depth=None) if isinstance(item, zarr.Group)),
    ]


def _opened(store: Path, group: str) -> "xr.Dataset":
    import xarray as xr

    found: xr.Dataset = xr.open_zarr(store, group=group or None, chunks=None, consolidated=False)
    return found


def _datasets(found: Comparison, group: str, one: "xr.Dataset", two: "xr.Dataset") -> None:
    where = f"{group}/" if group else ""
    names = [[str(name) for name in ds.variables] for ds in (one, two)]
    _names(found, f"{where}variable", *names)
    _attributes(found, group or "attributes", one.attrs, two.attrs)
    for name in [name for name in names[0] if name in names[1]]:
        a, b = one.variables[name], two.variables[name]
        _attributes(found, f"{where}{name}", a.attrs, b.attrs)
        if (a.dims, a.shape, a.dtype) != (b.dims, b.shape, b.dtype):
            text = f"{a.dims} {a.shape} {a.dtype}, replayed {b.dims} {b.shape} {b.dtype}"
            found.differs.append(f"{where}{name}: {text}")
            continue
        found.values += a.size
        apart = _values(a, b)
        if apart:
            found.differs.append(f"{where}{name}: {apart}")


def _values(a: "xr.Variable", b: "xr.Variable") -> str | None:
    """Return what differs in the values of two variables of one shape, None if nothing does."""
    import numpy as np

    wrong, most, first = 0, 0.0, None
    for region in _regions(a.shape, a.dtype.itemsize):
        one, two = np.asarray(a[region].values), np.asarray(b[region].values)
        differ = _unequal(one, two)
        if not differ.any():
            continue
        wrong += int(differ.sum())
        if first is None:
            start = [part.start for part in region] + [0] * (differ.ndim - len(region))
            first = tuple(int(i) + s for i, s in zip(np.argwhere(differ)[0], start, strict=True))
        if one.dtype.kind in "fiu":
            apart = np.abs(one[differ].astype("f8") - two[differ].astype("f8"))
            most = max(most, float(np.nanmax(apart, initial=0.0)))
    if not wrong:
        return None
    size = f", by up to {most:.3g}" if most else ""
    return f"{wrong:,} of {a.size:,} values differ{size}; the first at {first}"


def _unequal(one: "np.ndarray[Any, Any]", two: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Tell where two arrays differ in their bits: NaN equals itself, and 0.0 is not -0.0."""
    import numpy as np

    if one.dtype.kind in "OTUS":
        return np.asarray(one != two)
    plain = [np.ascontiguousarray(each).view(f"V{each.dtype.itemsize}") for each in (one, two)]
    return np.asarray(plain[0] != plain[1]).reshape(one.shape)


def _regions(shape: tuple[int, ...], itemsize: int) -> Iterator[tuple[slice, ...]]:
    """Return slabs along the first dimension of at most BLOCK bytes each."""
    if not shape:
        yield ()
        return
    row = itemsize
    for size in shape[1:]:
        row *= size
    step = max(1, BLOCK // max(1, row))
    for start in range(0, shape[0], step):
        yield (slice(start, min(start + step, shape[0])),)


def _names(found: Comparison, what: str, ours: Sequence[str], theirs: Sequence[str]) -> None:
    gone, new = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
    found.differs += [f"{what} {name} is missing in the replay" for name in gone]
    found.differs += [f"{what} {name} is new in the replay" for name in new]


def _attributes(
    found: Comparison, what: str, one: Mapping[Any, Any], two: Mapping[Any, Any]
) -> None:
    ours, theirs = (
        {str(key): repr(value) for key, value in each.items() if not str(key).startswith(PREFIX)}
        for each in (one, two)
    )
    wrong = sorted(key for key in ours | theirs if ours.get(key) != theirs.get(key))
    if wrong:
        found.differs.append(f"{what}: other attributes: {', '.join(wrong)}")


def _files(found: Comparison) -> None:
    """Compare files, or directories of files, by their bytes."""
    roots = (found.original, found.replay)
    if not found.original.is_dir() or not found.replay.is_dir():
        names = [[""] if root.is_file() else [] for root in roots]
    else:
        names = [
            [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
            for root in roots
        ]
        _names(found, "file", *names)
    both = sorted(set(names[0]) & set(names[1]))
    if not both and not found.differs:
        found.differs.append("one is a file and the other is none")
    for name in both:
        one, two = (root / name if name else root for root in roots)
        found.values += one.stat().st_size
        if not filecmp.cmp(one, two, shallow=False):
            found.differs.append(f"{name or one.name}: other bytes")
