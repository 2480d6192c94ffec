"""Results as files: datasets as Zarr, tables as Parquet, plain values as JSON, the rest pickled.

What was written is read again before it counts: where a format would change a value or a type, the
next one takes its place, and the last one is a pickle.
"""

import hashlib
import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc import files
from pangeo_hpc.errors import NotAllowed, UsageError
from pangeo_hpc.workflow.lease import Fence
from pangeo_hpc.workflow.mapping import exactly, private
from pangeo_hpc.workflow.writing.template import stable

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

# Larger ones are files of their own.
_INLINE = 32 * 1024
_NAMELESS = "pangeo_hpc_result"
_READABLE = 40
# Filters of warnings are of the whole process.
_WARNINGS = threading.Lock()


@dataclass(frozen=True)
class Kept:
    """A result that lasts: its kind, and its value as text, or the file or folder that holds it.

    `path` is absolute; `files` and `bytes` are what lies there.
    """

    kind: str
    text: str | None = None
    path: str | None = None
    files: int = 0
    bytes: int = 0
    digest: str | None = None
    name: str | None = None

    def dump(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def load(cls, told: Mapping[str, Any]) -> "Kept":
        """Return what `dump` told of."""
        return cls(**told)

    def is_there(self) -> bool:
        """Tell whether all of it is still there, as it may not be on scratch."""
        if self.path is None:
            return True
        return measure(Path(self.path)) == (self.files, self.bytes)


@dataclass(frozen=True)
class Place:
    """Where results go. Travels to workers.

    Pickles and long texts go below the run's folder; datasets and tables where `data` says. `mark`
    is in the names of all results of this map, and of no other.
    """

    run: Path
    results: Path
    data: Path
    mark: str
    fence: Fence

    def keep(self, value: Any, label: str) -> Kept:
        """Write a result and return what is kept of it; no file that is half written has a name.

        Raise RunBusy if the run was taken over, NotAllowed for a full disk.
        """
        kind = type(value)
        root = kind.__module__.partition(".")[0]
        if root == "xarray" and kind.__name__ in ("Dataset", "DataArray"):
            kept = self._zarr(value, label)
        elif root == "pandas" and kind.__name__ == "DataFrame":
            kept = self._parquet(value, label)
        else:
            kept = self._json(value, label)
        return kept or self._pickle(value, label)

    def load(self, kept: Kept) -> Any:
        """Return a result. Datasets are opened, and read when their values are needed.

        Raise NotAllowed for a pickle that somebody else could have written.
        """
        if kept.path is None:
            return exactly.loads(kept.text or "")
        path = Path(kept.path)
        if kept.kind == "pickle":
            return self._unpickled(path, kept)
        loaders: dict[str, Callable[[Path], Any]] = {
            "json": lambda path: exactly.loads(path.read_text()),
            "dataset": _open,
            "array": lambda path: _array(_open(path), kept.name),
            "table": lambda path: _read_table(path, kept.name),
        }
        return loaders[kept.kind](path)

    def _name(self, label: str, ending: str) -> str:
        readable = re.sub(r"[^A-Za-z0-9._-]+", "-", label)[:_READABLE].strip(".-") or "item"
        return f"{readable}-{self.mark}-{self.fence.number}-{secrets.token_hex(4)}.{ending}"

    def _json(self, value: Any, label: str) -> Kept | None:
        try:
            text = exactly.dumps(value)
        except exactly.NotExact:
            return None
        if len(text) <= _INLINE:
            return Kept("json", text=text)
        return self._file(self.results, label, "json", "json", text.encode())

    def _pickle(self, value: Any, label: str) -> Kept:
        import cloudpickle

        content = cloudpickle.dumps(value)
        return self._file(self.results, label, "pickle", "pickle", content, mode=0o600)

    def _zarr(self, value: "xr.Dataset | xr.DataArray", label: str) -> Kept | None:
        import xarray as xr

        array = isinstance(value, xr.DataArray)
        if isinstance(value, xr.DataArray) and not isinstance(value.name, str | None):
            return None
        whole = value.load().drop_encoding()
        ds = _as_dataset(whole)

        def write(draft: Path) -> bool:
            from pangeo_hpc.workflow.writing.store import DurableStore

            store = DurableStore.at(draft, self.fence)
            with _quiet(ds):
                ds.to_zarr(store, mode="w", zarr_format=3, consolidated=False)
            back: Any = _open(draft)
            return _same_dataset(_array(back, value.name) if array else back, whole)

        name = str(value.name) if array and value.name is not None else None
        return self._folder(label, "zarr", "array" if array else "dataset", write, name)

    def _parquet(self, value: "pd.DataFrame", label: str) -> Kept | None:
        # a regular time axis does not come back as one by itself
        step = getattr(value.index, "freqstr", None)

        def write(draft: Path) -> bool:
            draft.mkdir()
            path = draft / "table.parquet"
            value.to_parquet(path, engine="pyarrow")
            _sync(path)
            return _same_table(_read_table(draft, step), value)

        return self._folder(label, "parquet", "table", write, step)

    def _folder(
        self, label: str, ending: str, kind: str, write: Callable[[Path], bool], name: str | None
    ) -> Kept | None:
        """Write a folder beside its place, and move it there if it gives the same value back."""
        target = self.data / self._name(label, ending)
        draft = target.with_name(f".{target.name}.partial")
        files.make_directory(self.data)
        try:
            try:
                fine = write(draft)
            except OSError as error:
                told = files.refused(target, error)
                if told is not None:
                    raise told from error
                fine = False
            except (TypeError, ValueError, NotImplementedError, KeyError, AttributeError):
                # what these libraries say of values that their formats do not know
                fine = False
            if not fine:
                return None
            self.fence.check()
            count, size = measure(draft)
            with files.refusals(target):
                draft.rename(target)
                files.sync_directory(target.parent)
            return Kept(kind, path=str(target), files=count, bytes=size, name=name)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _file(
        self, folder: Path, label: str, ending: str, kind: str, content: bytes, mode: int = 0o644
    ) -> Kept:
        target = folder / self._name(label, ending)
        self.fence.check()
        files.write_atomic(target, content, mode=mode)
        digest = hashlib.sha256(content).hexdigest()
        return Kept(kind, path=str(target), files=1, bytes=len(content), digest=digest)

    def _unpickled(self, path: Path, kept: Kept) -> Any:
        import cloudpickle

        try:
            parts = path.relative_to(self.run).parts
        except ValueError:
            text = f"a kept result is not loaded: {path} is not below {self.run}"
            raise NotAllowed(text, hint="remove its entry, and it is computed again") from None
        content = private.read(self.run, parts)
        if hashlib.sha256(content).hexdigest() != kept.digest:
            text = f"the kept result {path} is not what was written there"
            raise UsageError(text, hint="remove it, and it is computed again")
        try:
            return cloudpickle.loads(content)
        except (AttributeError, ImportError, TypeError) as error:
            text = f"the kept result {path} cannot be loaded: {error}"
            hint = "it is of code that is no longer there; remove it, and it is computed again"
            raise UsageError(text, hint=hint) from error


def measure(path: Path) -> tuple[int, int]:
    """Return how many files a result consists of, and their bytes; none if it is not there."""
    if not path.is_dir():
        return (1, path.stat().st_size) if path.is_file() else (0, 0)
    found = [each.stat().st_size for each in path.rglob("*") if each.is_file()]
    return len(found), sum(found)


def same_table(one: Path, two: Path) -> tuple[int, list[str]]:
    """Return how many cells two kept tables have, and what differs in them."""
    left, right = _read_table(one, None), _read_table(two, None)
    return int(left.size), [] if _same_table(left, right) else ["another table"]


@contextmanager
def _quiet(ds: "xr.Dataset") -> Iterator[None]:
    """Silence zarr's words on strings of fixed length, one thread at a time."""
    if not any(variable.dtype.kind in "US" for variable in ds.variables.values()):
        yield
        return
    with _WARNINGS, stable():
        yield


def _open(path: Path) -> "xr.Dataset":
    import xarray as xr

    return xr.open_dataset(
        path, engine="zarr", chunks=None, consolidated=False, decode_timedelta=True
    )


def _array(ds: "xr.Dataset", name: Any) -> "xr.DataArray":
    return ds[_NAMELESS].rename(name)


def _as_dataset(value: "xr.Dataset | xr.DataArray") -> "xr.Dataset":
    import xarray as xr

    return value if isinstance(value, xr.Dataset) else value.to_dataset(name=_NAMELESS)


def _same_dataset(back: "xr.Dataset | xr.DataArray", was: "xr.Dataset | xr.DataArray") -> bool:
    """Tell whether a dataset came back with its values, types, attributes and coordinates."""
    if getattr(back, "name", None) != getattr(was, "name", None):
        return False
    left, right = _as_dataset(back), _as_dataset(was)
    types = [(v.dtype, v.dims) for v in left.variables.values()] == [
        (right.variables[name].dtype, right.variables[name].dims) for name in left.variables
    ]
    return types and set(left.indexes) == set(right.indexes) and bool(left.identical(right))


def _read_table(folder: Path, step: str | None) -> "pd.DataFrame":
    import pandas as pd

    table = pd.read_parquet(folder / "table.parquet", engine="pyarrow")
    if step is not None:
        table.index.freq = step
    return table


def _same_table(back: "pd.DataFrame", was: "pd.DataFrame") -> bool:
    from pandas.testing import assert_frame_equal

    try:
        assert_frame_equal(back, was, check_exact=True, check_freq=True, check_flags=True)
    except AssertionError:
        return False
    return bool(back.attrs == was.attrs)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    files.sync_directory(path.parent)
