"""Where the demo's months come from: the sample data if they are installed, else generated ones."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pangeo_hpc._version import __version__
from pangeo_hpc.demo import data, generated
from pangeo_hpc.demo.series import CannotMerge, Series, read
from pangeo_hpc.errors import JobFailed

SCRIPT = Path(__file__).with_name("ensemble.py")

Bar = Callable[[str, int, int], object]


@dataclass(frozen=True)
class Source:
    """A number of models and where they are; without a catalogue they are generated."""

    catalogue: data.Catalogue | None
    why_generated: str = ""

    @property
    def generated(self) -> bool:
        """Tell whether the numbers are made up."""
        return self.catalogue is None

    @property
    def origin(self) -> str:
        """Return where the data come from, in words."""
        return self.catalogue.origin if self.catalogue else generated.ORIGIN

    @property
    def digest(self) -> str:
        """Return what changes whenever the demo would compute something else."""
        told = [__version__, SCRIPT.read_text(), self.catalogue.digest if self.catalogue else ""]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]

    @property
    def bytes(self) -> int:
        """Return the size of the files."""
        return self.catalogue.bytes if self.catalogue else 0

    def describe(self) -> str:
        """Return in words what there is."""
        if self.catalogue is None:
            return f"{generated.count()} models of GENERATED DATA: {self.why_generated}"
        count, files = len(self.catalogue.models), self.catalogue.files
        return f"{count} CMIP6 models in {files} files ({self.catalogue.origin})"

    def series(self, bar: Bar) -> tuple[list[Series], list[data.LeftOut]]:
        """Return every model that can be merged, and each other one with the reason.

        Raise JobFailed if no model is left.
        """
        if self.catalogue is None:
            return list(generated.generate()), []
        found, left_out = [], list(self.catalogue.left_out)
        total = len(self.catalogue.models)
        for number, files in enumerate(self.catalogue.models, 1):
            try:
                found.append(read(files))
            except CannotMerge as error:
                left_out.append(data.LeftOut(files.model, str(error)))
            bar("models read", number, total)
        if not found:
            reasons = "".join(f"\n  {each.model}: {each.reason}" for each in left_out)
            text = f"no model of {self.origin} can be merged:{reasons}"
            raise JobFailed(text, hint="pangeo-hpc demo --generated runs without these files")
        return found, left_out


def choose(only_generated: bool) -> Source:
    """Return the sample data, or generated ones if they are asked for or nothing else is there."""
    if only_generated:
        return Source(None, "asked for by --generated")
    folder = data.find()
    if folder is None:
        return Source(None, f"the package {data.PACKAGE} is not installed")
    catalogue = data.catalogue(folder)
    if not catalogue.models:
        return Source(None, f"{folder} holds no monthly {data.VARIABLE}")
    return Source(catalogue)
