"""What a run reads: that it is there and whole, and what tells whether it was replaced."""

import hashlib
from pathlib import Path

from pangeo_hpc import files
from pangeo_hpc.errors import UsageError
from pangeo_hpc.workflow.origin import PREFIX, STATE, UNFINISHED, attributes

_PIECE = 1 << 16


def admit(name: str | Path, path: Path) -> str:
    """Return the identity of an input.

    Raise UsageError if it is not there, or is a store that one of our runs has not finished: what
    is missing in it would read as fill values.
    """
    with files.refusals(path):
        if not path.exists():
            hint = "relative names are looked for on scratch: pangeo-hpc scratch path"
            raise UsageError(f"input {name} is not there: {path}", hint=hint)
        told = attributes(path)
        if told.get(STATE) == UNFINISHED:
            text = f"input {name} is unfinished: run {told.get(f'{PREFIX}run')} writes it"
            raise UsageError(text, hint="finish that run first")
        return identify(path)


def identify(path: Path) -> str:
    """Return what tells whether an input was replaced, without reading all of it.

    For a Zarr store its root metadata, for a file its size, beginning and end; modification times
    say nothing where people touch files to save them from a purge.
    """
    if path.is_dir():
        for name in ("zarr.json", ".zmetadata", ".zgroup", ".zarray"):
            if (path / name).is_file():
                return hashlib.sha256((path / name).read_bytes()).hexdigest()
        return "directory"
    size = path.stat().st_size
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_PIECE))
        file.seek(max(0, size - _PIECE))
        digest.update(file.read(_PIECE))
    return f"{size} bytes, {digest.hexdigest()}"
