"""What is copied out of scratch: the files of a finished output, as they are now."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from pangeo_hpc import files
from pangeo_hpc.errors import UsageError
from pangeo_hpc.workflow.origin import PREFIX, STATE, UNFINISHED, attributes

# They make a folder a Zarr store, so they are copied last.
_ROOTS = ("zarr.json", ".zmetadata", ".zgroup", ".zarray")
_SHOWN = 5


@dataclass(frozen=True)
class Stamp:
    """What tells whether a file was changed: bytes, modification time in ns, and inode."""

    bytes: int
    mtime: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> "Stamp":
        """Return the stamp of a file that was looked at."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)


@dataclass(frozen=True)
class Source:
    """An output that is finished. `stamps` are its files by their keys; a single file has one, ''.

    `roots` are the keys that make it readable.
    """

    path: Path
    stamps: dict[str, Stamp]
    roots: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """Return the bytes of all files."""
        return sum(each.bytes for each in self.stamps.values())

    @property
    def is_file(self) -> bool:
        """Tell whether it is a single file."""
        return list(self.stamps) == [""]

    def file(self, key: str) -> Path:
        """Return where a file is."""
        return self.path / key if key else self.path


def survey(path: Path) -> Source:
    """Return the files of an output.

    Raise UsageError if there is none, if one of our runs has not finished it, or if it holds
    something that is no plain file.
    """
    with files.refusals(path):
        if not path.exists():
            raise UsageError(f"{path} is not there", hint="write it first; names are below scratch")
        told = attributes(path) if path.is_dir() else {}
        if told.get(STATE) == UNFINISHED:
            text = f"{path} is unfinished: run {told.get(f'{PREFIX}run')} writes it"
            raise UsageError(text, hint="copy it out when it is complete")
        if path.is_file():
            return Source(path, {"": Stamp.of(path.stat())}, ("",))
        stamps, odd = _walk(path)
    if odd:
        text = f"{path} holds links or special files: {', '.join(sorted(odd)[:_SHOWN])}"
        raise UsageError(text, hint="copy what they lead to, or remove them")
    if not stamps:
        raise UsageError(f"{path} has no files", hint="there is nothing to copy")
    return Source(path, stamps, tuple(key for key in _ROOTS if key in stamps))


def _walk(root: Path) -> tuple[dict[str, Stamp], list[str]]:
    stamps: dict[str, Stamp] = {}
    odd: list[str] = []
    zarr = any((root / name).is_file() for name in _ROOTS)
    for folder, below, names in os.walk(root):
        here = Path(folder)
        prefix = "" if here == root else f"{here.relative_to(root).as_posix()}/"
        odd += [f"{prefix}{name}" for name in below if (here / name).is_symlink()]
        for name in names:
            key = f"{prefix}{name}"
            found = (here / name).lstat()
            if zarr and name.endswith(".partial"):
                continue  # left by a write that was killed
            if stat.S_ISREG(found.st_mode):
                stamps[key] = Stamp.of(found)
            else:
                odd.append(key)
    return dict(sorted(stamps.items())), odd
