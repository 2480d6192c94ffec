"""The groups of an output, each a dataset with its layout; and what must be equal to go on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pangeo_hpc.errors import Problem, RequestRefused, UsageError
from pangeo_hpc.workflow.writing.asked import check, conflicts
from pangeo_hpc.workflow.writing.cutting import decide
from pangeo_hpc.workflow.writing.layout import Asked, Layout, Unit

if TYPE_CHECKING:
    import xarray as xr

# How the source of a variable was stored; how values are packed (dtype, units, fill) is kept.
_OF_THE_SOURCE = {
    *("cache_metadata", "chunk_key_encoding", "chunks", "compressor", "compressors", "filters"),
    *("order", "preferred_chunks", "serializer", "shards", "write_empty_chunks"),
    *("source", "original_shape", "chunksizes", "contiguous", "zlib", "shuffle", "complevel"),
    *("fletcher32", "szip", "zstd", "bzip2", "blosc", "endian", "least_significant_digit"),
    *("quantize_mode", "significant_digits", "compression", "compression_opts", "rtol"),
    *("unlimited_dims", "object_codec"),
}


@dataclass(frozen=True)
class Part:
    """One group of an output: what is written there, and how.

    `group` is its path in the store, "" for the root. `asked` is what is asked of this group.
    `offset` is the step of the output at which the dataset begins; not 0 only where one grows.
    """

    group: str
    ds: "xr.Dataset"
    asked: Asked
    layout: Layout
    offset: int = 0

    def key(self, unit: Unit | str) -> str:
        """Return the name of a unit in the ledger, a file's name."""
        name = unit if isinstance(unit, str) else unit.key
        return f"{quote(self.group, safe='')},{name}" if self.group else name

    def path(self, name: str) -> str:
        """Return where a variable is in the store."""
        return f"{self.group}/{name}" if self.group else name

    def grown(self, length: int, offset: int) -> "Part":
        """Return the part with more steps, of which the dataset begins at `offset`."""
        return replace(self, layout=self.layout.grown(length), offset=offset)


def nodes(data: Any) -> "dict[str, xr.Dataset]":
    """Return the dataset of each group, without how its source was stored.

    Raise UsageError for what is no Xarray object, and for an array without a name.
    """
    import xarray as xr

    if isinstance(data, xr.DataTree):
        root = data.path.rstrip("/")
        return {
            node.path.removeprefix(root).strip("/"): _without_storage(
                node.to_dataset(inherit=node is data)
            )
            for node in data.subtree
        }
    if isinstance(data, xr.DataArray):
        if data.name is None:
            raise UsageError("the array has no name", hint="give it one: array.rename('tas')")
        if data.name in data.coords:
            text = f"the array has the name of its coordinate {data.name}"
            raise UsageError(text, hint="give it another: array.rename('value')")
        data = data.to_dataset()
    if not isinstance(data, xr.Dataset):
        text = f"a {type(data).__name__} is no dataset"
        raise UsageError(text, hint="give an xarray Dataset, DataArray or DataTree")
    return {"": _without_storage(data)}


def split(asked: Asked, groups: "Mapping[str, xr.Dataset]") -> dict[str, Asked]:
    """Return what is asked of each group. Raise RequestRefused with all that does not fit.

    In a tree, encodings are given by group, as DataTree.to_zarr takes them, and `along` is for
    those groups that have this dimension.
    """
    problems: list[Problem] = []
    if list(groups) == [""]:
        found = {"": asked}
    else:
        by_group = {str(name).strip("/"): each for name, each in asked.encoding.items()}
        problems += [
            Problem(f"encoding./{name}", "the tree has no such group")
            for name in by_group
            if name not in groups
        ]
        if asked.append:
            text = "one call makes one group grow"
            problems.append(Problem("append", text, "write each group by group=NAME"))
        if asked.along and not any(asked.along in ds.dims for ds in groups.values()):
            problems.append(Problem("along", f"{asked.along!r} is a dimension of no group"))
        found = {
            group: Asked(
                along=asked.along if asked.along in ds.dims else None,
                unit=asked.unit,
                encoding=by_group.get(group, {}),
            )
            for group, ds in groups.items()
        }
    for group, ds in groups.items():
        for problem in check(ds, found[group]):
            path = f"/{group}: {problem.path}" if group else problem.path
            problems.append(replace(problem, path=path))
    if problems:
        raise RequestRefused(problems)
    return found


def new_parts(groups: "Mapping[str, xr.Dataset]", asked: Mapping[str, Asked]) -> list[Part]:
    """Return the parts of an output that is begun now."""
    return [Part(group, ds, asked[group], decide(ds, asked[group])) for group, ds in groups.items()]


def known_parts(
    groups: "Mapping[str, xr.Dataset]",
    asked: Mapping[str, Asked],
    layouts: Mapping[str, Mapping[str, Any]],
) -> list[Part]:
    """Return the parts of an output that keeps the layout it was begun with."""
    return [
        Part(group, ds, asked[group], Layout.load(layouts[group])) for group, ds in groups.items()
    ]


def asked_otherwise(parts: list[Part]) -> Iterator[str]:
    """Return in words what is asked of parts otherwise than they were begun with."""
    for part in parts:
        where = f"/{part.group}: " if part.group else ""
        for told in conflicts(part.layout, part.ds, part.asked):
            yield f"{where}{told}"


def structure(
    groups: "Mapping[str, xr.Dataset]", asked: Mapping[str, Asked], append: str | None
) -> dict[str, Any]:
    """Return what must be equal for two attempts to write into one store.

    The length along `append`, and how Dask cuts the data, is none of it.
    """
    variables = {}
    for group, ds in groups.items():
        for name, variable in ds.variables.items():
            wishes = asked[group].encoding.get(str(name), {})
            variables[f"{group}/{name}" if group else str(name)] = {
                "dims": variable.dims,
                "shape": [
                    "growing" if dim == append else size
                    for dim, size in zip(variable.dims, variable.shape, strict=True)
                ],
                # the resolution of times in memory says nothing of how they are stored
                "dtype": str(variable.dtype).partition("64[")[0],
                "encoding": {
                    key: value
                    for key, value in {**variable.encoding, **wishes}.items()
                    if key not in ("chunks", "shards")
                },
            }
    return {"append": append, "groups": sorted(groups), "variables": variables}


def _without_storage(ds: "xr.Dataset") -> "xr.Dataset":
    """Return a dataset whose variables have forgotten how their source was chunked and packed."""
    result = ds.copy()
    for variable in result.variables.values():
        variable.encoding = {
            key: value for key, value in variable.encoding.items() if key not in _OF_THE_SOURCE
        }
    return result
