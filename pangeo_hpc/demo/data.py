"""Find the sample data and sort its files by model, from their names alone.

The data come with the package `esmvaltool-sample-data`, in the folders of CMIP6:
``…/INSTITUTION/MODEL/EXPERIMENT/MEMBER/TABLE/VARIABLE/GRID/VERSION/FILE.nc``. Importing it would
import Iris, so only its place is asked for.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

PACKAGE, MODULE = "esmvaltool-sample-data", "esmvaltool_sample_data"
EXPERIMENT, TABLE, VARIABLE = "historical", "Amon", "ta"

_NAME = re.compile(
    r"(?P<variable>\w+)_(?P<table>\w+)_(?P<model>[\w-]+)_(?P<experiment>[\w-]+)_"
    r"(?P<member>r\d+i\d+p\d+f\d+)_(?P<grid>g\w+)_(?P<first>\d{6,8})-(?P<last>\d{6,8})\.nc"
)
# The model's own grid says most about it; regridded ones are taken where there is nothing else.
_GRIDS = ("gn", "gr")


@dataclass(frozen=True)
class Files:
    """All files of one model that belong together, in the order of time."""

    model: str
    institution: str
    member: str
    grid: str
    version: str
    paths: tuple[Path, ...]

    @property
    def bytes(self) -> int:
        """Return the size of all files."""
        return sum(path.stat().st_size for path in self.paths)


@dataclass(frozen=True)
class LeftOut:
    """A model, or some files of it, that is not part of the ensemble, and why."""

    model: str
    reason: str


@dataclass(frozen=True)
class Catalogue:
    """What the sample data hold: a set of files for each model, and what is left out."""

    origin: str
    models: tuple[Files, ...]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def files(self) -> int:
        """Return the number of files that are used."""
        return sum(len(model.paths) for model in self.models)

    @property
    def bytes(self) -> int:
        """Return the size of the files that are used."""
        return sum(model.bytes for model in self.models)

    @property
    def digest(self) -> str:
        """Return what changes when other files, or files of another size, are used."""
        told = [self.origin]
        told += [f"{path.name} {path.stat().st_size}" for m in self.models for path in m.paths]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]


def find() -> Path | None:
    """Return the folder of the sample data, None if the package is not installed."""
    spec = find_spec(MODULE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "data" / "timeseries"
        if folder.is_dir():
            return folder
    return None


def origin() -> str:
    """Return the name and the version of the package that carries the data."""
    try:
        return f"{PACKAGE} {metadata.version(PACKAGE)}"
    except metadata.PackageNotFoundError:
        return PACKAGE


def catalogue(root: Path, *, told_as: str | None = None) -> Catalogue:
    """Return the monthly historical air temperature below a folder, one set of files per model.

    Of several members the one with the lowest numbers is taken, of several grids the model's own,
    of several versions the latest. Whatever is not taken is named in `left_out`.
    """
    groups: dict[str, list[_Group]] = {}
    for folder in sorted({path.parent for path in root.rglob("*.nc")}):
        group = _Group.of(root, folder)
        groups.setdefault(group.model, []).append(group)
    models, left_out = [], []
    for model, found in sorted(groups.items(), key=lambda item: item[0].casefold()):
        chosen, reasons = _choose(found)
        if chosen is not None:
            models.append(chosen.files())
        left_out += [LeftOut(model, reason) for reason in reasons]
    return Catalogue(told_as or origin(), tuple(models), tuple(left_out))


@dataclass(frozen=True)
class _Group:
    """The files of one folder, and what the folder's name says of them."""

    institution: str
    model: str
    experiment: str
    member: str
    table: str
    variable: str
    grid: str
    version: str
    paths: tuple[Path, ...]

    @classmethod
    def of(cls, root: Path, folder: Path) -> "_Group":
        path = folder.relative_to(root)
        parts = path.parts[-8:] if len(path.parts) >= 8 else ("", str(path), *[""] * 6)
        institution, model, experiment, member, table, variable, grid, version = parts
        return cls(
            institution,
            model,
            experiment,
            member,
            table,
            variable,
            grid,
            version,
            tuple(sorted(folder.glob("*.nc"), key=_span)),
        )

    @property
    def rank(self) -> tuple[object, ...]:
        """Return what sorts the best group first."""
        member = tuple(int(number) for number in re.findall(r"\d+", self.member))
        grid = _GRIDS.index(self.grid) if self.grid in _GRIDS else len(_GRIDS)
        newest = -int(self.version[1:]) if re.fullmatch(r"v\d+", self.version) else 0
        return member, grid, self.grid, newest

    @property
    def label(self) -> str:
        """Return what tells it from the model's other groups."""
        return f"{self.experiment} {self.member} {self.grid} {self.version}"

    def files(self) -> Files:
        return Files(self.model, self.institution, self.member, self.grid, self.version, self.paths)


def _choose(found: Sequence[_Group]) -> tuple[_Group | None, list[str]]:
    """Return the group of one model to use, and why each other one is not."""
    known = [group for group in found if all(_NAME.fullmatch(path.name) for path in group.paths)]
    monthly = [group for group in known if (group.variable, group.table) == (VARIABLE, TABLE)]
    fit = sorted((g for g in monthly if g.experiment == EXPERIMENT), key=lambda group: group.rank)
    reasons = [
        f"file names are not those of CMIP6: {_shown(path.name for path in group.paths)}"
        for group in found
        if group not in known
    ]
    if not fit:
        others = sorted({f"{g.variable} {g.table} {g.experiment}" for g in known})
        if others:
            wanted = f"{VARIABLE} {TABLE} {EXPERIMENT}"
            reasons.append(f"there is no {wanted}, only {', '.join(others)}")
        return None, reasons
    used = fit[0]
    others_fit = [group for group in monthly if group is not used]
    reasons += [f"{group.label} is there too; {used.label} is used" for group in others_fit]
    return used, reasons


def _span(path: Path) -> tuple[str, str]:
    """Return what sorts files by time: their first month, then their name."""
    match = _NAME.fullmatch(path.name)
    return (match["first"] if match else "", path.name)


def _shown(names: Iterable[str], most: int = 3) -> str:
    every = list(names)
    return ", ".join(every[:most]) + (" …" if len(every) > most else "")
