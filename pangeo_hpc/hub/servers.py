"""Where a user's servers are kept, and who is served."""

import grp
import os
from collections.abc import Collection
from pathlib import Path

from pangeo_hpc.site import Person, Site


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
        if not path.is_file():
            return []
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return text.splitlines()[-lines:] if lines else []
