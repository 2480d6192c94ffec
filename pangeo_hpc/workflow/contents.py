"""What is in a store or a file: dimensions, chunks, shards, sizes, compression, attributes."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc.errors import NotAllowed, UnknownName, UsageError
from pangeo_hpc.workflow.origin import STATE

if TYPE_CHECKING:
    import zarr

_MARKS = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")


@dataclass(frozen=True)
class ArrayFacts:
    """One array of a store.

    `nbytes` is its size when read, `stored` what its files take (None if that was not counted),
    `files` how many there are of `most_files`.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...] | None
    shards: tuple[int, ...] | None
    compression: str
    nbytes: int
    stored: int | None = None
    files: int | None = None
    most_files: int | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def chunk_bytes(self) -> int | None:
        """Return the size of one chunk when read."""
        if self.chunks is None or not self.nbytes:
            return None
        return self.nbytes // max(1, math.prod(self.shape)) * math.prod(self.chunks)


@dataclass(frozen=True)
class Contents:
    """A store, group by group; `state` is that of an output of ours, None for other stores."""

    place: str
    kind: str
    consolidated: bool
    arrays: tuple[ArrayFacts, ...]
    groups: tuple[str, ...]
    attributes: Mapping[str, Any]
    state: str | None = None

    @property
    def dims(self) -> dict[str, int]:
        """Return the lengths of the root group's dimensions."""
        found: dict[str, int] = {}
        for each in self.arrays:
            if "/" not in each.name:
                found |= dict(zip(each.dims, each.shape, strict=False))
        return found

    def dump(self) -> dict[str, Any]:
        """Return what JSON tells."""
        told = asdict(self)
        told["dims"] = self.dims
        for each, array in zip(told["arrays"], self.arrays, strict=True):
            each["chunk_bytes"] = array.chunk_bytes
        return told


def inspect(place: str, *, count: bool = True) -> Contents:
    """Return what is at a path or a URL; `count` adds up what the files take.

    Raise UnknownName if nothing is there, UsageError for something that is no store and no NetCDF
    file, NotAllowed where reading is refused.
    """
    local = _local(place)
    if local is not None:
        if not local.exists():
            raise UnknownName(f"{place} is not there", hint="give a path, or a URL such as s3://…")
        try:
            netcdf = local.is_file()
            if not netcdf and not any((local / mark).exists() for mark in _MARKS):
                text = f"{place} is no Zarr store: it has no {' or '.join(_MARKS[:2])}"
                raise UsageError(text, hint=_within(local))
        except PermissionError as error:
            raise NotAllowed(f"{place} cannot be read", hint="check its permissions") from error
        if netcdf:
            from pangeo_hpc.workflow.contents_netcdf import inspect_netcdf

            return inspect_netcdf(local)
    return _zarr(place, local, count=count)


def _within(folder: Path) -> str | None:
    inside = sorted(path.name for path in folder.glob("*.zarr"))[:3]
    return f"there are stores in it: {', '.join(inside)}" if inside else None


def _local(place: str) -> Path | None:
    if place.startswith("file://"):
        return Path(place.removeprefix("file://"))
    return None if "://" in place or "::" in place else Path(place).expanduser()


def _zarr(place: str, local: Path | None, *, count: bool) -> Contents:
    import zarr

    root = _open(place, local)
    if isinstance(root, zarr.Array):
        arrays, groups = [("", root)], []
    else:
        members = list(root.members(max_depth=None))
        arrays = [(name, each) for name, each in members if isinstance(each, zarr.Array)]
        groups = [name for name, each in members if isinstance(each, zarr.Group)]
    attributes = dict(root.attrs)
    form = root.metadata.zarr_format
    consolidated = getattr(root.metadata, "consolidated_metadata", None) is not None
    return Contents(
        place,
        f"Zarr {form}",
        consolidated,
        tuple(_facts(name, each, local, count=count) for name, each in sorted(arrays)),
        tuple(sorted(groups)),
        attributes,
        str(attributes[STATE]) if STATE in attributes else None,
    )


def _open(place: str, local: Path | None) -> "zarr.Group | zarr.Array[Any]":
    import zarr

    try:
        return zarr.open(str(local) if local is not None else place, mode="r")
    except FileNotFoundError as error:
        raise UnknownName(f"{place}: no Zarr store is there") from error
    except ImportError as error:
        hint = f"pip install 'pangeo-hpc[data]' ({error})"
        raise UsageError(f"{place} cannot be opened", hint=hint) from error
    except PermissionError as error:
        raise NotAllowed(f"{place} cannot be read", hint="check its permissions") from error


def _facts(name: str, array: "zarr.Array[Any]", local: Path | None, *, count: bool) -> ArrayFacts:
    attributes: dict[str, Any] = dict(array.attrs)
    dims: Any = getattr(array.metadata, "dimension_names", None) or attributes.get(
        "_ARRAY_DIMENSIONS"
    )
    attributes.pop("_ARRAY_DIMENSIONS", None)
    write = array.shards or array.chunks
    stored, files = None, None
    if count and local is not None:
        sizes = list(_sizes(local / array.path))
        stored, files = sum(sizes), len(sizes)
    return ArrayFacts(
        name or array.name,
        tuple(str(dim) for dim in dims or (f"dim_{i}" for i in range(array.ndim))),
        array.shape,
        str(array.dtype),
        array.chunks,
        array.shards,
        ", ".join(_codec(each) for each in array.compressors) or "none",
        array.nbytes,
        stored,
        files,
        math.prod(math.ceil(n / c) for n, c in zip(array.shape, write, strict=True)),
        attributes,
    )


def _codec(codec: Any) -> str:
    """Return a compressor as people write it: its name and its level."""
    told = codec.to_dict() if hasattr(codec, "to_dict") else codec.get_config()
    settings = told.get("configuration", told)
    name = str(told.get("name") or told.get("id"))
    parts = [str(settings[key]) for key in ("cname",) if key in settings]
    level = settings.get("level", settings.get("clevel"))
    if level is not None:
        parts.append(f"level {level}")
    return " ".join([name, *parts])


def _sizes(folder: Path) -> Iterator[int]:
    """Yield the size of each data file of one array; metadata and unfinished files are none."""
    import os

    for where, _, names in os.walk(folder):
        for name in names:
            if name in {"zarr.json", ".zarray", ".zattrs"} or name.endswith(".partial"):
                continue
            yield Path(where, name).stat().st_size
