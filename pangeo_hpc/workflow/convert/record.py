"""What a store was converted from: kept in the run's folder, for the files that follow."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc import files
from pangeo_hpc.workflow.convert.agree import mixed_packing
from pangeo_hpc.workflow.convert.survey import Described
from pangeo_hpc.workflow.inputs import identify

if TYPE_CHECKING:
    import xarray as xr

    from pangeo_hpc.workflow.convert.prepare import Plan

_FILE = "converted.json"


@dataclass(frozen=True)
class Source:
    """One file, and what tells whether it was changed: see `inputs.identify`."""

    path: str
    identity: str

    @classmethod
    def of(cls, path: Path) -> "Source":
        """Return a file as it is now."""
        return cls(str(path), identify(path))


@dataclass(frozen=True, kw_only=True)
class Record:
    """The files of a store in their order, and how their values are stored.

    The first `whole` of them are in the store with all their steps, `steps` together; 0 while the
    first conversion is not finished. `variables` are those that were asked for, `described` what
    each one is: its length along `along` says nothing. `fixed` are digests of the coordinates that
    are equal in all files, `encodings` how values are packed, with the types of the numbers.
    """

    target: str
    kind: str
    along: str
    variables: tuple[str, ...]
    sources: tuple[Source, ...]
    whole: int = 0
    steps: int = 0
    described: Mapping[str, Described]
    fixed: Mapping[str, str]
    encodings: Mapping[str, Mapping[str, Any]]

    @classmethod
    def begin(cls, plan: "Plan", ds: "xr.Dataset", target: Path) -> "Record":
        """Return the record of a conversion that begins; `ds` is the joined dataset."""
        pieces = [part.piece for part in plan.arrangement.parts]
        mixed = set(mixed_packing(pieces))
        first = pieces[0]
        described = {
            name: replace(
                each,
                dtype=str(ds.variables[name].dtype) if name in ds.variables else each.dtype,
                packing={} if name in mixed else each.packing,
            )
            for name, each in first.variables.items()
        }
        encodings = {
            str(name): {key: _tagged(value) for key, value in variable.encoding.items()}
            for name, variable in ds.variables.items()
        }
        return cls(
            target=str(target),
            kind=plan.kind,
            along=plan.arrangement.along,
            variables=plan.order.variables,
            sources=tuple(Source.of(piece.path) for piece in pieces),
            described=described,
            fixed=first.fixed,
            encodings=encodings,
        )

    def with_files(self, paths: Iterable[Path]) -> "Record":
        """Return the record of a store to which files are being added."""
        whole = self.sources[: self.whole]
        return replace(self, sources=(*whole, *(Source.of(path) for path in paths)))

    def finished(self, steps: int) -> "Record":
        """Return the record of a store that has all of its files, and so many steps."""
        return replace(self, whole=len(self.sources), steps=steps)

    def encoding(self, name: str) -> dict[str, Any]:
        """Return how a variable of the store is packed, as it was first told to Xarray."""
        return {key: _untagged(each) for key, each in self.encodings.get(name, {}).items()}

    def write(self, run: Path) -> None:
        """Keep the record in a run's folder."""
        files.write_json(run / _FILE, {"format": 1, **asdict(self)})

    @classmethod
    def read(cls, run: Path, target: Path) -> "Record | None":
        """Return what a run's folder tells of a store, None if it tells nothing of it."""
        try:
            kept = files.read_json(run / _FILE)
        except FileNotFoundError:
            return None
        if kept.pop("target") != str(target):
            return None
        del kept["format"]
        sources = tuple(Source(**each) for each in kept.pop("sources"))
        described = {
            name: Described(tuple(each["dims"]), tuple(each["shape"]), **_rest(each))
            for name, each in kept.pop("described").items()
        }
        variables = tuple(kept.pop("variables"))
        return cls(
            target=str(target), sources=sources, described=described, variables=variables, **kept
        )


def _rest(each: Mapping[str, Any]) -> dict[str, Any]:
    return {"dtype": each["dtype"], "packing": each["packing"]}


def _tagged(value: Any) -> Any:
    """Return a value of an encoding as JSON keeps it: a float32 must come back as one."""
    import numpy as np

    if isinstance(value, np.generic):
        return {"type": value.dtype.str, "value": value.item()}
    if isinstance(value, np.dtype | type):
        return {"type": "dtype", "value": np.dtype(value).str}
    return value


def _untagged(kept: Any) -> Any:
    import numpy as np

    if not isinstance(kept, Mapping):
        return kept
    if kept["type"] == "dtype":
        return np.dtype(kept["value"])
    return np.dtype(kept["type"]).type(kept["value"])
