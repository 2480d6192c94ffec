"""A Zarr store on a shared filesystem whose writes last, and stop when the run is not ours.

Zarr's own local store renames whole files into place but never syncs them, so that a crashing node
can lose what it had called written.
"""

import asyncio
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from zarr.core.buffer import Buffer
from zarr.storage import LocalStore, WrapperStore

from pangeo_hpc import files
from pangeo_hpc.workflow.lease import Fence


class DurableStore(WrapperStore[LocalStore]):
    """A local store that syncs what it writes and checks the fence before. Travels to workers."""

    def __init__(self, store: LocalStore, fence: Fence) -> None:
        super().__init__(store)
        self._fence = fence

    @property
    def fence(self) -> Fence:
        """Return what keeps a stale attempt from writing."""
        return self._fence

    @classmethod
    def at(cls, path: Path, fence: Fence) -> Self:
        """Return the store in a directory, which is made by the first write."""
        return cls(LocalStore(path), fence)

    async def set(self, key: str, value: Buffer) -> None:
        """Store a value durably. Raise RunBusy if the run was taken over."""
        await asyncio.to_thread(self._put, self._store.root / key, value)

    def _put(self, path: Path, value: Buffer) -> None:
        """Write a file beside its place, and let it take the place while the run is ours.

        The fence is looked at once the draft is there. Who takes the run over claims it first and
        then removes all drafts, so that one which passed the fence before is gone, and its rename
        fails: nothing of ours gets into the store after our successor began.
        """
        missing = self._before(path)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
        # network filesystems tell of a full disk only when they are asked to sync
        with files.refusals(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with draft.open("xb") as file:
                    file.write(value.as_buffer_like())
                    file.flush()
                    os.fsync(file.fileno())
                self._fence.check()
                draft.replace(path)
            except FileNotFoundError:
                self._fence.check()
                raise
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
            _sync(path, missing)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Store a value durably unless there is one. Raise RunBusy if the run was taken over."""
        if not await self.exists(key):
            await self.set(key, value)

    async def _set_many(self, values: Iterable[tuple[str, Buffer]]) -> None:
        for key, value in values:
            await self.set(key, value)

    def _with_store(self, store: LocalStore) -> Self:
        return type(self)(store, self._fence)

    def _before(self, path: Path) -> list[Path]:
        """Return the directories that a write has to make."""
        self._fence.check()
        missing = []
        for parent in path.parents:
            if parent.exists():
                break
            missing.append(parent)
        return missing


def _sync(path: Path, made: list[Path]) -> None:
    files.sync_directory(path.parent)
    for directory in made:
        files.sync_directory(directory.parent)


def survey(root: Path) -> tuple[set[str], int]:
    """Return the keys of all files in a store and their bytes; unfinished files are removed."""
    keys, size = set(), 0
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if name.endswith(".partial"):
                path.unlink(missing_ok=True)
                continue
            keys.add(path.relative_to(root).as_posix())
            size += path.stat().st_size
    return keys, size
