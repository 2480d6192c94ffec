"""What is finished of an output: one small durable file per unit, below the run's folder.

``ledger/<output>/template.json`` says how the output is laid out; ``ledger/<output>/<token>/``
holds the units, ``digests/`` what stands behind their digests. The token is also in the store
itself, so that a store which was removed or replaced is never taken for the one of the ledger.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pangeo_hpc import files
from pangeo_hpc.workflow.lease import Lease
from pangeo_hpc.workflow.writing.digest import Digest

FORMAT = 2
_DIGESTS = "digests"


class Ledger:
    """The ledger of one output of one run."""

    def __init__(self, run: Path, output: Path, lease: Lease) -> None:
        self.directory = run / "ledger" / output_key(output)
        self._lease = lease
        self.template: dict[str, Any] = self._read_template()

    @property
    def token(self) -> str | None:
        """Return the mark of the store this ledger tells of, None for a new output."""
        return self.template.get("token")

    def begin(self, token: str, output: Path, **facts: Any) -> None:
        """Note that an output is about to be made, and forget the units of an earlier one.

        Among the facts are its `structure`, its `layouts`, the mark `forced`, and `replaces`, the
        mark of what is in its place, None if nothing is.
        """
        files.make_directory(self.directory)
        for old in self.directory.iterdir():
            if old.is_dir() and old.name != _DIGESTS:
                shutil.rmtree(old)
        files.make_directory(self.directory / token)
        self.template = {"format": FORMAT, "output": str(output), "token": token, **plain(facts)}
        files.write_json(self.directory / "template.json", self.template)

    def change(self, **facts: Any) -> None:
        """Note of the same output what has become otherwise."""
        self._lease.check()
        self.template = {**self.template, **plain(facts)}
        files.write_json(self.directory / "template.json", self.template)

    def sweep(self) -> None:
        """Remove what a killed attempt left half-written here."""
        for path in self.directory.rglob(".*.partial"):
            path.unlink(missing_ok=True)

    def finished(self) -> dict[str, dict[str, Any]]:
        """Return the entries of all finished units by their keys."""
        if self.token is None:
            return {}
        entries = {}
        for path in sorted((self.directory / self.token).glob("*.json")):
            entries[path.name.removesuffix(".json")] = dict(files.read_json(path))
        return entries

    def commit(self, key: str, digest: Digest, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Note that a unit is finished and on the disk, and what made it; return the entry.

        Raise RunBusy if the run is not ours.
        """
        self._lease.check()
        self._keep(digest)
        holder = self._lease.holder
        entry = {"format": FORMAT, "unit": key, "digest": digest.text}
        entry |= {"holder": holder.number, "job": holder.job_id, **facts}
        try:
            files.write_json(self._entry(key), entry, last=self._lease.fence.check)
        except FileNotFoundError:
            # a draft that is gone was removed by whoever took the run over
            self._lease.fence.check()
            raise
        return entry

    def forget(self, keys: Iterable[str]) -> None:
        """Take back entries whose files are gone, or are about to be written again."""
        gone = [self._entry(key) for key in keys]
        for path in gone:
            path.unlink(missing_ok=True)
        if gone:
            files.sync_directory(gone[0].parent)

    def made_by(self, digest: str) -> dict[str, Any]:
        """Return what stands behind a digest of this ledger."""
        try:
            kept: dict[str, Any] = files.read_json(self._digest(digest))
        except FileNotFoundError:
            return {}
        return kept

    def _keep(self, digest: Digest) -> None:
        path = self._digest(digest.text)
        if not path.exists():
            files.make_directory(path.parent)
            files.write_json(path, digest.dump())

    def _digest(self, digest: str) -> Path:
        return self.directory / _DIGESTS / f"{digest}.json"

    def _entry(self, key: str) -> Path:
        return self.directory / str(self.token) / f"{key}.json"

    def _read_template(self) -> dict[str, Any]:
        try:
            kept: dict[str, Any] = files.read_json(self.directory / "template.json")
        except FileNotFoundError:
            return {}
        return kept


def output_key(output: Path) -> str:
    """Return a name for an output's ledger: readable, and of this path alone."""
    readable = re.sub(r"[^A-Za-z0-9._-]", "-", output.name)[:60].lstrip(".")
    return f"{readable}-{hashlib.sha256(str(output).encode()).hexdigest()[:8]}"


def plain(value: Any) -> Any:
    """Return a value as JSON would give it back."""
    # the addresses in the default repr of objects differ from process to process
    text = json.dumps(value, default=lambda item: re.sub(r" at 0x[0-9a-f]+", "", repr(item)))
    return json.loads(text)


def differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return in words what differs between two structures."""
    old, new = _flat(was), _flat(now)
    told = []
    for key in dict.fromkeys((*old, *new)):
        # as text, since NaN is a fill value and not equal to itself
        if key in old and key in new and json.dumps(old[key]) == json.dumps(new[key]):
            continue
        if key not in old:
            told.append(f"{key} is new: {new[key]!r}")
        elif key not in new:
            told.append(f"{key} is gone: {old[key]!r}")
        else:
            told.append(f"{key} was {old[key]!r} and is {new[key]!r}")
    return told


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            leaves |= _flat(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves
