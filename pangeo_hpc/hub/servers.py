"""Where a user's servers are kept, and who is served."""

import errno
import grp
import os
import tempfile
from collections.abc import Collection
from pathlib import Path

from pangeo_hpc.site import Person, Site

# What a server writes at its start is more than this.
_LITTLE = 64 * 1024


def home(site: Site, person: Person) -> Path:
    """Return the folder that holds one folder per server job of a user's."""
    return site.user_state_path(person) / "hub"


def is_member(person: Person, groups: Collection[str]) -> bool:
    """Tell whether a person is in one of some Unix groups, by the system's own lists."""
    ids = set(os.getgrouplist(person.user, person.gid))
    for name in groups:
        try:
            if grp.getgrnam(name).gr_gid in ids:
                return True
        except KeyError:
            continue
    return False


def tail(path: Path, lines: int, most: int = 65536) -> list[str]:
    """Return the last lines of a file, of at most so many bytes; none if it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return text.splitlines()[-lines:] if lines else []


def is_full(directory: Path) -> bool:
    """Tell whether the disk or the quota of a directory has no room for a little file."""
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(bytes(_LITTLE))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return False
