"""Where a user's servers are kept, and who is served."""

import errno
import grp
import os
import pwd
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

from pangeo_hpc.site import Person, Site

# Days for which the folder of a server is kept, and how many go at once.
_KEPT, _LONGEST, _AT_ONCE = 30, 90, 20
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
        if not path.is_file():
            return []
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return text.splitlines()[-lines:] if lines else []


def members(groups: Collection[str]) -> tuple[str, ...]:
    """Return the users of some Unix groups, as far as this host lists them, sorted.

    A directory service may list no members; then there are only those with the group as their own.
    """
    names: set[str] = set()
    for group in groups:
        try:
            entry = grp.getgrnam(group)
        except KeyError:
            continue
        names |= {*entry.gr_mem}
        names |= {each.pw_name for each in pwd.getpwall() if each.pw_gid == entry.gr_gid}
    return tuple(sorted(names))


def sweep(place: Path, now: float) -> list[Path]:
    """Remove what is left of servers of long ago, a few at a time, and return their folders.

    That is 30 days after a job that ended by itself or was never taken, and 90 days after any.
    """
    removed = []
    for folder in sorted(place.glob("jupyter-*")):
        age = (now - folder.lstat().st_mtime) / 86400
        over = (folder / "exit").exists() or not (folder / "job.json").exists()
        if age > (_KEPT if over else _LONGEST) and not folder.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
        if len(removed) == _AT_ONCE:
            break
    return removed


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
