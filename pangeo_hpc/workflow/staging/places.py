"""Where copies go: a folder of a POSIX filesystem, or an object store through fsspec."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pangeo_hpc import files

BLOCK = 8 << 20
# An object up to this size is sent from memory in one piece, so that its ETag is its MD5.
WHOLE = 64 << 20
# What makes a folder without a root of its own complete in an object store.
READY = "READY"

Watch = Callable[[], None]


@dataclass(frozen=True)
class Sums:
    """The checksums of what was read."""

    sha256: str
    md5: str
    bytes: int


class Folder:
    """A place on a POSIX filesystem: made beside it and moved there by one rename."""

    def __init__(self, target: Path, token: str) -> None:
        self.target = target
        self._draft = target.with_name(f".{target.name}.{token}.partial")
        self._old = target.with_name(f".{target.name}.{token}.old")
        self.repairs = False

    @property
    def shown(self) -> str:
        """Return its path."""
        return str(self.target)

    def sizes(self) -> dict[str, int]:
        """Return what is at the place."""
        return _sizes(self.target)

    def begun(self) -> dict[str, int]:
        """Return what is beside it."""
        return self.sizes() if self.repairs else _sizes(self._draft)

    def put(self, key: str, source: Path, watch: Watch) -> Sums:
        """Copy a file durably."""
        path = self._path(key)
        files.make_directory(path.parent)
        part = path.with_name(f".{path.name}.copying")
        with files.refusals(path), part.open("wb") as file:
            sums = _read(source, watch, file.write)
            file.flush()
            os.fsync(file.fileno())
            part.replace(path)
        return sums

    def check(self, key: str, sums: Sums, watch: Watch, *, whole: bool) -> bool:  # noqa: ARG002
        """Read the copy again, from the disk rather than from memory where the system lets us."""
        path = self._path(key)
        with files.refusals(path):
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return _read(path, watch, lambda _: None) == sums

    def clear(self) -> None:
        """Remove what is beside the place."""
        with files.refusals(self.target):
            _remove(self._draft)

    def finish(self, roots: tuple[str, ...]) -> None:  # noqa: ARG002 - a rename needs none
        """Rename the copy into its place."""
        if self.repairs:
            return
        with files.refusals(self.target):
            for folder, _, _ in os.walk(self._draft):
                files.sync_directory(Path(folder))
            if self.target.exists() or self.target.is_symlink():
                self.target.rename(self._old)
            self._draft.rename(self.target)
            files.sync_directory(self.target.parent)
        _remove(self._old)

    def _path(self, key: str) -> Path:
        root = self.target if self.repairs else self._draft
        return root / key if key else root


class Store:
    """A place in an object store: what makes it readable is written last."""

    def __init__(self, filesystem: Any, path: str, shown: str) -> None:
        self._fs, self._root, self._shown = filesystem, path.rstrip("/"), shown
        self.repairs = False

    @property
    def shown(self) -> str:
        """Return its address."""
        return self._shown

    def sizes(self) -> dict[str, int]:
        """Return what is at the place."""
        self._fs.invalidate_cache()
        try:
            found = self._fs.find(self._root, detail=True)
        except FileNotFoundError:
            return {}
        sizes = {}
        for path, info in found.items():
            key = _below(path, self._root)
            if key is not None and key != READY:
                sizes[key] = int(info["size"])
        return sizes

    def begun(self) -> dict[str, int]:
        """Return the same: a store has no place beside."""
        return self.sizes()

    def put(self, key: str, source: Path, watch: Watch) -> Sums:
        """Send a file, in one piece if it is not too large."""
        path = self._path(key)
        if source.stat().st_size <= WHOLE:
            content = bytearray()
            sums = _read(source, watch, content.extend)
            self._fs.pipe_file(path, bytes(content))
            return sums
        file = self._fs.open(path, "wb", block_size=WHOLE)
        try:
            sums = _read(source, watch, file.write)
        except BaseException:
            # closing would make an object of what was sent so far
            file.discard()
            raise
        file.close()
        return sums

    def check(self, key: str, sums: Sums, watch: Watch, *, whole: bool) -> bool:
        """Compare the ETag where it is an MD5, else read the object again."""
        path = self._path(key)
        if not whole:
            self._fs.invalidate_cache()
            info = self._fs.info(path)
            if int(info["size"]) != sums.bytes:
                return False
            if str(info.get("ETag", "")).strip('"') == sums.md5:
                return True
        with self._fs.open(path, "rb", block_size=BLOCK, cache_type="none") as file:
            return _sums(iter(lambda: file.read(BLOCK), b""), watch, lambda _: None) == sums

    def clear(self) -> None:
        """Remove what is at the place, beginning with what makes it readable."""
        keys = sorted(self.sizes(), key=lambda key: key.count("/"))
        for path in (f"{self._root}/{READY}", *map(self._path, keys)):
            try:
                self._fs.rm_file(path)
            except FileNotFoundError:
                continue
        self._fs.invalidate_cache()

    def finish(self, roots: tuple[str, ...]) -> None:
        """Say that the copy is complete, where nothing in it says so."""
        if not roots:
            self._fs.pipe_file(f"{self._root}/{READY}", b"complete\n")

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}" if key else self._root


def sums_of(path: Path) -> Sums:
    """Return the checksums of a file."""
    return _read(path, lambda: None, lambda _: None)


def _below(path: str, root: str) -> str | None:
    """Return a path's key below a root, None if it is not below it."""
    text, top = path.strip("/"), root.strip("/")
    if text == top:
        return ""
    return text.removeprefix(f"{top}/") if text.startswith(f"{top}/") else None


def _read(path: Path, watch: Watch, write: Callable[[bytes], Any]) -> Sums:
    with path.open("rb") as file:
        return _sums(iter(lambda: file.read(BLOCK), b""), watch, write)


def _sums(blocks: Iterator[bytes], watch: Watch, write: Callable[[bytes], Any]) -> Sums:
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    for block in blocks:
        watch()
        sha256.update(block)
        md5.update(block)
        size += len(block)
        write(block)
    return Sums(sha256.hexdigest(), md5.hexdigest(), size)


def _sizes(root: Path) -> dict[str, int]:
    if root.is_file():
        return {"": root.stat().st_size}
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if path.is_file() and not name.endswith(".copying"):
                found[path.relative_to(root).as_posix()] = path.stat().st_size
    return found


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
