"""What is kept of a map: one small durable file per item, below the run's folder.

``maps/<name>/map.json`` says what made the results; ``items/`` holds an entry for each item that is
done, ``failed/`` one for each that failed at last, ``results/`` what does not fit into an entry.
"""

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pangeo_hpc import files
from pangeo_hpc.workflow.holder import moment
from pangeo_hpc.workflow.lease import Lease
from pangeo_hpc.workflow.mapping.items import Item
from pangeo_hpc.workflow.mapping.kept import Kept

_DIGITS = 24
_TOGETHER = 8


@dataclass(frozen=True)
class Done:
    """An item that is done: what is kept of its result, and the seconds that it took."""

    kept: Kept
    made: str
    forced: str | None
    seconds: float


@dataclass(frozen=True)
class Failure:
    """An item that failed at last: its error in one line, and its traceback."""

    item: str
    error: str
    traceback: str
    tries: int

    def dump(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        told = {"item": self.item, "error": self.error, "tries": self.tries}
        return {**told, "traceback": self.traceback}


class MapLedger:
    """The ledger of one map of one run."""

    def __init__(self, run: Path, name: str, lease: Lease) -> None:
        self.directory = run / "maps" / name
        self._lease = lease
        # pickles are only loaded from folders that nobody else can write to
        for folder in (run / "maps", self.directory, self.results, self._items, self.failed):
            files.make_directory(folder, mode=0o700)

    @property
    def results(self) -> Path:
        """Return the folder of results that are files of their own."""
        return self.directory / "results"

    @property
    def _items(self) -> Path:
        return self.directory / "items"

    @property
    def failed(self) -> Path:
        """Return the folder of the items that failed at last."""
        return self.directory / "failed"

    def made(self) -> dict[str, Any]:
        """Return what made the results of the last attempt, nothing before the first."""
        try:
            kept: dict[str, Any] = files.read_json(self.directory / "map.json")["made"]
        except (FileNotFoundError, ValueError, KeyError):
            return {}
        return kept

    def begin(self, name: str, made: Mapping[str, Any]) -> None:
        """Note what makes the results from here on. Raise RunBusy if the run is not ours."""
        self._lease.check()
        told = {"format": 1, "name": name, "made": dict(made), "begun": moment()}
        files.write_json(self.directory / "map.json", told)

    def done(self, items: Iterable[Item]) -> dict[str, Done]:
        """Return the entries of those items that have one, by digest. A broken one is none."""
        there = {path.name for path in self._items.iterdir()}
        found = {}
        for item in items:
            name = _file(item)
            if name not in there or item.digest in found:
                continue
            try:
                told = files.read_json(self._items / name)
                kept = Kept.load(told["kept"])
                whole = told["item"] == item.digest
                done = Done(kept, told["made"], told.get("forced"), float(told["seconds"]))
            except (ValueError, TypeError, KeyError, FileNotFoundError):
                continue
            if whole:
                found[item.digest] = done
        return found

    def commit(self, done: Mapping[Item, Done]) -> None:
        """Note that items are done and their results on the disk, each in a file of its own.

        Raise RunBusy if the run is not ours.
        """
        self._lease.check()
        holder = self._lease.holder
        entries = {
            self._items / _file(item): {
                "format": 1,
                "item": item.digest,
                "label": item.label,
                "made": each.made,
                "forced": each.forced,
                "seconds": round(each.seconds, 4),
                "holder": holder.number,
                "job": holder.job_id,
                "kept": each.kept.dump(),
            }
            for item, each in done.items()
        }
        # disks sync many files in the time of one
        with ThreadPoolExecutor(min(_TOGETHER, len(entries))) as threads:
            list(threads.map(_write, entries, entries.values()))
        files.sync_directory(self._items)
        for item in done:
            (self.failed / _file(item)).unlink(missing_ok=True)

    def fail(self, item: Item, failure: Failure) -> None:
        """Note that an item failed. Raise RunBusy if the run is not ours."""
        self._lease.check()
        told = {"format": 1, **failure.dump(), "job": self._lease.holder.job_id, "at": moment()}
        files.write_json(self.failed / _file(item), told)

    def sweep(self, data: Path, mark: str) -> None:
        """Remove results that no entry tells of, which earlier attempts left behind."""
        name = re.compile(rf"\.?.+-{mark}-(\d+)-[0-9a-f]{{8}}\.[a-z]+(\.partial)?")
        found = {}
        for folder in {self.results, data}:
            for path in folder.iterdir() if folder.is_dir() else ():
                match = name.fullmatch(path.name)
                # what this attempt writes is not in the ledger yet
                if match and int(match[1]) != self._lease.fence.number:
                    found[str(path)] = path
        if found:
            told = {_path(each) for each in self._items.glob("*.json")}
            for path in (path for text, path in found.items() if text not in told):
                _remove(path)


def failures(run: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the items that failed at last, by the name of their map."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(run.glob("maps/*/failed/*.json")):
        found.setdefault(path.parents[1].name, []).append(dict(files.read_json(path)))
    return found


def results(run: Path, name: str) -> dict[str, tuple[str, Kept]]:
    """Return the label of each item that is done and what is kept of it, by the item's digest."""
    entries = [files.read_json(path) for path in sorted(run.glob(f"maps/{name}/items/*.json"))]
    return {each["item"]: (each["label"], Kept.load(each["kept"])) for each in entries}


def _file(item: Item) -> str:
    return f"{item.digest[:_DIGITS]}.json"


def _path(entry: Path) -> str | None:
    try:
        path: str | None = files.read_json(entry)["kept"].get("path")
    except (ValueError, KeyError, FileNotFoundError):
        return None
    return path


def _write(path: Path, told: Mapping[str, Any]) -> None:
    """Write an entry whole; the directory is synced once for many of them."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with files.refusals(path):
        with draft.open("x") as file:
            file.write(json.dumps(told) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
