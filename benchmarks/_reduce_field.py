"""Where the field is that the reductions are measured on.

This imports nothing large: what a program is started from counts in its peak memory on Linux.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

GRID = (192, 288)


@dataclass(frozen=True)
class Field:
    """One field in three files: Zarr with its default compression, NetCDF without and with one."""

    zarr: Path
    netcdf: Path
    deflated: Path
    steps: int

    @property
    def nbytes(self) -> int:
        """Return the size of its values."""
        return self.steps * GRID[0] * GRID[1] * 4


def make(folder: Path, gib: float) -> Field:
    """Write the field, of about so many GiB, in a process of its own."""
    words = [sys.executable, "-m", "benchmarks._reduce_data", str(folder), str(gib)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    return files(folder, int(done.stdout))


def files(folder: Path, steps: int) -> Field:
    """Return the field of so many steps in a folder."""
    return Field(folder / "ta.zarr", folder / "ta.nc", folder / "ta-deflated.nc", steps)
