"""The program of an array's elements: becomes the program of the run whose index it has.

``python -m pangeo_hpc.workflow.element TABLE``, where TABLE tells each element's command and
variables, and PANGEO_HPC_INDEX which one we are.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pangeo_hpc import files

INDEX = "PANGEO_HPC_INDEX"


def write(table: Path, elements: Sequence[Mapping[str, Any]]) -> None:
    """Write the table of an array: the `command` and `variables` of each element."""
    files.write_json(table, {"format": 1, "elements": list(elements)}, mode=0o600)


def main(table: str) -> None:
    """Take the place of this program by that of the element."""
    mine = files.read_json(Path(table))["elements"][int(os.environ[INDEX])]
    command: list[str] = mine["command"]
    os.execve(command[0], command, {**os.environ, **mine["variables"]})  # noqa: S606, no shell


if __name__ == "__main__":
    main(sys.argv[1])
