"""The certificates of this machine's network, for downloads while the image is built."""

import shutil
from pathlib import Path

from tests.cluster.containers.compose import FOLDER

MACHINE = Path("/usr/local/share/ca-certificates")
"""Where Debian's administrators put the certificates that their network needs."""


def bring(source: Path = MACHINE, target: Path = FOLDER / "ca-certificates") -> None:
    """Copy what the machine trusts beside Debian's own into the context of the build."""
    for path in sorted(source.rglob("*.crt")):
        copy = target / path.name
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            shutil.copyfile(path, copy)
