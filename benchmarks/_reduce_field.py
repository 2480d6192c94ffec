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
    """One field in four stores, two packed and two not.

    `zarr` is packed with Zarr's default (zstd), `plain` is not and has shards, `netcdf` is not
    packed and in one piece, as CDO writes it, and `deflated` is as the CMIP6 archive has it.
    """

    zarr: Path
    plain: Path
    netcdf: Path
    deflated: Path
    steps: int

    @property
    def nbytes(self) -> int:
        """Return the size of its values."""
        return self.steps * GRID[0] * GRID[1] * 4

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the four stores."""
        return (self.zarr, self.plain, self.netcdf, self.deflated)


def make(folder: Path, gib: float, missing: float = 0.0) -> Field:
    """Write the field, of about so many GiB, in a process of its own.

    This share of the grid has no values, as an ocean model has none on land.
    """
    words = [sys.executable, "-m", "benchmarks._reduce_data", str(folder), str(gib), str(missing)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    return files(folder, int(done.stdout))


def files(folder: Path, steps: int) -> Field:
    """Return the field of so many steps in a folder."""
    names = ("ta.zarr", "ta-plain.zarr", "ta.nc", "ta-deflated.nc")
    return Field(*(folder / name for name in names), steps)
