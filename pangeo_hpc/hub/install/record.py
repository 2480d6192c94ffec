"""What an installation made, so that it can be taken back: one root-owned JSON file."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pangeo_hpc import files
from pangeo_hpc._version import __version__
from pangeo_hpc.errors import NotAllowed

MANIFEST = Path("/etc/pangeo-hpc/hub-install.json")
FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """One thing that was made: its kind, its name, and the digest of a file as it was written."""

    kind: str
    name: str
    digest: str = ""


@dataclass
class Manifest:
    """Everything that was made, in the order in which it was."""

    path: Path = MANIFEST
    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path = MANIFEST) -> "Manifest":
        """Return what was made; nothing, if nothing was. Raise NotAllowed if it is not readable."""
        found = cls(path)
        try:
            kept = files.read_json(path)
            for each in kept["entries"]:
                found.add(Entry(each["kind"], each["name"], each["digest"]))
        except FileNotFoundError:
            return found
        except (KeyError, TypeError, ValueError) as error:
            hint = "remove what docs/hub-install.md lists by hand, and then this file"
            raise NotAllowed(f"{path} is damaged: {error}", hint=hint) from error
        return found

    def add(self, entry: Entry) -> None:
        """Remember one thing; what is remembered already keeps its place."""
        self.entries[entry.kind, entry.name] = entry

    def forget(self, entry: Entry) -> None:
        """Remember one thing no longer."""
        self.entries.pop((entry.kind, entry.name), None)

    def backwards(self) -> Iterator[Entry]:
        """Yield what was made, the last first."""
        yield from reversed(list(self.entries.values()))

    def plain(self) -> Mapping[str, Any]:
        """Return what is written."""
        entries = [asdict(entry) for entry in self.entries.values()]
        return {"format": FORMAT, "version": __version__, "entries": entries}

    def write(self) -> None:
        """Store it whole, if it differs; remove it when nothing is left to remember."""
        if not self.entries:
            self.path.unlink(missing_ok=True)
        elif not self.path.exists() or files.read_json(self.path) != self.plain():
            files.write_json(self.path, self.plain(), mode=0o600)


def digest(content: bytes) -> str:
    """Return what a file's content is recognized by."""
    return hashlib.sha256(content).hexdigest()
