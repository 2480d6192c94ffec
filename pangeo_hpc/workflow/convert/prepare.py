"""From what a person names to what can be converted: found, read, ordered, and cut into chunks."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc.errors import Problem, RequestRefused
from pangeo_hpc.workflow.convert import agree, sources, survey, tables
from pangeo_hpc.workflow.convert.arrange import Arrangement, arrange, show
from pangeo_hpc.workflow.convert.assemble import as_recorded, assemble, shapes
from pangeo_hpc.workflow.convert.chunks import Cut, steps_per_unit, suggest
from pangeo_hpc.workflow.convert.order import Order
from pangeo_hpc.workflow.convert.record import Record
from pangeo_hpc.workflow.convert.sources import Kind
from pangeo_hpc.workflow.convert.survey import Piece

if TYPE_CHECKING:
    import xarray as xr

# The chunk of the coordinate on which files are joined.
COORDINATE = 16_384

Each = Callable[[Callable[[Path], Any], Iterable[Path]], Iterable[Any]]


@dataclass(frozen=True)
class Plan:
    """What a conversion will do.

    `unit` is the number of steps written as one, `cuts` the chunks and shards of each variable that
    has the dimension.
    """

    order: Order
    kind: Kind
    arrangement: Arrangement
    unit: int
    cuts: dict[str, Cut]

    @property
    def notes(self) -> list[str]:
        """Return in words what a person should know before."""
        along = self.arrangement.along
        told = [*self.arrangement.notes, *agree.notes([p.piece for p in self.arrangement.parts])]
        told += [
            f"{each.steps} steps of {along} are in {each.earlier} and in {each.later}: "
            f"the {self.order.overlaps} counts"
            for each in self.arrangement.overlaps
        ]
        for gap in self.arrangement.gaps:
            missing = f"{gap.steps} steps are" if gap.steps > 1 else "a step is"
            told.append(f"{missing} missing between {show(gap.after)} and {show(gap.before)}")
        return told

    def dataset(self, record: Record | None = None) -> "xr.Dataset":
        """Return the joined dataset, lazily; with a record, as its store keeps values."""
        joined = assemble(self.arrangement, self.kind, self.order.variables)
        return joined if record is None else as_recorded(joined, record)

    @property
    def encoding(self) -> dict[str, dict[str, Any]]:
        """Return the chunks and shards as `run.write_zarr` takes them."""
        found: dict[str, dict[str, Any]] = {
            name: {"chunks": cut.chunks, "shards": cut.shards} for name, cut in self.cuts.items()
        }
        if all(part.piece.values is not None for part in self.arrangement.parts):
            # one file, also when the store grows
            found[self.arrangement.along] = {"chunks": (COORDINATE,)}
        return found


def prepare(order: Order, each: Each = map) -> Plan:
    """Read what all sources hold and decide how they become one store.

    `each` maps a function over the files. Raise RequestRefused with everything that does not fit.
    """
    paths, kind = sources.find(order.sources)
    problems: list[Problem] = []
    dim = survey.dimension(paths, order.along) if kind is Kind.NETCDF else order.along
    pieces = look(paths, kind, dim, order.variables, problems, each)
    if kind is Kind.TABLE:
        along, pieces = _of_tables(pieces, order.along)
    else:
        along = str(dim)
    arrangement = arrange(pieces, along, order.overlaps, problems)
    if not problems and not arrangement.steps:
        problems.append(Problem("SRC", f"the files hold no steps of {along}"))
    if problems:
        raise RequestRefused(problems)
    return _plan(order, kind, arrangement)


def look(
    paths: Iterable[Path],
    kind: Kind,
    along: str | None,
    variables: tuple[str, ...],
    problems: list[Problem],
    each: Each = map,
) -> list[Piece]:
    """Return what files hold; what is wrong with the others is added to `problems`."""
    pieces: list[Piece] = []
    for piece, wrong in each(_Look(kind, along, variables), paths):
        problems += wrong
        if piece is not None:
            pieces.append(piece)
    return pieces


@dataclass(frozen=True)
class _Look:
    """Reads one file's facts; travels to Dask workers."""

    kind: Kind
    along: str | None
    variables: tuple[str, ...]

    def __call__(self, path: Path) -> tuple[Piece | None, list[Problem]]:
        problems: list[Problem] = []
        if self.kind is Kind.TABLE:
            return tables.look(path, self.along, self.variables, problems), problems
        return survey.look(path, str(self.along), self.variables, problems), problems


def _of_tables(pieces: list[Piece], asked: str | None) -> tuple[str, list[Piece]]:
    """Return the dimension of tables: the times of all, or rows where one has no such column."""
    dims = {next(iter(p.variables.values())).dims[0] for p in pieces if p.variables}
    if len(dims) == 1:
        return dims.pop(), pieces
    if asked is not None or not dims:
        return asked or tables.ROW, pieces
    rows = [
        Piece(
            each.path,
            each.steps,
            None,
            {
                name: survey.Described((tables.ROW,), one.shape, one.dtype)
                for name, one in each.variables.items()
            },
            {},
        )
        for each in pieces
    ]
    return tables.ROW, rows


def _plan(order: Order, kind: Kind, arrangement: Arrangement) -> Plan:
    along = arrangement.along
    # coordinates are small, and written whole
    moving = {
        name: shape
        for name, shape in shapes(arrangement).items()
        if along in shape.dims and name != along
    }
    unit = steps_per_unit(moving, along, order.access)
    cuts = {name: suggest(shape, along, unit, order.access) for name, shape in moving.items()}
    return Plan(order, kind, arrangement, unit, cuts)
