"""What a run reads: that it is there and whole, and what tells whether it was replaced."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pangeo_hpc import files
from pangeo_hpc.errors import SiteNotFound, UsageError
from pangeo_hpc.site import Site
from pangeo_hpc.workflow.origin import PREFIX, STATE, UNFINISHED, attributes

_PIECE = 1 << 16
# What a Zarr store has at its root, of which the first that is there tells the most.
ROOTS = ("zarr.json", ".zmetadata", ".zgroup", ".zarray")


@dataclass(frozen=True)
class Input:
    """An input that was found: where it is to be opened, and what it is known by in the run.

    `place` is a path, an address, or a mapper where an address alone does not open it.
    """

    place: Any
    key: str
    identity: str


def find(
    name: str | Path,
    below: Callable[[str | Path], Path],
    site: Callable[[], Site],
    options: Mapping[str, Any] | None = None,
) -> Input:
    """Return an input: a path, which `below` puts below scratch, a catalog's entry, or a URL.

    `options` are those of fsspec for a URL. Raise UsageError if it is not there, or is a store that
    one of our runs has not finished.
    """
    from pangeo_hpc.workflow import remote_inputs

    text = str(name)
    if text.startswith("file://"):
        path = Path(unquote(urlsplit(text).path))
        return Input(path, str(path), admit(name, path))
    if "://" in text:
        place, identity = remote_inputs.admit(text, _stores(site), options)
        return Input(place, text, identity)
    path = below(name)
    if not path.exists() and not Path(name).is_absolute() and isinstance(name, str):
        entry = remote_inputs.entry_of(name, site)
        if entry is not None:
            return _of_catalog(name, entry)
    return Input(path, str(path), admit(name, path))


def _of_catalog(name: str, entry: Any) -> Input:
    """Return an entry of a catalog as an input: it has changed if it tells of other data, too."""
    from pangeo_hpc.workflow import remote_inputs

    place, options = remote_inputs.place_of(name, entry)
    if "://" in place:
        opened, identity = remote_inputs.admit(place, (), options)
    else:
        opened = Path(place)
        identity = admit(name, opened)
    return Input(opened, name, f"{place}, {identity}")


def _stores(site: Callable[[], Site]) -> Any:
    from pangeo_hpc.data.catalogs import stores_of

    try:
        return stores_of(site())
    except SiteNotFound:
        return ()


def admit(name: str | Path, path: Path) -> str:
    """Return the identity of an input.

    Raise UsageError if it is not there, or is a store that one of our runs has not finished: what
    is missing in it would read as fill values.
    """
    with files.refusals(path):
        if not path.exists():
            hint = (
                "relative names are looked for below your scratch directory, then as CATALOG/ENTRY"
            )
            raise UsageError(f"input {name} is not there: {path}", hint=hint)
        told = attributes(path)
        refuse_unfinished(name, told)
        return identify(path)


def refuse_unfinished(name: str | Path, told: Mapping[str, Any]) -> None:
    """Raise UsageError if a store's attributes tell that one of our runs still writes it."""
    if told.get(STATE) == UNFINISHED:
        text = f"input {name} is unfinished: run {told.get(f'{PREFIX}run')} writes it"
        raise UsageError(text, hint="finish that run first")


def identify(path: Path) -> str:
    """Return what tells whether an input was replaced, without reading all of it.

    For a Zarr store its root metadata, for a file its size, beginning and end; modification times
    say nothing where people touch files to save them from a purge.
    """
    if path.is_dir():
        for name in ROOTS:
            if (path / name).is_file():
                return hashlib.sha256((path / name).read_bytes()).hexdigest()
        return "directory"
    size = path.stat().st_size
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_PIECE))
        file.seek(max(0, size - _PIECE))
        digest.update(file.read(_PIECE))
    return f"{size} bytes, {digest.hexdigest()}"
