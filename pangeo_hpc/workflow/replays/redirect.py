"""Where the outputs of a replay go, so that it never touches what it repeats."""

from dataclasses import dataclass
from pathlib import Path

from pangeo_hpc import files

FILE = "replay.json"


@dataclass(frozen=True)
class Redirect:
    """Turns the paths of a run into those of its replay; without a `root` each stays as it is.

    What lies below `scratch` keeps its place there below `root`, everything else below
    ``root/absolute``.
    """

    scratch: Path | None = None
    root: Path | None = None

    @classmethod
    def of(cls, folder: Path) -> "Redirect":
        """Return the redirection of a run's folder; it changes nothing unless it is a replay."""
        try:
            kept = files.read_json(folder / FILE)
        except FileNotFoundError:
            return cls()
        return cls(Path(kept["scratch"]), Path(kept["root"]))

    def output(self, path: Path) -> Path:
        """Return where an output is written."""
        if self.root is None or self.scratch is None or path.is_relative_to(self.root):
            return path
        if path.is_relative_to(self.scratch):
            return self.root / path.relative_to(self.scratch)
        return self.root / "absolute" / path.absolute().relative_to(path.absolute().anchor)

    def input(self, path: Path) -> Path:
        """Return where an input is read: the replay's own output, if it made one of this name."""
        ours = self.output(path)
        return ours if ours.exists() else path
