"""How an output is cut into units of work, shards and chunks, and what a person asks of it.

A unit is a range of steps along one dimension. It begins and ends where shards do, in every
variable: a region that cuts a shard loses rows without a word when its data are NumPy.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pangeo_hpc.workflow.writing.grid import Grid

if TYPE_CHECKING:
    import xarray as xr

COORDINATES, STATIC, GATHERED = "coordinates", "static", "gathered"


@dataclass(frozen=True)
class Asked:
    """What a person asks of an output; None where we choose.

    `encoding` has the keys of each variable that Xarray understands, `append` is the dimension
    along which the output grows.
    """

    along: str | None = None
    unit: int | None = None
    encoding: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    append: str | None = None


@dataclass(frozen=True)
class Unit:
    """One piece of an output, written and noted as one: variables, in a region or whole.

    `key` is its name in the ledger; the region is `start` to `stop` along a dimension.
    """

    key: str
    names: tuple[str, ...]
    along: str | None = None
    start: int = 0
    stop: int = 0

    @property
    def region(self) -> dict[str, slice] | None:
        """Return the region as Xarray takes it, None for variables that are written whole."""
        return {self.along: slice(self.start, self.stop)} if self.along is not None else None


@dataclass(frozen=True)
class Layout:
    """How one group of an output is written.

    `early` variables are small or whole in memory and come with the template, `static` ones are
    computed once, `by_unit` ones in ranges of `unit` steps along `along`. `gathered` ones are so
    small that they are one file each: they are computed in the same ranges, and put together at the
    end. `grids` are the chunks and shards of all but the early ones.
    """

    along: str | None
    length: int
    unit: int
    early: tuple[str, ...]
    static: tuple[str, ...]
    by_unit: tuple[str, ...]
    gathered: tuple[str, ...]
    grids: Mapping[str, Grid]
    append: str | None = None

    def units(self) -> Iterator[Unit]:
        """Return the units in the order in which they are computed, without the coordinates."""
        if self.static:
            yield Unit(STATIC, self.static)
        names = self.by_unit + self.gathered
        for index, start in enumerate(range(0, self.length if names else 0, self.unit)):
            stop = min(start + self.unit, self.length)
            yield Unit(f"unit-{index:06}", names, self.along, start, stop)

    @property
    def coordinates(self) -> Unit:
        """Return the unit that is there as soon as the template is."""
        return Unit(COORDINATES, self.early)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all variables."""
        return self.early + self.static + self.by_unit + self.gathered

    def grown(self, length: int) -> "Layout":
        """Return the layout of an output that has become longer."""
        return replace(self, length=length)

    def dump(self) -> dict[str, Any]:
        """Return it in plain words, as the ledger keeps it."""
        return asdict(self)

    @classmethod
    def load(cls, kept: Mapping[str, Any]) -> "Layout":
        """Return a layout from what the ledger keeps."""
        lists = {key: tuple(kept[key]) for key in ("early", "static", "by_unit", "gathered")}
        grids = {
            name: Grid(tuple(each["chunks"]), tuple(each["shards"]) if each["shards"] else None)
            for name, each in kept["grids"].items()
        }
        return cls(**{**kept, **lists, "grids": grids})


def is_lazy(variable: "xr.Variable") -> bool:
    """Tell whether a variable is backed by Dask."""
    return variable.chunks is not None
